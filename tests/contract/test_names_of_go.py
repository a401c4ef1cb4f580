"""The page for those who come from Go libcni: every name that it exports, and a Python name that is there."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs" / "from-go-libcni.md").read_text(encoding="utf-8")
GO = Path("/usr/share/gocode/src/github.com/containernetworking/cni")
NOWHERE = "none, because "
CODE = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    """A row of the page: the package, the names in Go, and what is said of Python."""

    package: str
    names: list[str]
    python: str


def rows() -> Iterator[Row]:
    for section in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)[1:]:
        title = section.splitlines()[0]
        for left, right in re.findall(r"^\| (`.+?) \| (.+) \|$", section, re.MULTILINE):
            yield Row(title, CODE.findall(left), right)


ROWS = list(rows())
PACKAGES = sorted({row.package for row in ROWS} - {"Newer names"})


def without_texts(source: str) -> str:
    """Return Go source without comments and literals, in which words could look like code."""
    return re.sub(r"//[^\n]*|/\*.*?\*/|`[^`]*`|\"(?:\\.|[^\"\\\n])*\"", "", source, flags=re.DOTALL)


def exported(source: str) -> Iterator[str]:
    """Go through the exported names at the top of a Go file: functions, methods, types with their members, values."""
    for receiver, name in re.findall(r"^func (?:\(\w*\s*\*?(\w+)\) )?(\w+)\(", source, re.MULTILINE):
        yield f"{receiver}.{name}" if receiver else name
    for name, kind, body in re.findall(
        r"^type (\w+)(?: (struct|interface) \{(.*?)^\}| )", source, re.MULTILINE | re.DOTALL
    ):
        yield name
        yield from (f"{name}.{member}" for member in members(kind, body))
    for body in re.findall(r"^(?:type|const|var) \((.*?)^\)", source, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^\t(\w+)", body, re.MULTILINE)
    yield from re.findall(r"^(?:const|var) (\w+)", source, re.MULTILINE)


def members(kind: str, body: str) -> list[str]:
    """Return the fields of a struct that are not embedded, or the methods of an interface."""
    return re.findall(r"^\t(\w+)\(" if kind == "interface" else r"^\t(\w+)[ \t]+\S", body, re.MULTILINE)


def is_exported(name: str) -> bool:
    return all(part[:1].isupper() for part in name.split("."))


@pytest.mark.parametrize("package", PACKAGES)
def test_page_has_every_name_of_the_package_once(package: str) -> None:
    if not GO.exists():
        pytest.skip("Go libcni is not installed")
    files = [path for path in (GO / package).glob("*.go") if not path.name.endswith(("_test.go", "_windows.go"))]
    found = {name for path in files for name in exported(without_texts(path.read_text(encoding="utf-8")))}
    listed = [name for row in ROWS if row.package == package for name in row.names]
    assert sorted(listed) == sorted(filter(is_exported, found))


def test_page_has_every_package() -> None:
    if not GO.exists():
        pytest.skip("Go libcni is not installed")
    with_code = {
        path.parent.relative_to(GO).as_posix() for folder in ("libcni", "pkg") for path in (GO / folder).rglob("*.go")
    }
    others = {"pkg/types/internal", "pkg/invoke/fakes"}
    assert {name for name in with_code if "test" not in name} - others == set(PACKAGES)


def find(name: str) -> object:
    """Return what a Python name of the page stands for; a field is its class' if nothing else has it."""
    parts = name.split(".")
    head = parts[0] if parts[0] in {"libcni", "ipaddress", "dataclasses"} else "libcni"
    value: object = importlib.import_module(head)
    for part in parts[parts[0] == head :]:
        if inspect.ismodule(value) and not hasattr(value, part):
            value = importlib.import_module(f"{value.__name__}.{part}")
        elif hasattr(value, part):
            value = getattr(value, part)
        else:
            assert part in fields_of(value), f"{name}: there is no {part}"
    return value


def fields_of(value: object) -> set[str]:
    assert inspect.isclass(value)
    fields = {field.name for field in dataclasses.fields(value)} if dataclasses.is_dataclass(value) else set()
    return fields | set(inspect.get_annotations(value)) | set(inspect.signature(value).parameters)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.package}-{row.names[0]}")
def test_python_name_is_there_or_it_is_said_why_not(row: Row) -> None:
    if row.python.startswith(NOWHERE):
        assert len(row.python) > len(NOWHERE) + 10
        return
    names = [name for name in CODE.findall(row.python) if re.fullmatch(r"[\w.]+", name)]
    assert names, row.python
    assert find(names[0]) is not None
    for name in names[1:]:
        if "." in name or name[0].isupper():
            find(name)
