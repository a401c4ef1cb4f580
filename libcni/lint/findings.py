"""Findings, their places in a file, and the collecting of findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcni.jsontext.frozen import array_of, object_of
from libcni.jsontext.positions import Positions
from libcni.jsontext.scan import format_path
from libcni.lint.codes import CODES, Severity
from libcni.lint.described import EXACT_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FilePath

    from libcni.jsontext.scan import Path

__all__ = ["Finding", "Findings", "Place", "Source"]

_LINE_LIMIT = 200
"""Characters of a source line that are kept; a minified file is one line."""
_BEFORE = 80
"""Characters of those that stand before the place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file: ``line`` and ``column`` count from 1 and are ``None`` for a whole file or directory.

    ``source_line`` is the line, cut when it is long, and ``caret`` the index of the place in it.
    """

    file: FilePath
    line: int | None = None
    column: int | None = None
    field: str = ""
    source_line: str = ""
    caret: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake, or something worth knowing.

    ``code`` is stable and listed in :data:`libcni.lint.CODES`. ``field`` is the path such as ``plugins[0].mtu``, empty
    for a whole document. ``line`` and ``column`` count from 1 and are ``None`` for a whole file or directory.
    ``source_line`` is the line of the file, cut when it is long, and ``caret`` the index of the place in it. ``hint``
    says what to do, where that is known.
    """

    code: str
    severity: Severity
    file: FilePath
    line: int | None
    column: int | None
    field: str
    message: str
    hint: str = ""
    source_line: str = ""
    caret: int = 0

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        field = f"{self.field}: " if self.field else ""
        return f"{place}: {self.severity} {self.code}: {field}{self.message}"


class Source:
    """A file that was read: its text, its decoded document if it is strict JSON, and the collector of its findings."""

    def __init__(self, file: FilePath, text: str, document: object, *, findings: Findings) -> None:
        self.file = file
        self.text = text
        self.document = document
        self._positions = Positions(text)
        self._findings = findings
        self._left_out: set[Path] = set()
        self.given: Mapping[str, Any] = {}
        """Members that the caller of the network puts into its first plugin."""

    def leave_out(self, path: Path) -> None:
        """Take no more findings about a value; what stands there is not what the author means."""
        self._left_out.add(path)

    def report(self, code: str, path: Path, message: str, *, hint: str = "", at_key: bool = False) -> None:
        """Add a finding about a value, or about its key."""
        path = self._as_written(path)
        if path in self._left_out:
            return
        self._findings.add(code, self.place(path, at_key=at_key), message, hint=hint)

    def _as_written(self, path: Path) -> Path:
        """Return a path with each key in the case in which the file has it."""
        written: list[str | int] = []
        value: object = self.document
        for step in path:
            if isinstance(step, int):
                value = next(iter(array_of(value)[step : step + 1]), None)
                written.append(step)
                continue
            members = object_of(value)
            key = step if step in members or step in EXACT_KEYS else _in_any_case(step, members)
            written.append(key)
            value = members.get(key)
        return tuple(written)

    def place(self, path: Path, *, at_key: bool = False) -> Place:
        """Return the place of a value, or of its key; of the object that should have it, when it is absent."""
        line, column = self._positions.of_key(path) if at_key else self._positions.of(path)
        return self.place_at(line, column, field=format_path(path))

    def span_of(self, path: Path) -> tuple[int, int]:
        """Return the offsets of the value at ``path``, which must be there."""
        return self._positions.span_of(path)

    def span_of_key(self, path: Path) -> tuple[int, int]:
        """Return the offsets of the key at the end of ``path``, which must be there."""
        return self._positions.span_of_key(path)

    def place_at(self, line: int, column: int, *, field: str) -> Place:
        """Return a place by line and column."""
        text = self._positions.lines[line - 1].removesuffix("\r")
        start = max(column - 1 - _BEFORE, 0) if len(text) > _LINE_LIMIT else 0
        shown = text[start : start + _LINE_LIMIT]
        return Place(self.file, line, column, field, shown, min(column - 1 - start, len(shown)))


def _in_any_case(key: str, members: Mapping[str, Any]) -> str:
    lower = key.lower()
    return next((name for name in members if name.lower() == lower), key)


class Findings:
    """Collects findings; one place has a code once."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Finding] = {}

    def add(self, code: str, place: Place, message: str, *, hint: str = "") -> None:
        """Add a finding."""
        found = Finding(
            code,
            CODES[code].severity,
            place.file,
            place.line,
            place.column,
            place.field,
            message,
            hint,
            place.source_line,
            place.caret,
        )
        self._found.setdefault((code, place.file, place.field, place.line), found)

    def sorted(self) -> list[Finding]:
        """Return the findings sorted by file, line, column and code."""
        return sorted(
            self._found.values(),
            key=lambda found: (str(found.file), found.line or 0, found.column or 0, found.code, found.field),
        )
