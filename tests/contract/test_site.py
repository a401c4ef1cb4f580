"""The site: every page has its place in it once, and what is made from the schemas has all of them."""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from docs.site import schema_pages, tool_page
from libcni.cli.root import cnitool
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = ROOT / "docs"
STABILITY = (DOCS / "reference" / "stability.md").read_text(encoding="utf-8")
MODULES = re.findall(r"^\| `(libcni[\w.]*)` \|", STABILITY, re.MULTILINE)
MADE = {
    "reference/cnitool.md",
    "index.md",
    "changelog.md",
    "reference/cnitool-json.md",
    "reference/configuration.md",
    "reference/schemas.md",
}


def navigation(value: Any) -> Iterator[str]:
    """Go through the pages of a part of the navigation."""
    if isinstance(value, str):
        yield value
        return
    for each in value.values() if isinstance(value, dict) else value:
        yield from navigation(each)


def test_every_page_has_one_place_in_the_navigation() -> None:
    settings = yaml.safe_load((DOCS / "site" / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = sorted(navigation(settings["nav"]))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    modules = {f"reference/python/{name}.md" for name in MODULES}
    assert listed == sorted(pages | MADE | modules)


@pytest.mark.parametrize("name", MODULES)
def test_public_module_says_what_it_offers(name: str) -> None:
    assert importlib.import_module(name).__all__


def test_page_of_documents_has_each_document_and_member() -> None:
    page = schema_pages.tool_page()
    for name in schema_pages.names("cnitool"):
        part = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        schema = schema_pages.load(f"cnitool/{name}")
        assert str(schema["description"]) in part
        for key in schema.get("properties", {}):
            assert f"| `{key}` |" in part, (name, key)


def test_page_of_the_tool_has_each_verb_with_its_options() -> None:
    page = tool_page.page()
    root = click.Context(cnitool)
    verbs = cnitool.list_commands(root)
    assert {"add", "run", "trace"} < set(verbs)
    for verb in verbs:
        command = cnitool.get_command(root, verb)
        assert command is not None
        part = page.partition(f"\n### cnitool {verb}\n")[2].partition("\n### ")[0]
        shown = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
        assert [param.opts for param in shown if param.opts[-1] not in part] == [], verb


def test_pages_of_plugins_have_each_key_and_no_reserved_one() -> None:
    pages = schema_pages.plugin_pages()
    assert set(pages) == set(schema_pages.names("plugins"))
    for name, page in pages.items():
        for key, member in schema_pages.load(f"plugins/{name}")["properties"].items():
            assert (f"| `{key}` |" in page) is not bool(member.get(schema_pages.RESERVED)), (name, key)
    assert "| `ipam` |" in pages["bridge"]


def test_page_of_configurations_has_networks_and_every_capability() -> None:
    page = schema_pages.configuration_page()
    keys = {"name", "disableGC", "plugins[].type", *(f"`{name}`" for name in schema_pages.names("capabilities"))}
    assert [key for key in keys if key not in page] == []
    assert "[].hostPort" in page


def test_members_of_a_schema_that_contains_itself_have_an_end() -> None:
    node: dict[str, Any] = {"properties": {"next": {"$ref": "#/$defs/node"}, "name": {"type": "string"}}}
    found = [path for path, _, _ in schema_pages.members({"$defs": {"node": node}}, node)]
    assert found == ["next", "next.next", "next.name", "name"]


def test_examples_on_the_pages_are_documents() -> None:
    text = schema_pages.configuration_page() + "".join(schema_pages.plugin_pages().values())
    examples = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert len(examples) > len(schema_pages.names("plugins"))
    for example in examples:
        json.loads(example)


def test_page_of_schemas_has_each_with_what_it_is_of() -> None:
    rows = re.findall(r"^\| \[(\S+)\]\(\S+\) \| (.+) \|$", schema_pages.list_page(), re.MULTILINE)
    assert len(rows) == len(list(schema_pages.SCHEMAS.rglob("*.json")))
