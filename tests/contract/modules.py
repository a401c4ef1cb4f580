"""What the package is made of: its modules, their sources, and what they define."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

import libcni

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PACKAGE = Path(libcni.__file__).parent
ROOT = PACKAGE.parent

# Programs as such: importing one runs it. And what is compiled, which has no source in Python.
_OTHERS = (".__main__", "._spawn")


def module_names() -> list[str]:
    """Return the name of every module, the package itself included."""
    found = [module.name for module in pkgutil.walk_packages(libcni.__path__, "libcni.")]
    return ["libcni", *[name for name in found if not name.endswith(_OTHERS)]]


def source_of(name: str) -> Path:
    parts = name.split(".")[1:]
    path = PACKAGE.joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def tree_of(name: str) -> ast.Module:
    return ast.parse(source_of(name).read_text(encoding="utf-8"))


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def public_objects(name: str) -> Iterator[tuple[str, object]]:
    """Go through what a module offers and defines itself."""
    module = load(name)
    for each in getattr(module, "__all__", ()):
        value = getattr(module, each)
        if getattr(value, "__module__", name) == name:
            yield each, value


def public_methods(cls: type) -> Iterator[tuple[str, object]]:
    """Go through the methods and properties that a class defines itself."""
    for name, value in list(vars(cls).items()):
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        plain = getattr(plain, "func", plain)
        is_own = inspect.isfunction(plain) and plain.__name__ == name
        if not name.startswith("_") and (is_own or isinstance(plain, property)):
            yield name, plain
