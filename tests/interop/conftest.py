"""Go libcni, as a small program that is built once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.interop.driver import GoDriver
from tests.support import kernel

GO_SOURCES = Path("/usr/share/gocode")


def pytest_collection_modifyitems() -> None:
    """Leave the machine's network before the first test, as the tests with real plugins do."""
    if kernel.missing_requirement() is None:
        kernel.enter_own_host()


@pytest.fixture(scope="session")
def driver_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    if not (GO_SOURCES / "src/github.com/containernetworking/cni").is_dir():
        pytest.skip(f"{GO_SOURCES} has no Go libcni")
    folder = tmp_path_factory.mktemp("go")
    environ = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOPATH": str(GO_SOURCES),
        "GOCACHE": os.environ.get("GOCACHE", str(folder / "cache")),
    }
    source = Path(__file__).with_name("go_driver")
    subprocess.run(["go", "build", "-o", folder / "driver", "."], cwd=source, env=environ, check=True, timeout=110)
    return folder / "driver"


@pytest.fixture
def go(driver_path: Path) -> GoDriver:
    return GoDriver(driver_path)
