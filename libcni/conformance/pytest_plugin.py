"""The checks as tests in a plugin's own repository: ``pytest --cni-conformance FILE``.

pytest loads this module whenever libcni is installed: it imports nothing, and does nothing without its option.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_addoption", "pytest_collection_modifyitems"]

OPTION = "--cni-conformance"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("cni-conformance", "conformance of CNI plugins")
    group.addoption(
        OPTION,
        metavar="FILE",
        action="append",
        default=[],
        help="Description of a plugin, TOML or JSON: every check becomes a test. May be repeated.",
    )
    group.addoption(
        "--cni-bin-dir",
        metavar="DIR",
        action="append",
        default=[],
        help="Where the plugin, and those that it delegates to, are looked for. May be repeated.",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each check that applies."""
    files: list[str] = config.getoption(OPTION) or []
    if files:
        from libcni.conformance.pytest_items import make_items

        bin_dirs: list[str] = config.getoption("--cni-bin-dir") or []
        items.extend(make_items(session, files, bin_dirs))
