"""The one schema for editors: it takes every configuration, and agrees with lint, but for what only lint can know."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from libcni.lint import Severity, lint_paths
from libcni.protocol.versions import SUPPORTED_VERSIONS
from libcni.schema.compiled import compiled
from libcni.schema.editor import EDITOR_ID, editor_schema
from tests.schemas.plugin_schemas import (
    CONFIGURATION_DIR,
    FORMATS,
    ROOT,
    configuration_files,
    load_schemas,
    objects_of,
    validator,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = editor_schema()
VALIDATOR = Draft7Validator(SCHEMA)
MISTAKES: list[dict[str, Any]] = json.loads((ROOT / "testdata" / "mistakes.json").read_text())["mistakes"]
PAGE = (ROOT / "docs" / "editors.md").read_text()
# What one value says against another, keys that a plugin ignores, and forms that only this library knows.
ONLY_LINT = set(re.findall(r"CNI[0-9]{3}", PAGE[PAGE.index("The one schema follows") : PAGE.index("It calls nothing")]))


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _nodes(item)
    elif isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)


def test_schema_is_the_published_one() -> None:
    text = (ROOT / "schemas" / "editor.json").read_text()
    assert text == json.dumps(SCHEMA, indent=1, ensure_ascii=False) + "\n", "run python -m libcni.schema schemas"


def test_schema_is_draft_07_with_an_id_of_choice() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"] == EDITOR_ID
    assert editor_schema("https://example.com/cni.json")["$id"] == "https://example.com/cni.json"
    for node in _nodes(SCHEMA):
        assert not {"$defs", "dependentRequired", "prefixItems"} & set(node)
        if isinstance(node.get("$ref"), str):
            assert set(node) == {"$ref"}, "what stands beside a reference is ignored in draft-07"


def test_schema_knows_versions_and_plugins() -> None:
    text = json.dumps(SCHEMA)
    assert json.dumps(list(SUPPORTED_VERSIONS)) in text
    for name, schema in load_schemas().items():
        kind = "ipam" if schema["x-cni-kind"] == "ipam" else "plugin"
        assert f"{kind}-{schema.get('x-cni-type', name)}" in SCHEMA["definitions"]


def test_each_documented_key_has_a_description() -> None:
    for name, definition in SCHEMA["definitions"].items():
        for node in _nodes({key: value for key, value in definition.items() if key != "allOf"}):
            members = node.get("properties", {})
            for key, member in members.items() if isinstance(members, dict) else ():
                if isinstance(member, dict) and not {"const", "enum", "required", "maxItems"} & set(member):
                    assert member.get("description") or "$ref" in member or len(member) <= 1, f"{name}: {key}"


@pytest.mark.parametrize("path", configuration_files(), ids=lambda path: path.name)
def test_schema_takes_every_configuration(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(json.loads(path.read_text()))] == []


def test_schema_and_lint_agree_on_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agreed = 0
    alone: set[str] = set()
    for mistake in MISTAKES:
        text: str = (CONFIGURATION_DIR / mistake["file"]).read_text()
        text = text.replace(mistake["edit"]["find"], mistake["edit"]["with"])
        try:
            is_valid = VALIDATOR.is_valid(json.loads(text))
        except ValueError:
            continue
        path = tmp_path / mistake["file"]
        path.write_text(text)
        findings = lint_paths([path])
        codes = {found.code for found in findings if found.severity is Severity.ERROR}
        path.unlink()
        # A key in another case is none to a schema, and lint warns of it.
        assert is_valid or codes or any(found.code == "CNI203" for found in findings), (
            f"{mistake}: the schema alone refuses it"
        )
        assert not is_valid or codes <= ONLY_LINT, f"{mistake}: lint alone refuses it, for {codes - ONLY_LINT}"
        agreed += is_valid == (not codes)
        alone |= codes if is_valid else set()
    with capsys.disabled():
        print(f"\nschema and lint agree on {agreed} of {len(MISTAKES)} mistakes; the others are lint's alone")  # noqa: T201 -- the numbers are what this test shows
    assert ONLY_LINT - alone <= {"CNI111"}, "the page lists more than lint has alone"


def test_compiled_schemas_and_jsonschema_agree_on_every_mistake() -> None:
    for mistake in MISTAKES:
        text: str = (CONFIGURATION_DIR / mistake["file"]).read_text()
        try:
            document = json.loads(text.replace(mistake["edit"]["find"], mistake["edit"]["with"]))
        except ValueError:
            continue
        plugins = document.get("plugins", []) if isinstance(document, dict) else None
        if not isinstance(plugins, list) or not all(isinstance(plugin, dict) for plugin in plugins):
            continue
        for _, name, value in objects_of(document):
            check = compiled(load_schemas()[name], FORMATS, re.compile)
            assert check(value) == validator(name).is_valid(value), (name, value)


def test_check_jsonschema_takes_the_schema_and_the_configurations(tmp_path: Path) -> None:
    bad = tmp_path / "bad.conflist"
    bad.write_text('{"cniVersion": "1.0.0", "name": "lab", "plugins": [{"type": "bridge", "mtu": "1500"}]}')
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(ROOT / "schemas" / "editor.json")]
    command += ["--default-filetype", "json"]
    good = subprocess.run([*command, *map(str, configuration_files())], capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stdout
    refused = subprocess.run([*command, str(bad)], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "mtu" in refused.stdout
