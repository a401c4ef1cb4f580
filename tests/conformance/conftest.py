"""Fixtures of the tests that check plugins; what takes minutes is done once."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from libcni.conformance import isolation
from tests.conformance import bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def missing_requirement() -> str | None:
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nsenter") if shutil.which(name) is None]
    return f"not found on PATH: {', '.join(missing)}" if missing else None


@pytest.fixture(scope="session")
def namespaces() -> Iterator[None]:
    """Ask for root and the tools, and for the folders that checks mount on."""
    missing = missing_requirement()
    if missing:
        pytest.skip(missing)
    with isolation.existing_folders(isolation.PRIVATE_FOLDERS):
        yield


@pytest.fixture(scope="session")
def plugins(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The conforming plugins."""
    del namespaces
    return bench.write_plugins(tmp_path_factory.mktemp("plugins") / "bin")


@pytest.fixture(scope="session")
def traced(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> list[bench.Traced]:
    """What the conforming plugins did in every check."""
    del namespaces
    return bench.run_conforming(tmp_path_factory.mktemp("conforming"))


@pytest.fixture(scope="session")
def verdicts(traced: list[bench.Traced], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bench.Verdict]:
    """What the checks say of each mutant."""
    found = bench.run_mutants(tmp_path_factory.mktemp("mutants"), traced, bench.mutants())
    return {verdict.mutant: verdict for verdict in found}
