"""The schemas of plugin configurations as tests see them: the files, the formats they name, the paths of their keys."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from libcni.jsontext.decode import parse
from libcni.jsontext.scan import format_path
from libcni.schema import format_checker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema.exceptions import ValidationError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_DIR = ROOT / "schemas" / "plugins"
CONFIGURATION_DIR = ROOT / "testdata" / "configurations"
INDEX_FILE = ROOT / "testdata" / "configurations.json"

FORMATS = format_checker()


@functools.cache
def load_schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by its name: the type of its plugin, with ``-ipam`` where a type is of both kinds."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(SCHEMA_DIR.glob("*.json"))}


@functools.cache
def validator(plugin_type: str) -> Draft202012Validator:
    return Draft202012Validator(load_schemas()[plugin_type], format_checker=FORMATS)


def configuration_files() -> list[Path]:
    return sorted(CONFIGURATION_DIR.iterdir())


def plugins_of(document: dict[str, Any]) -> list[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """Return every plugin object of a configuration with its path; the whole document when it is no list."""
    if "plugins" not in document:
        return [((), document)]
    return [(("plugins", index), plugin) for index, plugin in enumerate(document["plugins"])]


def objects_of(document: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str, dict[str, Any]]]:
    """Yield path, type and object of every plugin and every IPAM plugin that has a schema."""
    for path, plugin in plugins_of(document):
        for at, found in ((path, plugin), ((*path, "ipam"), plugin.get("ipam", {}))):
            plugin_type = found.get("type") if isinstance(found, dict) else None
            name = schema_name(plugin_type, is_ipam=at != path)
            if name:
                yield at, name, found


def schema_name(plugin_type: object, *, is_ipam: bool) -> str:
    """Return the name of the schema for a plugin, or ``""``."""
    for name in (plugin_type, f"{plugin_type}-ipam"):
        schema = load_schemas().get(name) if isinstance(name, str) else None
        if schema and schema.get("x-cni-type", name) == plugin_type and (schema["x-cni-kind"] == "ipam") == is_ipam:
            return str(name)
    return ""


def problems(text: str) -> dict[str, str]:
    """Return what the plugin schemas say about a configuration: message by field.

    A missing key is reported under its own name, below the object that lacks it.
    """
    found: dict[str, str] = {}
    for path, plugin_type, value in objects_of(parse(text)):
        for error in validator(plugin_type).iter_errors(value):
            for field in _fields(error):
                found.setdefault(format_path((*path, *error.absolute_path, *field)), error.message)
    return found


def _fields(error: ValidationError) -> list[tuple[str, ...]]:
    instance: Any = error.instance
    rule: Any = error.validator_value
    if error.validator == "required":
        return [(key,) for key in rule if key not in instance]
    if error.validator == "dependentRequired":
        wanted = {key for name, keys in rule.items() if name in instance for key in keys}
        return [(key,) for key in sorted(wanted) if key not in instance]
    if "propertyNames" in error.absolute_schema_path:
        return [(instance,)]
    return [()]


def resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a schema with what it refers to merged in."""
    reference = node.get("$ref")
    if reference is None:
        return node
    target = schema["$defs"][reference.removeprefix("#/$defs/")]
    return {**resolve(schema, target), **{key: value for key, value in node.items() if key != "$ref"}}


def property_paths(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the documented properties by their paths, such as ``ranges[][].subnet``, but for reserved ones."""
    found: dict[str, dict[str, Any]] = {}
    _collect(schema, schema, "", found)
    return found


def _collect(schema: dict[str, Any], node: dict[str, Any], prefix: str, found: dict[str, dict[str, Any]]) -> None:
    for key, value in node.get("properties", {}).items():
        member = resolve(schema, value)
        if not member.get("x-cni-reserved") and "not" not in member:
            path = f"{prefix}.{key}" if prefix else key
            found[path] = member
            _collect(schema, member, path, found)
    if isinstance(node.get("items"), dict):
        _collect(schema, resolve(schema, node["items"]), f"{prefix}[]", found)


def used_paths(value: Any, prefix: str = "") -> set[str]:
    """Return the paths of all keys in a value, written like those of :func:`property_paths`."""
    if isinstance(value, list):
        return set().union(*(used_paths(item, f"{prefix}[]") for item in value))
    if not isinstance(value, dict):
        return set()
    paths = {key: f"{prefix}.{key}" if prefix else key for key in value}
    return set(paths.values()).union(*(used_paths(value[key], path) for key, path in paths.items()))
