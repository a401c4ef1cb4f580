"""Schemas: which there are, what they reject, and that the files are what the models say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import AfterValidator, ConfigDict

from libcni import InvalidParameterError
from libcni.protocol import documents as protocol
from libcni.protocol.documents import core_schemas
from libcni.schema import generate, generated_names, load, names, validate, validators
from libcni.schema.documents import write

SCHEMAS = Path(__file__).parents[2] / "schemas"
GENERATED = tuple(generated_names())


def test_names_are_the_files() -> None:
    assert set(GENERATED) <= set(names())
    assert {"plugins/bridge", "plugins/host-local"} <= set(names())
    assert names() == sorted(path.relative_to(SCHEMAS).with_suffix("").as_posix() for path in SCHEMAS.rglob("*.json"))


@pytest.mark.parametrize("name", GENERATED)
def test_file_is_what_the_model_says(name: str) -> None:
    text = json.dumps(generate(name), indent=2, ensure_ascii=False) + "\n"
    assert (SCHEMAS / f"{name}.json").read_text() == text, "run: python -m libcni.schema schemas"


def test_validators_are_what_the_models_say(tmp_path: Path) -> None:
    validators.write(str(tmp_path / "written.json"))
    kept = Path(core_schemas.__file__).with_name("validators.json")
    command = "run: python -m libcni.schema.validators libcni/protocol/documents/validators.json"
    assert kept.read_text() == (tmp_path / "written.json").read_text(), command


def test_validated_document_has_the_members_of_its_model_and_is_not_changed() -> None:
    document = core_schemas.validated("PluginDocument", {"type": "bridge", "mtu": 1500})
    assert type(document).model_fields == set(protocol.PluginDocument.model_fields)
    assert (document.type, document.dns, document.model_extra) == ("bridge", None, {"mtu": 1500})
    with pytest.raises(AttributeError, match="PluginDocument is not to be changed: type"):
        document.type = "ptp"


def test_model_that_cannot_be_expressed_is_refused() -> None:
    def check(value: str) -> str:
        return value

    class Own(protocol.Document):
        model_config = ConfigDict(strict=False)

    class Other(protocol.Document):
        name: Annotated[str, AfterValidator(check)]

    for model, message in ((Own, "configuration of its own"), (Other, "check is not one of the field validators")):
        model.model_rebuild(force=True)
        with pytest.raises(ValueError, match=message):
            validators._Collection().add(dict(model.__pydantic_core_schema__))


def test_write_writes_the_generated_files(tmp_path: Path) -> None:
    write(str(tmp_path))
    written = [path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.json")]
    assert sorted(written) == sorted([*GENERATED, "editor"])
    assert (tmp_path / "network.json").read_bytes() == (SCHEMAS / "network.json").read_bytes()


@pytest.mark.parametrize("name", GENERATED)
def test_schema_has_a_head_and_its_example_is_valid(name: str) -> None:
    loaded = load(name)
    assert loaded["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert loaded["$id"] == f"urn:libcni:schema:{name.replace('/', ':')}"
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
        with pytest.raises(InvalidParameterError, match="is not a schema; there are args-cni, cache"):
            use(name)


def test_generate_of_a_hand_written_one_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="is not a generated schema"):
        generate("plugins/bridge")


@pytest.mark.parametrize(
    ("name", "change", "field", "message"),
    [
        ("network", {"name": "../x"}, "name", "has not the form"),
        ("network", {"name": ...}, "name", "is required"),
        ("network", {"plugins": []}, "plugins", "must not be empty"),
        ("network", {"plugins": [{"type": "a/b"}]}, "plugins[0].type", "has not the form"),
        ("network", {"plugins": [{"type": "..\n"}, {"type": ".."}]}, "plugins[1].type", "has not the form"),
        ("network", {"disableCheck": "yes"}, "disableCheck", "expected a boolean, found a string"),
        ("network", {"plugins": ..., "loadOnlyInlinedPlugins": "TRUE"}, "plugins", "is required, because of loadOnly"),
        ("plugin", {"capabilities": {"mac": "true"}}, "capabilities.mac", "expected a boolean, found a string"),
        ("result-1.1", {"ips": [None]}, "ips[0]", "expected an object, found null"),
        ("result-1.1", {"ips": [{"address": "10.0.0.1"}]}, "ips[0].address", "has not the form"),
        ("result-1.1", {"ips": [{"address": "10.0.0.1/33"}]}, "ips[0].address", "has a prefix length of more than 32"),
        ("result-1.1", {"routes": [{"dst": "::/0", "mtu": 1.0}]}, "routes[0].mtu", "expected an integer, found"),
        ("result-1.0", {"cniVersion": "1.1.0"}, "cniVersion", "must be one of '', '1.0.0'"),
        ("cache", {"config": "*"}, "config", "not base64"),
        ("error", {"code": "7"}, "code", "expected an integer, found a string"),
        ("version", {"supportedVersions": ["1.0"]}, "supportedVersions[0]", "has not the form"),
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
    assert set(fields) == {"disableGC", "name", "plugins[0].type", "plugins[1].type"}


def test_validate_of_a_plugin_schema_checks_addresses() -> None:
    bad = {"type": "static", "addresses": [{"address": "10.0.0.1"}]}
    assert {problem.field for problem in validate("plugins/static", bad)} == {"addresses[0].address"}
