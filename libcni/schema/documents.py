"""The schemas that are made from models: of the protocol documents, and of capability arguments."""

from __future__ import annotations

import ast
import functools
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcni.errors import InvalidParameterError
from libcni.jsontext.frozen import is_array, is_object
from libcni.protocol import cache_keys, capabilities
from libcni.protocol import documents as protocol
from libcni.protocol.documents import (
    base,
    cache_file,
    configuration,
    error_and_version,
    ipam_results,
    results01,
    results03,
    results10,
    results11,
)
from libcni.schema.editor import editor_schema

if TYPE_CHECKING:
    from types import ModuleType

    from pydantic import BaseModel

    from libcni.schema.files import Schema

__all__ = ["generate", "generated_names", "model_of", "write"]

_MODULES: tuple[ModuleType, ...] = (
    *(base, configuration, results01, results03, results10, results11, error_and_version, cache_file),
    *(ipam_results, capabilities),
)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class _Generated:
    model: type[BaseModel]
    title: str
    example: Any


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
_IP: Schema = {"address": "10.1.0.5/16", "gateway": "10.1.0.1"}
_RESULT_01: Schema = {
    "cniVersion": "0.2.0",
    "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
    "dns": {"nameservers": ["10.1.0.1"]},
}
_PLUGIN: Schema = {"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"}}
_NETWORK: Schema = {"cniVersion": "1.1.0", "cniVersions": ["0.4.0", "1.1.0"], "name": "dbnet", "plugins": [_PLUGIN]}
_ERROR: Schema = {"cniVersion": "1.1.0", "code": 7, "msg": "invalid configuration", "details": "subnet is missing"}
_CACHE: Schema = {
    cache_keys.KIND: cache_keys.CACHE_KIND,
    cache_keys.CONTAINER_ID: "blue",
    cache_keys.CONFIG: "eyJuYW1lIjoiZGJuZXQifQ==",
    cache_keys.IF_NAME: "eth0",
    cache_keys.NETWORK_NAME: "dbnet",
    cache_keys.CNI_ARGS: [["IgnoreUnknown", "1"]],
    cache_keys.CAPABILITY_ARGS: {"mac": "00:11:22:33:44:66"},
    cache_keys.RESULT: _RESULT_10,
}

_DOCUMENTS = {
    "network": _Generated(protocol.NetworkDocument, "CNI network configuration list", _NETWORK),
    "plugin": _Generated(
        protocol.PluginDocument, "CNI plugin configuration", {"cniVersion": "0.4.0", "name": "dbnet"} | _PLUGIN
    ),
    "result-0.2": _Generated(protocol.ResultDocument01, "CNI result, versions 0.1.0 and 0.2.0", _RESULT_01),
    "result-0.4": _Generated(protocol.ResultDocument03, "CNI result, versions 0.3.0, 0.3.1 and 0.4.0", _RESULT_03),
    "result-1.0": _Generated(protocol.ResultDocument10, "CNI result, version 1.0.0", _RESULT_10),
    "result-1.1": _Generated(protocol.ResultDocument11, "CNI result, version 1.1.0", _RESULT_11),
    "ipam-result-0.2": _Generated(
        ipam_results.IPAMResultDocument01, "CNI result of an IPAM plugin, versions 0.1.0 and 0.2.0", _RESULT_01
    ),
    "ipam-result-0.4": _Generated(
        ipam_results.IPAMResultDocument03,
        "CNI result of an IPAM plugin, versions 0.3.0, 0.3.1 and 0.4.0",
        {"cniVersion": "0.4.0", "ips": [_IP | {"version": "4"}], "routes": [{"dst": "0.0.0.0/0"}], "dns": {}},
    ),
    "ipam-result-1.0": _Generated(
        ipam_results.IPAMResultDocument10,
        "CNI result of an IPAM plugin, version 1.0.0",
        {"cniVersion": "1.0.0", "ips": [_IP], "routes": [{"dst": "0.0.0.0/0"}], "dns": {}},
    ),
    "ipam-result-1.1": _Generated(
        ipam_results.IPAMResultDocument11,
        "CNI result of an IPAM plugin, version 1.1.0",
        {"cniVersion": "1.1.0", "ips": [_IP], "routes": [{"dst": "0.0.0.0/0", "priority": 100}], "dns": {}},
    ),
    "error": _Generated(protocol.ErrorDocument, "CNI error", _ERROR),
    "version": _Generated(
        protocol.VersionDocument,
        "CNI version information",
        {"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.0.0", "1.1.0"]},
    ),
    "cache": _Generated(protocol.CacheDocument, "CNI cache file", _CACHE),
    "args-cni": _Generated(
        capabilities.ArgsDocument,
        "CNI arguments below args.cni",
        {"labels": [{"key": "app", "value": "shop"}], "ips": ["10.1.0.7", "fd00:1::7"]},
    ),
}

_ARGUMENTS: dict[str, Any] = {
    "aliases": ["shop", "shop-database"],
    "bandwidth": {"ingressRate": 8000000, "ingressBurst": 800000, "egressRate": 8000000, "egressBurst": 800000},
    "cgroupPath": "/machine.slice/shop",
    "deviceID": "0000:3b:00.1",
    "dns": {"servers": ["10.1.0.1"], "searches": ["shop.example"], "options": ["ndots:2"]},
    "infinibandGUID": "0a:58:0a:01:00:05:00:01",
    "ipRanges": [
        [{"subnet": "10.1.0.0/16", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.99", "gateway": "10.1.0.1"}]
    ],
    "ips": ["10.1.0.7/16", "fd00:1::7"],
    "mac": "0a:58:0a:01:00:05",
    "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1"}],
}
"""An example of each capability's argument."""

_GENERATED = _DOCUMENTS | {
    f"capabilities/{name}": _Generated(model, f"CNI capability argument {name}", _ARGUMENTS[name])
    for name, model in capabilities.CAPABILITIES.items()
}


def generate(name: str) -> Schema:
    """Build the schema of a protocol document or a capability argument from its model.

    :raises InvalidParameterError: if ``name`` is not one of a generated schema.
    """
    source = _source(name)
    schema: Schema = _tidied(source.model.model_json_schema(mode="validation"))
    _describe(schema, source.model.__name__)
    for model, definition in schema.get("$defs", {}).items():
        _describe(definition, model)
    schema.pop("title", None)
    head = {"$schema": _DIALECT, "$id": f"urn:libcni:schema:{name.replace('/', ':')}", "title": source.title}
    return head | schema | {"examples": [source.example]}


def _describe(schema: Schema, model: str) -> None:
    """Give each property the text below it in the model, and below that of the model's bases."""
    parents = next(getattr(module, model) for module in _MODULES if hasattr(module, model)).__mro__
    for name, member in schema.get("properties", {}).items():
        text = next((found for parent in parents if (found := _member_texts().get((parent.__name__, name)))), "")
        if text:
            schema["properties"][name] = {"description": " ".join(text.replace("``", "").split())} | member


@functools.cache
def _member_texts() -> dict[tuple[str, str], str]:
    """Read the texts below the members of the models; at import, this would cost more than all the models."""
    found: dict[tuple[str, str], str] = {}
    trees = [ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")) for module in _MODULES]
    for node in itertools.chain.from_iterable(tree.body for tree in trees):
        if not isinstance(node, ast.ClassDef):
            continue
        for member, below in itertools.pairwise(node.body):
            match member, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[node.name, name] = text
                case _:
                    pass
    return found


def _source(name: str) -> _Generated:
    source = _GENERATED.get(name)
    if source is None:
        raise InvalidParameterError("name", name, f"is not a generated schema; there are {', '.join(_GENERATED)}")
    return source


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


def generated_names() -> list[str]:
    """Return the names of the schemas that are generated."""
    return list(_GENERATED)


def model_of(name: str) -> type[BaseModel]:
    """Return the model that a schema is generated from.

    :raises InvalidParameterError: if ``name`` is not one of a generated schema.
    """
    return _source(name).model


def write(directory: str) -> None:
    """Write the generated schemas into a directory."""
    for name in _GENERATED:
        path = Path(directory) / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(generate(name), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    text = json.dumps(editor_schema(), indent=1, ensure_ascii=False) + "\n"
    Path(directory, "editor.json").write_text(text, encoding="utf-8")
