"""JSON Schemas of everything that can be checked before a plugin runs, and the checking.

The schemas of the protocol documents are generated from the models in :mod:`libcni.protocol`; those of plugin
configurations are written by hand. Both stand in ``schemas/`` of the repository and are installed with the package.
``python -m libcni.schema DIRECTORY`` writes the generated ones. Go libcni has no counterpart. Source: JSON Schema draft
2020-12; SPEC 1.1.0.
"""

from __future__ import annotations

import ast
import functools
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from libcni import protocol
from libcni.addresses import parse_address, parse_cidr
from libcni.document import format_path
from libcni.errors import InvalidParameterError
from libcni.frozen import is_array, is_object
from libcni.scalars import decode_base64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema import FormatChecker, ValidationError
    from jsonschema.protocols import Validator

__all__ = ["SchemaProblem", "generate", "load", "names", "validate"]

Schema: TypeAlias = dict[str, Any]

_PACKAGE = Path(__file__).parent
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One thing that a schema rejects: the path of the field, such as ``plugins[1].type``, and why."""

    field: str
    message: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


@dataclass(frozen=True, slots=True)
class _Generated:
    model: type[protocol.Document]
    title: str
    example: Any


_NULL = {"type": "null"}

_RESULT_10: Schema = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": "00:11:22:33:44:66", "sandbox": "/var/run/netns/blue"}],
    "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 0}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {"nameservers": ["10.1.0.1"]},
}
_RESULT_03: Schema = _RESULT_10 | {
    "cniVersion": "0.4.0",
    "ips": [{"version": "4", "address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 0}],
}
_RESULT_11: Schema = _RESULT_10 | {
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "eth0", "mac": "00:11:22:33:44:66", "mtu": 1500, "sandbox": "/var/run/netns/blue"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "priority": 100, "table": 254, "scope": 0}],
}
_RESULT_01: Schema = {
    "cniVersion": "0.2.0",
    "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
    "dns": {"nameservers": ["10.1.0.1"]},
}
_PLUGIN: Schema = {"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"}}
_NETWORK: Schema = {"cniVersion": "1.1.0", "cniVersions": ["0.4.0", "1.1.0"], "name": "dbnet", "plugins": [_PLUGIN]}
_ERROR: Schema = {"cniVersion": "1.1.0", "code": 7, "msg": "invalid configuration", "details": "subnet is missing"}
_CACHE: Schema = {
    "kind": protocol.CACHE_KIND,
    "containerId": "blue",
    "config": "eyJuYW1lIjoiZGJuZXQifQ==",
    "ifName": "eth0",
    "networkName": "dbnet",
    "cniArgs": [["IgnoreUnknown", "1"]],
    "capabilityArgs": {"mac": "00:11:22:33:44:66"},
    "result": _RESULT_10,
}

_GENERATED = {
    "network": _Generated(protocol.NetworkDocument, "CNI network configuration list", _NETWORK),
    "plugin": _Generated(
        protocol.PluginDocument, "CNI plugin configuration", {"cniVersion": "0.4.0", "name": "dbnet"} | _PLUGIN
    ),
    "result-0.2": _Generated(protocol.ResultDocument01, "CNI result, versions 0.1.0 and 0.2.0", _RESULT_01),
    "result-0.4": _Generated(protocol.ResultDocument03, "CNI result, versions 0.3.0, 0.3.1 and 0.4.0", _RESULT_03),
    "result-1.0": _Generated(protocol.ResultDocument10, "CNI result, version 1.0.0", _RESULT_10),
    "result-1.1": _Generated(protocol.ResultDocument11, "CNI result, version 1.1.0", _RESULT_11),
    "error": _Generated(protocol.ErrorDocument, "CNI error", _ERROR),
    "version": _Generated(
        protocol.VersionDocument,
        "CNI version information",
        {"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]},
    ),
    "cache": _Generated(protocol.CacheDocument, "CNI cache file", _CACHE),
}


def generate(name: str) -> Schema:
    """Build the schema of a protocol document from its model.

    :raises InvalidParameterError: if ``name`` is not one of a protocol document.
    """
    source = _GENERATED.get(name)
    if source is None:
        raise InvalidParameterError("name", name, f"is not a protocol document; there are {', '.join(_GENERATED)}")
    schema: Schema = _tidied(source.model.model_json_schema(mode="validation"))
    _describe(schema, source.model.__name__)
    for model, definition in schema.get("$defs", {}).items():
        _describe(definition, model)
    schema.pop("title", None)
    head = {"$schema": _DIALECT, "$id": f"urn:libcni:schema:{name}", "title": source.title}
    return head | schema | {"examples": [source.example]}


def _describe(schema: Schema, model: str) -> None:
    """Give each property the text below it in the model, and below that of the model's bases."""
    for name, member in schema.get("properties", {}).items():
        for parent in getattr(protocol, model).__mro__:
            text = _member_texts().get((parent.__name__, name))
            if text:
                text = " ".join(text.replace("``", "").split())
                schema["properties"][name] = {"description": text} | member
                break


@functools.cache
def _member_texts() -> dict[tuple[str, str], str]:
    """Read the texts below the members of the models; at import, this would cost more than all the models."""
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(Path(protocol.__file__).read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for member, below in itertools.pairwise(node.body):
            match member, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[node.name, name] = text
                case _:
                    pass
    return found


def _tidied(node: Any, *, is_properties: bool = False) -> Any:
    """Take out what pydantic adds and says nothing: titles made from names, and absent values as a default."""
    if is_array(node):
        return [_tidied(item) for item in node]
    if not is_object(node):
        return node
    if is_properties:
        return {key: _tidied(value) for key, value in node.items()}
    kept = {key: value for key, value in node.items() if key != "title" and (key, value) != ("default", None)}
    if isinstance(kept.get("description"), str):
        kept["description"] = " ".join(kept["description"].replace("``", "").split())
    return {key: _tidied(value, is_properties=key in {"properties", "$defs"}) for key, value in kept.items()}


@functools.cache
def _directory() -> Path:
    installed = _PACKAGE / "_schemas"
    return installed if installed.is_dir() else _PACKAGE.parent / "schemas"


def names() -> list[str]:
    """Return the names of all schemas, such as ``network`` and ``plugins/bridge``, sorted."""
    directory = _directory()
    return sorted(path.relative_to(directory).with_suffix("").as_posix() for path in directory.rglob("*.json"))


def load(name: str) -> Schema:
    """Return a schema as a new JSON object.

    :param name: of a protocol document, or ``plugins/<type>``.
    :raises InvalidParameterError: if there is no such schema.
    """
    schema: Schema = json.loads(_text(name))
    return schema


@functools.cache
def _text(name: str) -> str:
    if name not in names():
        raise InvalidParameterError("name", name, f"is not a schema; there are {', '.join(names())}")
    return (_directory() / f"{name}.json").read_text(encoding="utf-8")


def validate(name: str, document: Any) -> list[SchemaProblem]:
    """Return everything that a schema rejects in a decoded document, in the order of the fields.

    :raises InvalidParameterError: if there is no such schema.
    """
    errors: Iterator[ValidationError] = _validator(name).iter_errors(document)
    found = [problem for error in errors for problem in _problems(error)]
    return sorted(set(found), key=lambda problem: [str(step) for step in problem.path])


def _problems(error: ValidationError) -> Iterator[SchemaProblem]:
    """Flatten an error: of a value that may be one thing or absent, what is wrong with it as that thing."""
    branches: dict[object, list[ValidationError]] = {}
    for inner in error.context or ():
        if inner.schema != _NULL:
            branches.setdefault(inner.schema_path[0], []).append(inner)
    if branches:
        # Of several forms that a value may have, the one that it comes closest to is meant.
        meant = max(branches.values(), key=lambda inner: max(len(item.absolute_path) for item in inner))
        for inner in meant:
            yield from _problems(inner)
        return
    path = tuple(error.absolute_path)
    yield SchemaProblem(format_path(path), error.message[:500], path)


@functools.cache
def _validator(name: str) -> Validator:
    from jsonschema import Draft202012Validator, validators
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    def retrieve(uri: str) -> Any:
        return DRAFT202012.create_resource(load(uri.removeprefix("urn:libcni:schema:").replace("plugins:", "plugins/")))

    checker = Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
    # jsonschema leaves the first untyped, and attrs gives the parameter of the second another name.
    extended: Any = validators
    made: Any = Registry
    kind: Any = extended.extend(Draft202012Validator, type_checker=checker)
    validator: Validator = kind(load(name), format_checker=_formats(), registry=made(retrieve=retrieve))
    return validator


def _is_integer(_checker: object, value: object) -> bool:
    # 1.0 is an integer to JSON Schema, and is none to Go and to the models.
    return isinstance(value, int) and not isinstance(value, bool)


@functools.cache
def _formats() -> FormatChecker:
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=("ipv4", "ipv6"))
    checks: dict[str, Callable[[str], object]] = {
        "cni-cidr": parse_cidr,
        "cni-gateway": lambda text: not text or parse_address(text),
        "cni-address": _address_or_cidr,
        "cni-mac": _mac,
        "cni-base64": decode_base64,
    }
    for name, check in checks.items():
        checker.checks(name, raises=ValueError)(_for_text(check))
    return checker


def _for_text(check: Callable[[str], object]) -> Callable[[object], bool]:
    def is_valid(value: object) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    return is_valid


def _address_or_cidr(text: str) -> object:
    return parse_cidr(text) if "/" in text else parse_address(text)


def _mac(text: str) -> None:
    separator = next((character for character in ":-" if character in text), ".")
    octets = bytes.fromhex(text.replace(separator, ""))
    if len(octets) not in {6, 8, 20}:
        raise ValueError(f"{text!r} is not a hardware address")


def main(directory: str) -> None:
    """Write the generated schemas into a directory."""
    for name in _GENERATED:
        text = json.dumps(generate(name), indent=2, ensure_ascii=False)
        (Path(directory) / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
