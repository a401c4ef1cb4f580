"""One schema for editors: a configuration file as a whole, with each plugin checked by its own schema.

Made from the schemas of networks and plugins, in draft-07, which editors and SchemaStore know. Every reference is
written out, so that each key has its description where an editor looks for it. Source: JSON Schema draft-07.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.jsontext.frozen import array_of, is_array, is_object, object_of
from libcni.protocol.versions import SUPPORTED_VERSIONS
from libcni.schema.files import load, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcni.schema.files import Schema

__all__ = ["EDITOR_ID", "FILE_MATCH", "editor_schema"]

EDITOR_ID = "urn:libcni:schema:editor"
FILE_MATCH = ("*.conflist", "**/cni/net.d/*.conf", "**/cni/net.d/*.json")
"""Names of the files that the schema is for, as SchemaStore and editors take them."""

_PREFIX = "plugins/"
_DEFINITIONS = "#/definitions/"
_RENAMED = {"dependentRequired": "dependencies"}
_TYPE_TEXT = "File name of the plugin; what stands beside it depends on it."
_IPAM_TEXT = "File name of the IPAM plugin, which gives the addresses."
_PLUGIN_TEXT = "Configuration of one plugin; its type decides which keys it has."


def editor_schema(identifier: str = EDITOR_ID) -> Schema:
    """Return the schema of a configuration file, a list or a single plugin, as a new JSON object.

    :param identifier: its ``$id``, such as the address at which it is published.
    """
    plugins = [load(name) for name in names() if name.startswith(_PREFIX)]
    ipam = [one for one in plugins if one["x-cni-kind"] == "ipam"]
    others = [one for one in plugins if one["x-cni-kind"] != "ipam"]
    definitions: Schema = {
        "list": _list(load("network")),
        "plugin": _chosen(others, "plugin", _TYPE_TEXT) | {"description": _PLUGIN_TEXT, "required": ["type"]},
        "ipam": _chosen(ipam, "ipam", _IPAM_TEXT) | {"type": ["object", "null"]},
    }
    definitions["plugin"]["properties"]["ipam"] = {"$ref": _DEFINITIONS + "ipam"}
    for one in plugins:
        kind = "ipam" if one["x-cni-kind"] == "ipam" else "plugin"
        definitions[f"{kind}-{_type_of(one)}"] = _portable(one, one)
    for one in others:
        for member, given in object_of(one.get("x-cni-delegates")).items():
            _reach_into(definitions, f"plugin-{_type_of(one)}", member, given=object_of(given))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": identifier,
        "title": "CNI network configuration",
        "description": "A network configuration list (.conflist), or the configuration of a single plugin (.conf).",
        "type": "object",
        "if": {"required": ["type"], "not": {"required": ["plugins"]}},
        "then": {"allOf": [{"$ref": _DEFINITIONS + "plugin"}, {"required": ["name"]}]},
        "else": {"$ref": _DEFINITIONS + "list"},
        "definitions": definitions,
    }


def _reach_into(definitions: Schema, name: str, member: str, *, given: Mapping[str, Any]) -> None:
    """Let a schema take the schemas of the plugins that its plugin calls, beside what it says of them itself.

    :param given: members that the calling plugin puts in, which need not be there.
    """
    found: Schema = definitions[name]["properties"][member]
    part = found.get("items", found)
    plugin = {"$ref": _DEFINITIONS + "plugin"}
    if not given:
        inner = {
            "if": {"required": ["plugins"]},
            "then": {"properties": {"plugins": {"items": plugin}}},
            "else": plugin,
        }
        part["allOf"] = [*part.get("allOf", ()), inner]
        return
    default = str(given.get("type", ""))
    types = [key.removeprefix("plugin-") for key in definitions if key.startswith("plugin-")]
    called = {one: {"$ref": _DEFINITIONS + _called(definitions, one, given, default=default)} for one in types}
    part["allOf"] = [
        {"if": {"required": ["type"], "properties": {"type": {"const": one}}}, "then": target}
        for one, target in called.items()
    ]
    if default:
        part["allOf"].append({"if": {"not": {"required": ["type"]}}, "then": called[default]})


def _called(definitions: Schema, plugin_type: str, given: Mapping[str, Any], *, default: str) -> str:
    """Return the name of a plugin's schema in which nothing is required that the calling plugin puts in."""
    name = f"plugin-{plugin_type}"
    required = definitions[name].get("required", [])
    left = [key for key in required if key not in given or (key == "type" and plugin_type != default)]
    if left == required:
        return name
    relaxed = f"called-{plugin_type}"
    definitions[relaxed] = definitions[name] | {"required": left}
    return relaxed


def _type_of(schema: Mapping[str, Any]) -> str:
    return str(schema["properties"]["type"]["const"])


def _chosen(schemas: Iterable[Schema], kind: str, text: str) -> Schema:
    """Return a schema that takes the schema of the plugin that ``type`` names, and knows the names for completion."""
    known = sorted(_type_of(one) for one in schemas)
    named = {"description": text, "anyOf": [{"enum": known}, {"type": ["string", "null"], "pattern": r"^[^/\\\s]*$"}]}
    return {
        "type": "object",
        "properties": {"type": named},
        "allOf": [
            {
                "if": {"required": ["type"], "properties": {"type": {"const": name}}},
                "then": {"$ref": f"{_DEFINITIONS}{kind}-{name}"},
            }
            for name in known
        ],
    }


def _list(network: Schema) -> Schema:
    """Return the schema of a list: that of the protocol, with its versions by name, and plugins that must be there."""
    found: Schema = _portable(network, network)
    members: Schema = found["properties"]
    versions = {"enum": list(SUPPORTED_VERSIONS)}
    members["cniVersion"] = {"description": members["cniVersion"]["description"], **versions}
    members["cniVersions"]["items"] = {"anyOf": [versions, members["cniVersions"]["items"]]}
    members["plugins"] = {
        "description": members["plugins"]["description"],
        "type": "array",
        "minItems": 1,
        "items": {"$ref": _DEFINITIONS + "plugin"},
    }
    return found | {"required": ["name", "plugins"]}


def _portable(root: Schema, node: Any) -> Any:
    """Return a part of a schema in draft-07: references written out, and without what is this library's own."""
    if is_array(node):
        return [_portable(root, item) for item in node]
    if not is_object(node):
        return node
    members = object_of(node)
    reference = members.get("$ref")
    if isinstance(reference, str):
        target = object_of(object_of(root["$defs"])[reference.removeprefix("#/$defs/")])
        members = {**target, **{key: value for key, value in members.items() if key != "$ref"}}
    written: Schema = {}
    for key, value in members.items():
        if not key.startswith(("x-cni-", "$")) and key not in {"examples", "format"}:
            written[_RENAMED.get(key, key)] = _member(root, key, value)
    return written


def _member(root: Schema, key: str, value: Any) -> Any:
    if key in {"properties", "patternProperties"}:
        return {name: _portable(root, member) for name, member in object_of(value).items()}
    if key in {"enum", "const", "default", "required", "type"}:
        return list(array_of(value)) if is_array(value) else value
    return _portable(root, value)
