"""``cnitool run``: a command on real networks, and nothing of it afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.real.flavours import find_cnitool
from tests.real.networks import PORTMAP, bridged, host_local, leases, network
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.real.flavours import Folders

INFO = "ip -json -4 addr"


@pytest.fixture
def command(folders: Folders, bridge: str, tmp_path: Path) -> list[str]:
    """Return the start of a call, on a bridge that maps ports."""
    folders.write(network("first", bridged(bridge, host_local(tmp_path)), PORTMAP))
    folders.write(network("second", {"type": "dummy-less", "ipam": {}}))
    directories = ["--conf-dir", str(folders.conf), "--bin-dir", str(folders.bin), "--cache-dir", str(folders.cache)]
    return [find_cnitool(), *directories]


@pytest.fixture
def run(command: list[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    def call(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == status, done.stderr
        return done

    return call


def assert_nothing_is_left(run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    assert run("attachments", "--output", "json").stdout == "[]\n"
    assert leases(tmp_path) == set()
    assert not [name for name in kernel.HOST.links() if name.startswith("veth")]


def addresses(text: str) -> dict[str, list[str]]:
    return {link["ifname"]: [info["local"] for info in link["addr_info"]] for link in json.loads(text)}


def test_command_runs_on_the_network_and_nothing_stays(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = run("run", "first", "--", "sh", "-c", f"{INFO}; ping -c 1 -W 2 10.231.7.1 >/dev/null && exit 7", status=7)
    assert addresses(done.stdout) == {"lo": ["127.0.0.1"], "eth0": ["10.231.7.2"]}
    assert done.stderr == ""
    assert_nothing_is_left(run, tmp_path)


def test_several_networks_and_an_interface_name(
    run: Callable[..., subprocess.CompletedProcess[str]], folders: Folders, tmp_path: Path
) -> None:
    with kernel.bridge_name() as other:
        ipam = {"type": "host-local", "subnet": "10.231.8.0/24", "dataDir": str(tmp_path / "leases")}
        folders.write(network("second", {"type": "bridge", "bridge": other, "ipam": ipam}))
        done = run("run", "first", "--network", "second", "--ifname", "net0", "--", *INFO.split())
    found = addresses(done.stdout)
    assert found == {"lo": ["127.0.0.1"], "net0": ["10.231.7.2"], "eth0": ["10.231.8.2"]}
    assert_nothing_is_left(run, tmp_path)


def test_network_that_fails_undoes_the_others(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = run("run", "first", "--network", "second", "--", "true", status=1)
    assert "'dummy-less'" in done.stderr
    assert_nothing_is_left(run, tmp_path)


@pytest.mark.parametrize(
    ("words", "status"),
    [(["/no/such/command"], 127), (["/etc/passwd"], 126), (["sh", "-c", "kill -KILL $$"], 137)],
    ids=["missing", "not-executable", "killed"],
)
def test_exit_status_is_that_of_a_shell(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, words: list[str], status: int
) -> None:
    run("run", "first", "--", *words, status=status)
    assert_nothing_is_left(run, tmp_path)


def test_published_port_answers_from_the_host(command: list[str], tmp_path: Path) -> None:
    server = "import socket; s = socket.create_server(('', 80)); print('up', flush=True); s.accept()[0].send(b'hello')"
    words = [*command, "run", "first", "--publish", "18081:80", "--", "python3", "-c", server]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        client = "import socket; print(socket.create_connection(('10.231.7.1', 18081), 5).recv(9).decode())"
        assert kernel.run("python3", "-c", client) == "hello\n"
        assert process.wait(30) == 0
    assert leases(tmp_path) == set()


def test_namespace_of_a_process_is_used_and_stays(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    with kernel.process_namespace() as (there, process):
        done = run("run", "first", "--pid", str(process.pid), "--", *INFO.split())
        assert addresses(done.stdout)["eth0"] == ["10.231.7.2"]
        assert set(there.links()) == {"lo"}
    assert_nothing_is_left(run, tmp_path)
    assert "no process" in run("run", "first", "--pid", "1073741824", "--", "true", status=1).stderr


def test_kept_container_stays_and_is_removed_as_it_says(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    name = kernel.random_name("kept-")
    done = run("run", "first", "--keep", "--container-id", name, "--", *INFO.split())
    assert addresses(done.stdout)["eth0"] == ["10.231.7.2"]
    assert f"has 10.231.7.2/24 in /run/netns/{name}" in done.stderr
    removal = [line.partition(": ")[2] for line in done.stderr.splitlines() if "remove with: " in line]
    assert len(removal) == 2
    assert kernel.Namespace(f"/run/netns/{name}").reaches("10.231.7.1")
    assert "exists" in run("run", "first", "--keep", "--container-id", name, status=1).stderr
    subprocess.run(removal[0].replace("cnitool", find_cnitool(), 1).split(), check=True, timeout=60)
    kernel.run(*removal[1].split())
    assert not Path(f"/run/netns/{name}").exists()


def test_kept_container_without_a_command_is_a_document_for_programs(
    run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    name = kernel.random_name("kept-")
    document: dict[str, Any] = json.loads(run("run", "first", "--keep", "--container-id", name, "--output=json").stdout)
    assert (document["containerID"], document["netns"]) == (name, f"/run/netns/{name}")
    (attached,) = document["results"]
    assert attached["result"]["ips"][0]["address"] == "10.231.7.2/24"
    run("del", "first", document["netns"], "--container-id", name)
    kernel.run("ip", "netns", "delete", name)
    assert_nothing_is_left(run, tmp_path)


def test_kept_namespace_goes_when_the_network_fails(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    name = kernel.random_name("kept-")
    run("run", "second", "--keep", "--container-id", name, status=1)
    assert not Path(f"/run/netns/{name}").exists()


ROOTLESS = """
mount -t tmpfs tmpfs /run
mkdir /run/net.d
cat > /run/net.d/10-own.conflist
ip link set lo up
inside="$INFO; ping -c 1 -W 2 10.231.7.1 >&2"
exec "$@" --conf-dir /run/net.d --cache-dir /run/cache run own --publish 18082:80 -- sh -c "$inside"
"""


def test_without_root_a_user_namespace_has_the_whole_chain(folders: Folders, tmp_path: Path) -> None:
    # All rights are those of a user namespace, and the bridge is in a network namespace that belongs to it.
    ipam = {**host_local(tmp_path), "dataDir": "/run/leases"}
    document = json.dumps(network("own", bridged("own0", ipam), PORTMAP))
    command = [find_cnitool(), "--bin-dir", str(folders.bin)]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-ec", ROOTLESS, "sh", *command],
        input=document,
        env={**os.environ, "INFO": INFO},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert addresses(done.stdout)["eth0"] == ["10.231.7.2"]
    assert "1 received" in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signal_reaches_the_command_and_all_is_cleaned_up(
    run: Callable[..., subprocess.CompletedProcess[str]],
    command: list[str],
    tmp_path: Path,
    number: signal.Signals,
    status: int,
) -> None:
    words = [*command, "run", "first", "--", "sh", "-c", "echo up; exec sleep 60"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.wait(30) == status
    assert_nothing_is_left(run, tmp_path)


def test_signal_while_the_network_is_set_up_leaves_nothing(
    run: Callable[..., subprocess.CompletedProcess[str]], command: list[str], folders: Folders, tmp_path: Path
) -> None:
    slow = tmp_path / "bin"
    slow.mkdir()
    mark = tmp_path / "mark"
    plugin = f"#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = ADD ] && touch {mark} && sleep 60\nexit 0\n"
    (slow / "slow").write_text(plugin)
    (slow / "slow").chmod(0o755)
    folders.write(network("second", {"type": "slow"}))
    words = [*command, "--bin-dir", str(slow), "run", "first", "--network", "second", "--", "true"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not mark.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "cnitool: interrupted by SIGTERM\n  nothing stays of container cnitool-run-" in errors
    assert "Traceback" not in errors
    assert_nothing_is_left(run, tmp_path)


def test_killed_run_leaves_what_can_be_deleted_by_its_container_id(
    run: Callable[..., subprocess.CompletedProcess[str]], command: list[str], tmp_path: Path
) -> None:
    words = [*command, "run", "first", "--container-id", "box", "--", "sh", "-c", "echo up; exec sleep 60"]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        os.killpg(process.pid, signal.SIGKILL)
    (left,) = json.loads(run("attachments", "--output", "json").stdout)
    assert left["containerID"] == "box"
    run("del", "first", "--container-id", "box")
    assert_nothing_is_left(run, tmp_path)
