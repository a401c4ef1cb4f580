"""Faults that other layers of this kind have, and this one has not; docs/networks.md names the test of each."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from libcni import AttachmentNotFoundError, CNIErrorGroup
from libcni.testing import failure, success
from tests.networks.conftest import opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcni.testing import ScriptedRunner
    from tests.networks.conftest import Addresses, Directory, Face

NETNS = "/run/netns/of-nobody"
WAIT = 20.0


def script(folder: Path, name: str, body: str) -> None:
    """Write a plugin; its result is printed when the body is done."""
    folder.mkdir(exist_ok=True)
    text = f"#!/bin/sh\ncat > /dev/null\n{body}\necho '{json.dumps({'cniVersion': '1.1.0'})}'\n"
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_plugins_never_run_at_once_for_one_container(conf: Directory, tmp_path: Path, flavour: str) -> None:
    alone = f"mkdir {tmp_path}/running || echo $CNI_COMMAND >> {tmp_path}/at-once; sleep 0.02; rmdir {tmp_path}/running"
    script(tmp_path / "bin", "exclusive", alone)
    for name in "abc":
        conf.network(f"{name}.conflist", name, "exclusive")
    with opened(flavour, conf, tmp_path) as networks:
        networks.setup("box", NETNS, networks=["a", "b", "c"])

        def check_if_there() -> None:
            with suppress(AttachmentNotFoundError):
                networks.check("box")

        threads = [threading.Thread(target=check_if_there), threading.Thread(target=networks.remove, args=("box",))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert networks.attachments() == []
    assert not (tmp_path / "at-once").exists()


def test_slow_status_holds_up_neither_setup_nor_reload(conf: Directory, tmp_path: Path, flavour: str) -> None:
    asked, done = tmp_path / "asked", tmp_path / "done"
    body = f"[ $CNI_COMMAND = STATUS ] || exit 0; touch {asked}; until [ -e {done} ]; do sleep 0.01; done"
    script(tmp_path / "bin", "slow", body)
    script(tmp_path / "bin", "quick", "")
    conf.network("10-a.conflist", "a", "quick")
    conf.network("20-b.conflist", "b", "slow")
    found: list[Any] = []
    with opened(flavour, conf, tmp_path, limit=1) as networks:
        thread = threading.Thread(target=lambda: found.append(networks.status()))
        thread.start()
        try:
            until = threading.Event()
            while not asked.exists():
                until.wait(0.01)
            conf.network("30-c.conflist", "c", "quick")
            assert len(networks.reload().networks) == 3
            networks.setup("box", NETNS, networks=["a", "c"])
            assert found == []
        finally:
            done.touch()
            thread.join()
    assert [network.state for network in found[0].networks] == ["ready", "ready"]


def test_drop_in_that_is_gone_is_deleted_as_it_was_added(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    (conf.path / "a").mkdir()
    (conf.path / "a" / "10-tune.conf").write_text('{"type": "tuning", "mtu": 1400}')
    networks = make()
    networks.setup("box", NETNS)
    shutil.rmtree(conf.path / "a")
    networks.reload()
    networks.remove("box")
    calls = [(call.command, call.plugin) for call in runner.calls]
    assert calls == [("ADD", "bridge"), ("ADD", "tuning"), ("DEL", "tuning"), ("DEL", "bridge")]
    assert runner.calls[2].request["mtu"] == 1400


@pytest.mark.parametrize("message", ["interface not found", "no such file or directory"])
def test_failure_that_says_not_found_is_no_success(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses, message: str
) -> None:
    conf.network("10-a.conflist", "a")
    runner.answer("bridge", "DEL", [failure(999, message), addresses.delete])
    networks = make()
    networks.setup("box", NETNS)
    with pytest.raises(CNIErrorGroup, match="not removed"):
        networks.remove("box", netns="")
    assert [item.container_id for item in networks.attachments()] == ["box"]
    networks.remove("box")
    assert not addresses.in_use


def test_prefix_mtu_and_routes_are_kept(conf: Directory, make: Callable[..., Face], runner: ScriptedRunner) -> None:
    conf.network("10-a.conflist", "a")
    answer = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "veth1"}, {"name": "eth0", "mtu": 1400, "mac": "0a:00:00:00:00:01", "sandbox": NETNS}],
        "ips": [{"address": "10.1.0.2/20", "gateway": "10.1.0.1", "interface": 1}],
        "routes": [{"dst": "10.9.0.0/16", "gw": "10.1.0.7", "mtu": 1300, "table": 7}],
    }
    runner.answer("bridge", "ADD", success(answer))
    found = make().setup("box", NETNS)
    interface = found.interfaces[0]
    assert (str(found.primary_address), interface.mtu) == ("10.1.0.2/20", 1400)
    assert [(str(route.dst), str(route.gw), route.mtu, route.table) for route in interface.routes] == [
        ("10.9.0.0/16", "10.1.0.7", 1300, 7)
    ]
    assert found.results["eth0"].to_dict() == answer
