"""Several attachments that had, have or want one interface: a clean-up takes the interface of none but its own."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from libcni import AttachmentExistsError, CNIConfig, CNIError, GCAttachment, RuntimeConf, network_conf_from_bytes
from libcni.jsontext.encode import dump
from libcni.storage import namespace as namespaces
from tests.support import kernel

if TYPE_CHECKING:
    from pathlib import Path

    from libcni import NetworkConfigList
    from tests.real.flavours import Folders
    from tests.support.kernel import Namespace


class Scene:
    """A namespace, two bridge networks, and plugins of the test before the bridge."""

    def __init__(self, folder: Path, bin_dir: Path, namespace: Namespace, bridge: str) -> None:
        self.folder = folder
        self.namespace = namespace
        self.bin = [str(folder / "bin"), str(bin_dir)]
        self.config = CNIConfig(self.bin, cache_dir=folder / "cache", lock_timeout=20)
        self._bridge = bridge
        (folder / "bin").mkdir()

    def plugin(self, name: str, body: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def network(self, name: str, *before: str, after: tuple[str, ...] = ()) -> NetworkConfigList:
        ipam = {
            "type": "host-local",
            "ranges": [[{"subnet": "10.231.11.0/24"}]],
            "dataDir": str(self.folder / f"leases-{name}"),
        }
        plugins: list[dict[str, Any]] = [{"type": kind} for kind in before]
        plugins += [{"type": "bridge", "bridge": self._bridge, "ipam": ipam}, *[{"type": kind} for kind in after]]
        return network_conf_from_bytes(dump({"cniVersion": "1.0.0", "name": name, "plugins": plugins}))

    def leases(self, name: str) -> int:
        return len(list((self.folder / f"leases-{name}").glob("*/10.*")))

    def rt(self, container_id: str = "box", **fields: Any) -> RuntimeConf:
        return RuntimeConf(container_id, fields.pop("netns", self.namespace.path), "eth0", **fields)

    def killed_add(self, network: NetworkConfigList, rt: RuntimeConf) -> None:
        """Run an ADD that is killed while its first plugin runs."""
        self.plugin("hang", 'cat >/dev/null; [ "$CNI_COMMAND" = ADD ] || exit 0; touch "$0.runs"; exec sleep 60')
        child = os.fork()
        if not child:
            self.config.add_network_list(network, rt)
            os._exit(0)
        mark = self.folder / "bin" / "hang.runs"
        while not mark.exists():
            time.sleep(0.005)
        mark.unlink()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    @property
    def link(self) -> object:
        return self.namespace.links().get("eth0")


@pytest.fixture
def scene(tmp_path: Path, folders: Folders, namespace: Namespace, bridge: str) -> Scene:
    return Scene(tmp_path, folders.bin, namespace, bridge)


@pytest.mark.parametrize("container", ["box", "other"])
@pytest.mark.parametrize("way", ["recover", "gc", "delete", "add"])
def test_clean_up_of_an_unfinished_add_leaves_the_interface_of_a_later_attachment(
    scene: Scene, container: str, way: str
) -> None:
    first, second = scene.network("first", "hang"), scene.network("second")
    scene.killed_add(first, scene.rt())
    scene.config.add_network_list(second, scene.rt(container))
    before = scene.link
    if way == "recover":
        assert [report.done for report in scene.config.recover()] == [True]
    elif way == "gc":
        scene.config.gc_network_list(first, [GCAttachment("other", "eth0")])
    elif way == "delete":
        scene.config.del_network_list(first, scene.rt())
    else:
        with pytest.raises(AttachmentExistsError, match="second"):
            scene.config.add_network_list(first, scene.rt())
    assert scene.link == before
    assert [item.network for item in scene.config.get_cached_attachments()] == ["second"]
    scene.config.check_network_list(second, scene.rt(container))
    scene.config.del_network_list(second, scene.rt(container))
    assert scene.link is None


@pytest.mark.parametrize("way", ["gc", "delete"])
def test_clean_up_of_a_stale_attachment_leaves_the_interface_that_came_after_it(scene: Scene, way: str) -> None:
    first, second = scene.network("first"), scene.network("second")
    scene.config.add_network_list(first, scene.rt())
    scene.namespace.run("ip", "link", "delete", "eth0")
    scene.config.add_network_list(second, scene.rt("other"))
    before = scene.link
    if way == "gc":
        scene.config.gc_network_list(first, [GCAttachment("other", "eth0")])
    else:
        scene.config.del_network_list(first, scene.rt())
    assert scene.link == before
    assert scene.leases("first") == 0
    assert [item.network for item in scene.config.get_cached_attachments()] == ["second"]


def test_two_adds_of_one_interface_at_once_leave_the_winner_its_interface(scene: Scene) -> None:
    scene.plugin(
        "pause", 'cat >/dev/null; [ "$CNI_COMMAND" = ADD ] || exit 0; sleep 0.3; echo \'{"cniVersion":"1.0.0"}\''
    )
    network = scene.network("net", "pause")

    def attempt(container_id: str) -> str:
        try:
            scene.config.add_network_list(network, scene.rt(container_id))
        except AttachmentExistsError as error:
            return error.container_id
        return "added"

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(attempt, ["one", "two", "three"]))
    assert outcomes.count("added") == 1
    assert scene.link is not None
    (winner,) = scene.config.get_cached_attachments()
    assert set(outcomes) == {"added", winner.container_id}
    assert scene.config.pending() == []


@pytest.mark.parametrize("container", ["box", "other"])
def test_delete_after_a_refused_add_leaves_the_interface_of_the_attachment_that_has_it(
    scene: Scene, container: str
) -> None:
    first, second = scene.network("first"), scene.network("second")
    scene.config.add_network_list(first, scene.rt())
    before = scene.link
    for _ in range(2):  # as a kubelet tries again
        with pytest.raises(AttachmentExistsError):
            scene.config.add_network_list(second, scene.rt(container))
        scene.config.del_network_list(second, scene.rt(container))
    assert scene.link == before


def test_killed_delete_after_a_refused_add_is_recovered_without_harm(scene: Scene) -> None:
    first, second = scene.network("first"), scene.network("second", after=("die",))
    scene.config.add_network_list(first, scene.rt())
    before = scene.link
    scene.plugin("die", 'cat >/dev/null; [ -e "$0.once" ] || { touch "$0.once"; kill -9 $PPID; }')
    child = os.fork()
    if not child:
        scene.config.del_network_list(second, scene.rt("other"))
        os._exit(0)
    os.waitpid(child, 0)
    assert [report.done for report in scene.config.recover()] == [True]
    assert scene.link == before


def test_attachment_that_go_has_added_anew_is_deleted_where_it_is(scene: Scene) -> None:
    network = scene.network("net")
    scene.config.add_network_list(network, scene.rt())
    stored = scene.folder / "cache" / "results" / "net-box-eth0"
    with kernel.named_namespace() as later:
        # Go's DEL and ADD: with the plugins, and with a result file of its own.
        other = CNIConfig(scene.bin, cache_dir=scene.folder / "go")
        other.del_network_list(network, scene.rt())
        other.add_network_list(network, scene.rt(netns=later.path))
        stored.write_text((scene.folder / "go" / "results" / "net-box-eth0").read_text())
        assert "eth0" in later.links()
        scene.config.check_network_list(network, scene.rt(netns=later.path))
        scene.config.del_network_list(network, scene.rt(netns=later.path))
        assert "eth0" not in later.links()
        assert scene.leases("net") == 0


@pytest.mark.parametrize("given", ["another namespace", "a path that is gone"])
def test_unfinished_attachment_is_deleted_in_its_own_namespace_whatever_path_is_given(scene: Scene, given: str) -> None:
    scene.plugin("die", 'cat >/dev/null; [ "$CNI_COMMAND" = ADD ] && kill -9 $PPID; exit 0')
    network = scene.network("net", after=("die",))
    child = os.fork()
    if not child:
        scene.config.add_network_list(network, scene.rt())
        os._exit(0)
    os.waitpid(child, 0)
    assert scene.link is not None
    with kernel.named_namespace() as other:
        path = other.path if given == "another namespace" else "/proc/999999999/ns/net"
        scene.config.del_network_list(network, scene.rt(netns=path))
    assert scene.link is None
    assert scene.leases("net") == 0


def test_failed_add_on_a_shared_loopback_leaves_it_up(scene: Scene) -> None:
    loopback = network_conf_from_bytes('{"cniVersion":"1.0.0","name":"lo","plugins":[{"type":"loopback"}]}')
    scene.plugin("bad", 'cat >/dev/null; [ "$CNI_COMMAND" = ADD ] || exit 0; exit 1')
    failing = network_conf_from_bytes(
        '{"cniVersion":"1.0.0","name":"lo2","plugins":[{"type":"loopback"},{"type":"bad"}]}'
    )
    sharing = [RuntimeConf(container_id, scene.namespace.path, "lo") for container_id in ("one", "two", "three")]
    for rt in sharing[:2]:
        scene.config.add_network_list(loopback, rt)
    with pytest.raises(CNIError):
        scene.config.add_network_list(failing, sharing[2])
    scene.config.check_network_list(loopback, sharing[0])
    assert scene.config.pending() == []


def test_stored_attachment_without_a_namespace_refuses_nothing_where_its_interface_is_not(scene: Scene) -> None:
    second = scene.network("second")
    unplaced = network_conf_from_bytes('{"cniVersion":"1.0.0","name":"first","plugins":[{"type":"pass"}]}')
    scene.plugin("pass", 'cat >/dev/null; [ "$CNI_COMMAND" = ADD ] && echo \'{"cniVersion":"1.0.0"}\'; exit 0')
    scene.config.add_network_list(unplaced, scene.rt(netns=""))
    scene.config.add_network_list(second, scene.rt())
    assert scene.link is not None


@pytest.mark.parametrize("place", ["/etc/hostname/below", "/proc/self/ns/mnt"])
def test_what_is_no_network_namespace_counts_as_gone(scene: Scene, place: str) -> None:
    network = scene.network("net")
    rt = scene.rt(netns=place)
    with pytest.raises(CNIError):
        scene.config.add_network_list(network, rt)
    assert scene.config.pending() == []
    scene.config.del_network_list(network, rt)
    assert scene.leases("net") == 0


@pytest.fixture(params=["cookie", "no cookie"])
def _with_and_without_cookies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no cookie":  # a kernel before 5.14
        monkeypatch.setattr(namespaces, "cookie_of", lambda _inside: 0)


@pytest.mark.usefixtures("_with_and_without_cookies")
def test_namespace_of_a_process_is_known_again(scene: Scene) -> None:
    network = scene.network("net")
    with kernel.process_namespace() as (box, _):
        rt = scene.rt(netns=box.path)
        scene.config.add_network_list(network, rt)
        scene.config.check_network_list(network, rt)
        with pytest.raises(AttachmentExistsError):
            scene.config.add_network_list(scene.network("second"), scene.rt("other", netns=box.path))
        scene.config.del_network_list(network, rt)
        assert "eth0" not in box.links()
