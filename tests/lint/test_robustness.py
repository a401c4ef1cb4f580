"""Lint never fails on a file, whatever stands in it, and every finding has a place in the file."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libcni.lint import FORMATS, lint_paths, write_report
from tests.lint.trees import CONFIGURATION_DIR

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS: list[dict[str, Any]] = [json.loads(path.read_text()) for path in sorted(CONFIGURATION_DIR.iterdir())]

KEYS = sorted(
    {"type", "name", "plugins", "ipam", "ranges", "subnet", "addresses", "capabilities", "cniVersions", "mtu"}
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(["bridge", "host-local", "10.0.0.0/8", "10.0.0.0/32", "fd00::1", "1.0.0", "true", "a\n\tb\x1b"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4)), inner, max_size=3),
    ),
    max_leaves=6,
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in members for place in [(value, key), *_places(item)]]


@st.composite
def _texts(draw: st.DrawFn) -> str:
    document = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(_places(document)))
        if draw(st.booleans()):
            container[key] = draw(ANYTHING)
        elif isinstance(container, dict):
            container[draw(st.text(max_size=4))] = container.pop(key)
        if not _places(document):
            break
    text = json.dumps(document, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans()))
    cut = draw(st.integers(0, 3 * len(text)))
    return text[:cut]


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(text=_texts(), extension=st.sampled_from([".conflist", ".conf", ".json"]))
def test_whatever_stands_in_a_file_gives_findings_with_a_place(text: str, extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"10-network{extension}"
    path.write_text(text)
    try:
        findings = lint_paths([tmp_path])
    finally:
        path.unlink()
    lines = text.split("\n")
    for finding in findings:
        if finding.line is not None and finding.column is not None:
            assert 1 <= finding.column <= len(lines[finding.line - 1]) + 1
    for form in FORMATS:
        write_report(findings, form)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"\x00", b"[" * 300, b'{"a": ' * 300, b"null", b'"\\ud800"', b"\xef\xbb\xbf{}"]
)
def test_bytes_that_are_no_configuration_give_one_finding(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "10.conflist").write_bytes(data)
    assert len(lint_paths([tmp_path])) == 1
