"""The loopback interface of a container: up when its setup is done, also when the plugins take no time at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from libcni.networks import BlockingNetworks, Networks
from libcni.testing import ScriptedRunner

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import kernel


def set_up(flavour: str, folder: Path, path: str) -> None:
    configuration = folder / "net.d"
    configuration.mkdir()
    (configuration / "a.conflist").write_text('{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"fast"}]}')
    make = {"cache_dir": folder / "cache", "watch": False, "runner": ScriptedRunner()}
    if flavour == "sync":
        with BlockingNetworks(configuration, ["/none"], **make) as blocking:  # type: ignore[arg-type]  # of three types
            blocking.setup("box", path)
        return

    async def run() -> None:
        async with Networks(configuration, ["/none"], **make) as networks:  # type: ignore[arg-type]  # as above
            await networks.setup("box", path)

    anyio.run(run, backend=flavour)


@pytest.mark.parametrize("flavour", ["sync", "asyncio", "trio"])
def test_loopback_is_up_after_the_setup(flavour: str, tmp_path: Path, namespace: kernel.Namespace) -> None:
    assert "LOOPBACK,UP" not in namespace.run("ip", "link", "show", "lo")
    set_up(flavour, tmp_path, namespace.path)
    assert "LOOPBACK,UP" in namespace.run("ip", "link", "show", "lo")


@pytest.mark.parametrize("path", ["/proc/self/ns/uts", "/nowhere"])
def test_where_there_is_no_network_namespace_nothing_is_set_up(
    path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_up("sync", tmp_path, path)
    assert not caplog.records


@pytest.mark.parametrize("what", ["_thread.start_new_thread", "libcni.networks.loopback.enter"])
def test_loopback_that_cannot_be_set_up_is_said_and_the_container_attached(
    what: str,
    tmp_path: Path,
    namespace: kernel.Namespace,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise (RuntimeError if what.startswith("_thread") else PermissionError)("not today")

    monkeypatch.setattr(what, refuse)
    set_up("sync", tmp_path, namespace.path)
    assert "the loopback interface is not set up: not today" in caplog.text
