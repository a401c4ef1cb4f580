"""Pages of the reference that are made from the JSON Schemas: documents of ``cnitool``, and keys of configurations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS = Path(__file__).parents[2] / "schemas"
ROOM = 400
"""Characters of a description in a table."""
RESERVED = "x-cni-reserved"

Schema = dict[str, Any]


def load(name: str) -> Schema:
    document: Schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return document


def names(folder: str) -> list[str]:
    return sorted(path.stem for path in (SCHEMAS / folder).glob("*.json"))


def tool_page() -> str:
    """Return the page of the documents that ``cnitool --output json`` prints."""
    head = (
        "# cnitool's JSON\n\nWith `--output json` each call prints one document. Members are added within one major "
        "version; none is removed or changes its type. `cnitool schema cnitool/NAME` prints the schema itself.\n"
    )
    return head + "".join(section(f"cnitool/{name}", name, with_null=True) for name in names("cnitool"))


def configuration_page() -> str:
    """Return the page of the keys that every configuration may have, and of capability arguments."""
    head = (
        "# Configuration keys\n\nThe keys of a network, and those that all plugins share. Each plugin has a page of "
        "its own; `cnitool lint` checks files against all of it.\n"
    )
    parts = [section("network", "A network (`.conflist`)"), section("plugin", "A plugin in it")]
    head_of_capabilities = (
        "\n## Arguments of capabilities\n\nWhat the runtime passes in `runtimeConfig` to a plugin that declares the "
        "capability.\n"
    )
    capabilities = [section(f"capabilities/{name}", f"`{name}`", level=3) for name in names("capabilities")]
    known = ", ".join(f"[{name}](plugins/{name}.md)" for name in names("plugins"))
    return head + "".join(parts) + f"\n## Keys of plugins\n\n{known}\n" + head_of_capabilities + "".join(capabilities)


def plugin_pages() -> dict[str, str]:
    """Return the page of each plugin whose keys are known."""
    back = "\nAll others: [configuration keys](../configuration.md).\n"
    return {name: section(f"plugins/{name}", f"The {name} plugin", level=1) + back for name in names("plugins")}


def list_page() -> str:
    """Return the page that links every schema."""
    lines = ["# JSON Schemas\n\n", "Draft 2020-12; `editor` is draft 07. `cnitool schema NAME` prints one.\n\n"]
    lines += ["| schema | of what |\n| --- | --- |\n"]
    found = [path.relative_to(SCHEMAS).with_suffix("").as_posix() for path in sorted(SCHEMAS.rglob("*.json"))]
    lines += [f"| [{name}](../schemas/{name}.json) | {cell(first_sentence(load(name)))} |\n" for name in found]
    return "".join(lines)


def first_sentence(schema: Schema) -> str:
    text = str(schema.get("description") or schema.get("title") or "")
    return text.split(". ", maxsplit=1)[0].rstrip(".")


def section(name: str, title: str, *, level: int = 2, with_null: bool = False) -> str:
    """Return the section of one schema: what it is of, and a table of its members.

    :param with_null: whether to say of a value that it may be null, which in configurations is the same as absent.
    """
    schema = load(name)
    text = [f"\n{'#' * level} {title}\n", f"\n{schema.get('description', '')}\n"]
    rows: dict[str, str] = {}
    for path, member, is_required in members(schema, schema):
        types = kind(schema, member, with_null=with_null) + (", required" if is_required else "")
        rows.setdefault(path, f"| `{path}` | {types} | {cell(described(resolved(schema, member)))} |\n")
    if rows:
        text.append("\n| key | type | what |\n| --- | --- | --- |\n" + "".join(rows.values()))
    else:
        text.append(f"\nA value of type {kind(schema, schema)}.\n")
    examples = [json.dumps(example, indent=2, ensure_ascii=False) for example in schema.get("examples", [])[:1]]
    return "".join([*text, *[f"\n```json\n{example}\n```\n" for example in examples]])


def members(
    top: Schema, schema: Schema, prefix: str = "", *, above: tuple[str, ...] = ()
) -> Iterator[tuple[str, Schema, bool]]:
    """Go through the members of a schema and of what is below it, each with its path."""
    reference = str(schema.get("$ref", ""))
    if reference in above:
        return
    above = (*above, reference) if reference else above
    schema = resolved(top, schema)
    for key, member in schema.get("properties", {}).items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(member, dict) and key not in reserved(top):
            yield path, member, key in schema.get("required", ())
            yield from members(top, member, path, above=above)
    if isinstance(items := schema.get("items"), dict):
        yield from members(top, items, f"{prefix}[]", above=above)
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from members(top, branch, prefix, above=above)


def reserved(top: Schema) -> set[str]:
    """Return the keys that the runtime inserts, and that stand in no configuration."""
    return {key for key, member in top.get("properties", {}).items() if isinstance(member, dict) and RESERVED in member}


def resolved(top: Schema, schema: Schema) -> Schema:
    """Return a schema with its reference, if it is within the same file, put in."""
    reference = schema.get("$ref", "")
    if not reference.startswith("#/"):
        return schema
    target: Any = top
    for step in reference.removeprefix("#/").split("/"):
        target = target[step]
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def described(member: Schema) -> str:
    what = str(member.get("description", ""))
    default = member.get("default")
    return what if default is None or default in ("", [], {}) else f"{what} Default: `{json.dumps(default)}`."


def kind(top: Schema, schema: Schema, *, with_null: bool = False) -> str:
    """Return the type of a value in words."""
    schema = resolved(top, schema)
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"] if value is not None)
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return " or ".join(each for each in types if each != "null" or with_null or len(types) == 1)
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return " or ".join(dict.fromkeys(kind(top, branch) for branch in branches if branch.get("type") != "null")) or "any"


def cell(text: str) -> str:
    """Return a text as the cell of a table."""
    text = " ".join(text.split()).replace("|", "&#124;").replace("<", "&lt;")
    return text if len(text) <= ROOM else text[:ROOM].rsplit(" ", 1)[0] + " …"
