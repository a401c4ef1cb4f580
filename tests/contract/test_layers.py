"""The order of the rooms: a module imports from rooms to the left of its own, and never in a circle."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.contract.modules import ROOT, module_names, source_of, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDER: list[str | set[str]] = [
    "errors",
    "linux",
    "log",
    "jsontext",
    "protocol",
    {"config", "results"},
    {"invoke", "storage"},
    "verbs",
    {"api", "async_api"},
    {"plan", "testing", "schema", "netns", "capabilities", "observe"},
    {"networks", "lint", "demo", "conformance"},
    "kubernetes",
    "cli",
]
"""The rooms, from the one that all may use to the one that uses all; the members of a set do not use each other."""

RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in ({rooms} if isinstance(rooms, str) else rooms)}

DOORS = {"libcni", "libcni.protocol.documents", "libcni.invoke"}
"""Packages whose names load when they are used: each imports modules for type checkers only."""

ONLY_HERE = {
    "anyio": ("libcni.invoke.anyio_runner", "libcni.networks"),
    "click": ("libcni.cli",),
    "jsonschema": ("libcni.schema",),
    "psutil": ("libcni.invoke.process", "libcni.verbs.orphans"),
    "opentelemetry": ("libcni.observe.tracing", "libcni.observe"),
    "prometheus_client": ("libcni.observe.metrics",),
    "pyroute2": ("libcni.netns.reading",),
    "rich": ("libcni.cli", "libcni.conformance.reports"),
    "pydantic": ("libcni.protocol.documents", "libcni.protocol.capabilities", "libcni.schema", "libcni.capabilities"),
    "watchfiles": ("libcni.networks.watch",),
    "yaml": ("libcni.config.manifest",),
}
"""The modules that may import a package, and those below them."""

MODULES = sorted(set(module_names()) - {"libcni"})


def room_of(module: str) -> str:
    """Return the room of a module: the part behind the name of the package."""
    return module.split(".")[1]


def imports_of(name: str) -> set[str]:
    """Return the modules that a module imports, wherever it does so: in functions and for type checkers as well."""
    found: set[str] = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(name, node)
            found |= {_imported(module, alias.name) for alias in node.names}
    return found - {name}


def imports_on_load(name: str) -> set[str]:
    """Return the names that a module imports when it loads."""
    found: set[str] = set()
    for node in _statements(tree_of(name).body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(_absolute(name, node))
    return found


def _absolute(name: str, node: ast.ImportFrom) -> str:
    # The demo plugins import each other by relative names: they are installed as files of their own, too.
    package = [*name.split("."), ""] if source_of(name).name == "__init__.py" else name.split(".")
    above = package[: -node.level] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Go through what runs when a module loads: also inside if, try and class, not inside functions."""
    for node in body:
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if is_for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from _statements(handler.body)


def _imported(module: str, name: str) -> str:
    """Return the module that ``from module import name`` loads: a submodule, or the module that has the name."""
    return f"{module}.{name}" if f"{module}.{name}" in MODULES else module


def ours(name: str) -> set[str]:
    return {module for module in imports_of(name) if module.split(".")[0] == "libcni"}


def test_order_names_every_room_that_is_there() -> None:
    assert {room_of(name) for name in MODULES} <= RANK.keys()


def test_page_on_architecture_has_the_rooms_in_this_order() -> None:
    there = {room_of(name) for name in MODULES}
    ordered = [({rooms} if isinstance(rooms, str) else rooms) & there for rooms in ORDER]
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.split("| room | what is in it |\n")[1].split("\n\n")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines()[1:]]
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == [rooms for rooms in ordered if rooms]


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_from_rooms_to_the_left_and_its_own(name: str) -> None:
    room = room_of(name)
    for imported in ours(name):
        if imported == "libcni":
            continue
        other = room_of(imported)
        assert other == room or RANK[other] < RANK[room], f"{name} imports {imported}"


@pytest.mark.parametrize("name", MODULES)
def test_module_takes_nothing_through_the_door_but_the_version(name: str) -> None:
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.ImportFrom) and node.module == "libcni" and not node.level:
            taken = {alias.name for alias in node.names if _imported("libcni", alias.name) == "libcni"}
            assert taken <= {"__version__"}, f"{name} takes {taken}"


def test_no_module_imports_itself_through_others() -> None:
    # A package imports its own modules for type checkers, and each of them has it loaded: that is no circle.
    graph = {name: ours(name) - DOORS for name in MODULES if name not in DOORS}
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
def test_door_loads_no_module_of_the_library(door: str) -> None:
    assert not {name for name in imports_on_load(door) if name.split(".")[0] == "libcni"}
    assert source_of(door).name == "__init__.py"


@pytest.mark.parametrize("package", sorted(ONLY_HERE))
def test_package_is_imported_only_where_it_is_needed(package: str) -> None:
    importers = {name for name in MODULES if any(i.split(".")[0] == package for i in imports_of(name))}
    for name in importers:
        assert any(f"{name}.".startswith(f"{place}.") for place in ONLY_HERE[package]), name


def test_rooms_are_in_one_order() -> None:
    ranks = [RANK[room] for room in RANK]
    assert all(before <= after for before, after in pairwise(ranks))
    assert len(RANK) == sum(1 if isinstance(rooms, str) else len(rooms) for rooms in ORDER)
