"""Schemas: which there are, what they reject, and that the files are what the models say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from libcni import InvalidParameterError, schema
from libcni.schema import generate, load, names, validate

SCHEMAS = Path(schema.__file__).parent.parent / "schemas"
GENERATED = ("cache", "error", "network", "plugin", "result-0.2", "result-0.4", "result-1.0", "result-1.1", "version")


def test_names_are_the_files() -> None:
    assert set(GENERATED) <= set(names())
    assert {"plugins/bridge", "plugins/host-local"} <= set(names())
    assert names() == sorted(path.relative_to(SCHEMAS).with_suffix("").as_posix() for path in SCHEMAS.rglob("*.json"))


@pytest.mark.parametrize("name", GENERATED)
def test_file_is_what_the_model_says(name: str) -> None:
    text = json.dumps(generate(name), indent=2, ensure_ascii=False) + "\n"
    assert (SCHEMAS / f"{name}.json").read_text() == text, "run: python -m libcni.schema schemas"


def test_main_writes_the_generated_files(tmp_path: Path) -> None:
    schema.main(str(tmp_path))
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(GENERATED)
    assert (tmp_path / "network.json").read_bytes() == (SCHEMAS / "network.json").read_bytes()


@pytest.mark.parametrize("name", GENERATED)
def test_schema_has_a_head_and_its_example_is_valid(name: str) -> None:
    loaded = load(name)
    assert loaded["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert loaded["$id"] == f"urn:libcni:schema:{name}"
    assert loaded["title"].startswith("CNI ")
    assert [validate(name, example) for example in loaded["examples"]] == [[]]


@pytest.mark.parametrize("name", sorted(names()))
def test_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(load(name))


def test_load_gives_a_copy() -> None:
    load("network")["title"] = "changed"
    assert load("network")["title"] != "changed"


@pytest.mark.parametrize("name", ["", "missing", "../pyproject", "plugins/../network", "/etc/passwd", "network.json"])
def test_unknown_name_is_refused(name: str) -> None:
    for use in (load, lambda given: validate(given, {})):
        with pytest.raises(InvalidParameterError, match="is not a schema; there are cache, error"):
            use(name)


def test_generate_of_a_hand_written_one_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="is not a protocol document"):
        generate("plugins/bridge")


@pytest.mark.parametrize(
    ("name", "change", "field", "message"),
    [
        ("network", {"name": "../x"}, "name", "does not match"),
        ("network", {"name": ...}, "", "'name' is a required property"),
        ("network", {"plugins": []}, "plugins", "non-empty"),
        ("network", {"plugins": [{"type": "a/b"}]}, "plugins[0].type", "does not match"),
        ("network", {"plugins": [{"type": "..\n"}, {"type": ".."}]}, "plugins[1].type", "does not match"),
        ("network", {"disableCheck": "yes"}, "disableCheck", "yes"),
        ("network", {"plugins": ..., "loadOnlyInlinedPlugins": "TRUE"}, "", "'plugins' is a required property"),
        ("plugin", {"capabilities": {"mac": "true"}}, "capabilities.mac", "is not of type 'boolean'"),
        ("result-1.1", {"ips": [None]}, "ips[0]", "is not of type 'object'"),
        ("result-1.1", {"ips": [{"address": "10.0.0.1"}]}, "ips[0].address", "does not match"),
        ("result-1.1", {"ips": [{"address": "10.0.0.1/33"}]}, "ips[0].address", "is not a 'cni-cidr'"),
        ("result-1.1", {"routes": [{"dst": "::/0", "mtu": 1.0}]}, "routes[0].mtu", "is not of type 'integer'"),
        ("result-1.0", {"cniVersion": "1.1.0"}, "cniVersion", "is not one of"),
        ("cache", {"config": "*"}, "config", "is not a 'cni-base64'"),
        ("error", {"code": "7"}, "code", "is not of type 'integer'"),
        ("version", {"supportedVersions": ["1.0"]}, "supportedVersions[0]", "does not match"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else None,
)  # fmt: skip
def test_validate_names_field_and_reason(name: str, change: dict[str, Any], field: str, message: str) -> None:
    document = copy.deepcopy(load(name)["examples"][0]) | change
    problems = validate(name, {key: value for key, value in document.items() if value is not ...})
    assert {problem.field for problem in problems} == {field}
    assert message in " ".join(problem.message for problem in problems)
    assert str(problems[0]) == (f"{field}: {problems[0].message}" if field else problems[0].message)


def test_validate_returns_every_problem_in_the_order_of_the_fields() -> None:
    problems = validate("network", {"plugins": [{"type": 1}, {}], "name": 7, "disableGC": 1})
    fields = [problem.field for problem in problems]
    assert fields == sorted(fields)
    assert set(fields) == {"disableGC", "name", "plugins[0].type", "plugins[1]"}


def test_validate_of_a_plugin_schema_checks_addresses() -> None:
    bad = {"type": "static", "addresses": [{"address": "10.0.0.1"}]}
    assert {problem.field for problem in validate("plugins/static", bad)} == {"addresses[0].address"}
