"""A module imports, when it loads, only from lower layers or its own, and never in a circle."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tests.contract.modules import module_names, source_of, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYERS: list[list[str]] = [
    ["errors"],
    ["versions", "identifiers", "document", "diagnosis", "positions", "frozen", "addresses", "turn", "recent", "steps"],
    [
        *("values", "scalars", "abbreviated", "conventions", "attachment", "results", "config", "effective"),
        *(f"protocol.{name}" for name in ("base", "problems", "validation", "glance")),
        *(f"protocol.{name}" for name in ("configuration", "answers", "stored")),
        *(f"protocol.{name}" for name in ("results01", "results03", "results10", "results11")),
    ],
    [
        "loader",
        "schema.files",
        "schema.formats",
        "schema.documents",
        "schema.validators",
        "schema.check",
        "schema",
        "bytelocks",
        "quick",
        "disk",
        "files",
        "listing",
        "storage",
        "slots",
        "locks",
        "entry",
        "cache",
        "record",
        "journal",
        "store",
        "invoke.answer",
        "invoke.environment",
        "invoke.find",
        "invoke.plugin",
        "invoke.stderr",
        "invoke.schedule",
        "invoke.tree",
        "invoke.unreaped",
    ],
    [
        *("leftover", "chain", "waiting", "operations", "collection", "forgetting"),
        *(
            "invoke.portable",
            "invoke.child",
            "invoke.ending",
            "invoke.process",
            "invoke.blocking",
            "invoke.aio",
        ),
    ],
    ["api", "async_api", "invoke.delegate"],
    [
        "testing",
        "demo.install",
        "demo.plugins.protocol",
        "demo.plugins.demo_pass",
        "demo.plugins.demo_range",
        "demo.tour",
        "plan",
        "lint",
        *(f"lint.{name}" for name in ("binaries", "catalog", "codes", "directory", "findings", "head", "keys")),
        *(f"lint.{name}" for name in ("manual", "plugins", "problems", "ranges", "report", "run")),
    ],
    [
        *(f"cli.{name}" for name in ("settings", "failure", "stored", "attach", "collect", "forget")),
        *(f"cli.{name}" for name in ("show", "demo", "lint", "plan", "root")),
    ],
]
"""Modules by layer, lowest first; :func:`test_table_names_every_module` keeps it complete."""

DOORS = {"libcni", "libcni.protocol", "libcni.invoke", "libcni.demo", "libcni.demo.plugins", "libcni.cli"}
"""Packages whose names load when they are used: they import nothing, and may be imported by all."""

ONLY_HERE = {
    "anyio": {"libcni.invoke.aio"},
    "click": {f"libcni.{name}" for name in LAYERS[-1]},
    "jsonschema": set[str](),
    "psutil": set[str](),
    "rich": set[str](),
    "pydantic": {"libcni.scalars", "libcni.abbreviated", "libcni.conventions"}
    | {"libcni.protocol.base", "libcni.protocol.configuration", "libcni.protocol.stored"},
}
"""Who may import a package when it loads; all others do so inside a function, if at all."""

LAYER = {f"libcni.{module}": number for number, modules in enumerate(LAYERS) for module in modules}


def _runs_when_typing_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports_on_load(name: str) -> set[str]:
    """Return the modules that a module imports when it loads, read from its source."""
    found: set[str] = set()
    for node in _statements(tree_of(name).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(name, node)
            found |= {_imported(module, alias.name) for alias in node.names}
    return found


def _absolute(name: str, node: ast.ImportFrom) -> str:
    # The demo plugins import each other by relative names: they are installed as files of their own, too.
    above = name.split(".")[: -node.level] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Go through what runs when a module loads: also inside if, try and class, not inside functions."""
    for node in body:
        if _runs_when_typing_only(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body)


def _imported(module: str, name: str) -> str:
    """Return the module that ``from module import name`` loads: a submodule, or the module that has the name."""
    return f"{module}.{name}" if f"{module}.{name}" in LAYER else module


def ours(name: str) -> set[str]:
    return {module for module in imports_on_load(name) if module.split(".")[0] == "libcni"}


def test_table_names_every_module() -> None:
    table = [module for modules in LAYERS for module in modules]
    assert len(table) == len(set(table))
    missing = set(module_names()) - set(LAYER) - DOORS
    unknown = set(LAYER) - set(module_names())
    assert not unknown, "the table names what is not there"
    assert {name for name in missing if not name.startswith(NOT_PLACED_YET)} == set()


NOT_PLACED_YET = ("libcni.lint", "libcni.plan", "libcni.conformance", "libcni.networks", "libcni.cli.")
"""Parts with layers of their own above: 6, and the verbs of the command line 7."""


@pytest.mark.parametrize("name", sorted(LAYER))
def test_module_imports_nothing_from_above(name: str) -> None:
    for imported in ours(name) - DOORS:
        assert imported in LAYER, f"{name} imports {imported}, which has no layer"
        assert LAYER[imported] <= LAYER[name], f"{name} (layer {LAYER[name]}) imports {imported} ({LAYER[imported]})"


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: ours(name) for name in LAYER}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"circle: {' -> '.join([*way, name])}"
        if name not in done:
            for imported in sorted(graph.get(name, ())):
                visit(imported, (*way, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("door", sorted(DOORS))
def test_door_imports_no_module_of_the_library(door: str) -> None:
    assert ours(door) == set()
    assert source_of(door).name == "__init__.py"


@pytest.mark.parametrize("package", sorted(ONLY_HERE))
def test_package_is_imported_on_load_only_where_it_is_needed(package: str) -> None:
    importers = {name for name in LAYER if any(i.split(".")[0] == package for i in imports_on_load(name))}
    assert importers <= ONLY_HERE[package]
