"""Findings for people and for programs: text with the source line, JSON, SARIF 2.1.0, annotations of GitHub Actions."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import libcni
from libcni.lint.codes import CODES, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from libcni.lint.findings import Finding

__all__ = ["FORMATS", "write_report"]

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def write_report(findings: Sequence[Finding], form: str = "text") -> str:
    """Return findings in one of the :data:`FORMATS`; the text ends without a line break.

    >>> write_report([], "json")
    '[]'
    """
    return FORMATS[form](findings)


def _text(findings: Sequence[Finding]) -> str:
    return "\n".join([*map(_paragraph, findings), _summary(findings)])


def _paragraph(finding: Finding) -> str:
    lines = [_printable(str(finding))]
    if finding.source_line:
        number = str(finding.line)
        # A tab before the place must be as wide in the line with the caret.
        indent = "".join("\t" if character == "\t" else " " for character in finding.source_line[: finding.caret])
        lines.append(f"  {number} | {_printable(finding.source_line)}")
        lines.append(f"  {' ' * len(number)} | {indent}^")
    if finding.hint:
        lines.append(f"  hint: {_printable(finding.hint)}")
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    """Return a text without control characters, which file names and broken files may hold."""
    return "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in text)


def _summary(findings: Sequence[Finding]) -> str:
    if not findings:
        return "no findings"
    counts = [(severity, sum(found.severity == severity for found in findings)) for severity in Severity]
    return ", ".join(f"{count} {severity}{'s' * (count != 1)}" for severity, count in counts if count)


def _json(findings: Sequence[Finding]) -> str:
    return json.dumps([_object(finding) for finding in findings], indent=2 if findings else None)


def _object(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "file": str(finding.file),
        "line": finding.line,
        "column": finding.column,
        "field": finding.field,
        "message": finding.message,
        "hint": finding.hint,
        "source": finding.source_line,
    }


def _sarif(findings: Sequence[Finding]) -> str:
    used = sorted({finding.code for finding in findings})
    driver = {"name": "cnitool lint", "version": libcni.__version__, "rules": [_rule(code) for code in used]}
    results = [_result(finding, used.index(finding.code)) for finding in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _rule(name: str) -> dict[str, Any]:
    code = CODES[name]
    return {
        "id": name,
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.text},
        "defaultConfiguration": {"level": code.severity.value},
    }


def _result(finding: Finding, rule_index: int) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(finding.file)}}
    if finding.line is not None:
        physical["region"] = {"startLine": finding.line, "startColumn": finding.column or 1}
    location: dict[str, Any] = {"physicalLocation": physical}
    if finding.field:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.field}]
    return {
        "ruleId": finding.code,
        "ruleIndex": rule_index,
        "level": finding.severity.value,
        "message": {"text": _sentence(finding)},
        "locations": [location],
    }


def _uri(path: Path) -> str:
    return path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))  # a name need not be UTF-8


def _sentence(finding: Finding) -> str:
    field = f"{finding.field}: " if finding.field else ""
    return f"{field}{finding.message}" + (f" ({finding.hint})" if finding.hint else "")


def _github(findings: Sequence[Finding]) -> str:
    return "\n".join(map(_annotation, findings))


def _annotation(finding: Finding) -> str:
    title = f"{finding.code} {CODES[finding.code].title}"
    properties = {"file": finding.file, "line": finding.line, "col": finding.column, "title": title}
    given = [f"{key}={_escaped(str(value), ':,')}" for key, value in properties.items() if value is not None]
    return f"::{_GITHUB_LEVELS[finding.severity]} {','.join(given)}::{_escaped(_sentence(finding))}"


def _escaped(text: str, separators: str = "") -> str:
    """Return a text escaped for a workflow command; bytes that are no characters, as in a file name, are replaced."""
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    for character in f"%\r\n{separators}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


FORMATS: dict[str, Callable[[Sequence[Finding]], str]] = {
    "text": _text,
    "json": _json,
    "sarif": _sarif,
    "github": _github,
}
"""The formats of findings."""
