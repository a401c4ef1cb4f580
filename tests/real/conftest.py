"""Fixtures of the tests that run the reference plugins on the kernel; each removes what it made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.real.flavours import FLAVOURS, Attachment, Folders, make_runtime
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.real.flavours import Runtime


def pytest_collection_modifyitems() -> None:
    """Leave the machine's network before the first test starts a thread that would stay in it."""
    if kernel.missing_requirement() is None:
        kernel.enter_own_host()


@pytest.fixture(autouse=True)
def _host() -> None:
    missing = kernel.missing_requirement()
    if missing:
        pytest.skip(missing)
    kernel.reset_firewall()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    conf = tmp_path / "net.d"
    conf.mkdir()
    return Folders(conf, kernel.PLUGIN_DIR, tmp_path / "cache")


@pytest.fixture(params=FLAVOURS)
def runtime(request: pytest.FixtureRequest, folders: Folders) -> Runtime:
    flavour: str = request.param
    return make_runtime(flavour, folders)


@pytest.fixture
def namespace() -> Iterator[kernel.Namespace]:
    with kernel.named_namespace() as made:
        yield made


@pytest.fixture
def bridge() -> Iterator[str]:
    with kernel.bridge_name() as name:
        yield name


@pytest.fixture
def veth() -> Iterator[tuple[str, str]]:
    with kernel.veth_pair() as names:
        yield names


@pytest.fixture
def attachment(namespace: kernel.Namespace) -> Attachment:
    return Attachment(kernel.random_name("c"), namespace.path)
