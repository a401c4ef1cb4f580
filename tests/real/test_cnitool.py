"""``cnitool`` as people call the Go tool: a verb, a network, a namespace, and the rest in environment variables."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.real import networks
from tests.real.flavours import find_cnitool
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.real.flavours import Folders
    from tests.support.kernel import Namespace


@pytest.fixture
def cnitool(folders: Folders) -> Callable[..., subprocess.CompletedProcess[str]]:
    environ = {**os.environ, "CNI_PATH": str(folders.bin), "NETCONFPATH": str(folders.conf), "CNI_IFNAME": "net1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [find_cnitool(), *arguments, "--cache-dir", str(folders.cache)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environ)

    return run


def test_cnitool_names_the_container_after_the_namespace_as_the_go_tool_does(
    cnitool: Callable[..., subprocess.CompletedProcess[str]],
    folders: Folders,
    namespace: Namespace,
    bridge: str,
    tmp_path: Path,
) -> None:
    plugin = networks.bridged(bridge, networks.host_local(tmp_path))
    name = folders.write(networks.network(kernel.random_name("net"), plugin))

    added = cnitool("add", name, namespace.path)
    assert (added.returncode, added.stderr) == (0, "")
    networks.assert_kernel_has(json.loads(added.stdout), namespace)
    assert namespace.reaches(networks.GATEWAY)
    owner = (tmp_path / "leases" / name / networks.FIRST_ADDRESS).read_text().split()
    assert owner == ["cnitool-" + hashlib.sha512(namespace.path.encode()).digest()[:10].hex(), "net1"]

    for verb in ("check", "del", "del"):
        done = cnitool(verb, name, namespace.path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert set(namespace.links()) == {"lo"}
    assert networks.leases(tmp_path) == set()


def test_cnitool_failure_goes_to_stderr_with_status_1(
    cnitool: Callable[..., subprocess.CompletedProcess[str]], folders: Folders, namespace: Namespace
) -> None:
    name = folders.write(networks.network("broken", {"type": "host-device", "device": "nosuchlink"}))
    done = cnitool("add", name, namespace.path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "failed to find host device: Link not found" in done.stderr
    assert "Traceback" not in done.stderr


def test_cnitool_plugins_lists_every_reference_plugin(cnitool: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = cnitool("plugins")
    assert (done.returncode, done.stderr) == (0, "")
    for plugin in kernel.REFERENCE_PLUGINS:
        assert plugin in done.stdout
