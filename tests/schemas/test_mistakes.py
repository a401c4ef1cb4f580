"""The seeded mistakes: each edit fits its file, breaks one thing, and expects it at the place where it is.

Here the data is held against the strict reader and the plugin schemas; what lint says of it is shown with lint.
"""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING, Any

import pytest

from libcni.jsontext.decode import parse
from libcni.jsontext.positions import locate
from libcni.jsontext.scan import DocumentError, format_path
from tests.schemas.plugin_schemas import CONFIGURATION_DIR, ROOT, problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.jsontext.scan import Path

ENOUGH_MISTAKES = 220
ENOUGH_KINDS = 28

MISTAKES: list[dict[str, Any]] = json.loads((ROOT / "testdata" / "mistakes.json").read_text())["mistakes"]

each_mistake = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake['kind']}-{mistake['file']}")


def _edited(mistake: dict[str, Any]) -> str:
    text: str = (CONFIGURATION_DIR / mistake["file"]).read_text()
    assert mistake["edit"]["op"] == "replace"
    find: str = mistake["edit"]["find"]
    assert text.count(find) == 1, "the text to replace must occur once"
    replacement: str = mistake["edit"]["with"]
    return text.replace(find, replacement)


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from _paths(member, (*path, key))


def _nearest(document: Any, field: str) -> Path:
    """Return the path of a field, or of the object that lacks it."""
    paths = {format_path(path): path for path in _paths(document)}
    within = [text for text in paths if field == text or not text or field.startswith((f"{text}.", f"{text}["))]
    return paths[max(within, key=len)]


def test_mistakes_are_many_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = collections.Counter(mistake["kind"] for mistake in MISTAKES)
    files = {mistake["file"] for mistake in MISTAKES}
    with capsys.disabled():
        print(f"\n{len(MISTAKES)} mistakes of {len(kinds)} kinds in {len(files)} files: {dict(sorted(kinds.items()))}")  # noqa: T201 -- the numbers are what this test shows
    assert len(MISTAKES) >= ENOUGH_MISTAKES
    assert len(kinds) >= ENOUGH_KINDS
    assert len({json.dumps([mistake["file"], mistake["edit"]]) for mistake in MISTAKES}) == len(MISTAKES)


@each_mistake
def test_mistake_stands_where_it_is_expected(mistake: dict[str, Any]) -> None:
    text, expected = _edited(mistake), mistake["expect"]
    if mistake["by"] == "json":
        with pytest.raises(DocumentError) as caught:
            parse(text)
        assert (format_path(caught.value.path), caught.value.line) == (expected["field"], expected["line"])
    else:
        assert locate(text, _nearest(parse(text), expected["field"]))[0] == expected["line"]


@each_mistake
def test_mistake_is_reported_by_the_schema_that_knows_it(mistake: dict[str, Any]) -> None:
    if mistake["by"] == "schema":
        assert mistake["expect"]["field"] in problems(_edited(mistake))
    elif mistake["by"] == "linter":
        document = parse(_edited(mistake))
        plugins = document.get("plugins", []) if isinstance(document, dict) else []
        if isinstance(plugins, list) and all(isinstance(plugin, dict) for plugin in plugins):
            assert mistake["expect"]["field"] not in problems(_edited(mistake)), "the schema knows it after all"
