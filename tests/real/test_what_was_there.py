"""What was in a namespace before an ADD stays there: whatever fails, and whoever cleans up afterwards."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcni import CNIConfig, CNIError, GCAttachment, RuntimeConf, load_network_conf
from tests.real import networks
from tests.real.flavours import Attachment, RefusedError, refusal_of
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.flavours import Folders, Runtime
    from tests.support.kernel import Namespace


def plain_bridge(name: str, bridge: str, leases: Path, **members: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.231.8.0/24"}]], "dataDir": str(leases)}
    return networks.network(name, {"type": "bridge", "bridge": bridge, "ipam": ipam} | members)


@pytest.fixture
def two(runtime: Runtime, bridge: str, tmp_path: Path) -> tuple[str, str]:
    """Return the names of two networks over one bridge."""
    first, second = kernel.random_name("neta"), kernel.random_name("netb")
    for name in (first, second):
        runtime.folders.write(plain_bridge(name, bridge, tmp_path / name))
    return first, second


def library(folders: Folders) -> CNIConfig:
    return CNIConfig([str(folders.bin)], cache_dir=folders.cache)


@contextmanager
def interface(namespace: Namespace, name: str = "eth0") -> Iterator[None]:
    """Put an interface into a namespace as another program would."""
    peer = kernel.random_name("p")[:15]
    namespace.run("ip", "link", "add", name, "type", "veth", "peer", "name", peer)
    yield


def test_second_network_with_the_interface_name_of_the_first_is_refused_and_takes_nothing_down(
    runtime: Runtime, two: tuple[str, str], attachment: Attachment, namespace: Namespace
) -> None:
    runtime.add(two[0], attachment)
    before = namespace.links()["eth0"], namespace.addresses("eth0")
    refusal = refusal_of(runtime.add, two[1], attachment)
    assert refusal is not None
    assert two[0] in refusal.text
    assert attachment.container_id in refusal.text
    assert (namespace.links()["eth0"], namespace.addresses("eth0")) == before
    assert library(runtime.folders).pending() == []
    runtime.delete(two[0], attachment)
    runtime.add(two[1], attachment)


def test_another_container_in_the_same_namespace_by_another_path_is_refused(
    runtime: Runtime, two: tuple[str, str], attachment: Attachment, namespace: Namespace
) -> None:
    runtime.add(two[0], attachment)
    before = namespace.links()["eth0"]
    with Path(namespace.path).open("rb") as held:
        other = Attachment(kernel.random_name("d"), f"/proc/{os.getpid()}/fd/{held.fileno()}")
        refusal = refusal_of(runtime.add, two[1], other)
    assert refusal is not None
    assert two[0] in refusal.text
    assert attachment.container_id in refusal.text
    assert namespace.links()["eth0"] == before


def test_attachment_of_go_in_the_same_namespace_is_named_and_stays(
    runtime: Runtime, two: tuple[str, str], attachment: Attachment, namespace: Namespace
) -> None:
    runtime.add(two[0], attachment)
    for record in (runtime.folders.cache / "journal").iterdir():
        record.unlink()  # Go libcni keeps none
    for container_id in (attachment.container_id, kernel.random_name("d")):
        refusal = refusal_of(runtime.add, two[1], replace(attachment, container_id=container_id))
        assert refusal is not None
        assert two[0] in refusal.text
    assert "eth0" in namespace.links()


@pytest.mark.parametrize("kind", ["bridge", "ptp"])
def test_failed_add_over_an_interface_that_nothing_stored_knows_deletes_nothing(
    kind: str, runtime: Runtime, attachment: Attachment, namespace: Namespace, bridge: str, tmp_path: Path
) -> None:
    name = runtime.folders.write(plain_bridge(kernel.random_name("net"), bridge, tmp_path / "leases", type=kind))
    with interface(namespace):
        before = namespace.links()["eth0"]
        refusal = refusal_of(runtime.add, name, attachment)
        assert refusal is not None
        assert "nothing was deleted" in refusal.text or runtime.__class__.__name__ == "LibraryRuntime"
        config = library(runtime.folders)
        assert config.pending() == []
        assert config.recover() == []
        config.gc_network_list(load_network_conf(runtime.folders.conf, name), [])
        assert namespace.links()["eth0"] == before
        runtime.delete(name, attachment)  # asked for
        assert "eth0" not in namespace.links()


def test_add_over_a_known_interface_says_what_was_left_alone(
    folders: Folders, attachment: Attachment, namespace: Namespace, bridge: str, tmp_path: Path
) -> None:
    name = folders.write(plain_bridge(kernel.random_name("net"), bridge, tmp_path / "leases"))
    with interface(namespace), pytest.raises(CNIError) as caught:
        library(folders).add_network_list(load_network_conf(folders.conf, name), attachment.runtime_conf())
    assert any("nothing was deleted: interface 'eth0'" in note for note in caught.value.__notes__)


def test_killed_add_over_an_interface_is_left_alone_by_recovery_and_collection(
    folders: Folders, attachment: Attachment, namespace: Namespace, bridge: str, tmp_path: Path
) -> None:
    kernel_name = kernel.random_name("net")
    slow = tmp_path / "bin"
    slow.mkdir()
    (slow / "slow").write_text('#!/bin/sh\n[ "$CNI_COMMAND" = ADD ] && kill -9 $PPID\nexit 0\n')
    (slow / "slow").chmod(0o755)
    document = plain_bridge(kernel_name, bridge, tmp_path / "leases")
    document["plugins"].insert(0, {"type": "slow"})
    name = folders.write(document)
    config = CNIConfig([str(slow), str(folders.bin)], cache_dir=folders.cache)
    network = load_network_conf(folders.conf, name)
    with interface(namespace):
        before = namespace.links()["eth0"]
        child = os.fork()
        if not child:
            config.add_network_list(network, attachment.runtime_conf())
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
        assert [item.state for item in config.pending()] == ["unfinished"]
        (report,) = config.recover()
        assert not report.done
        assert "nothing was deleted" in str(report.error)
        with pytest.raises(CNIError, match="did not succeed"):
            config.gc_network_list(network, [])
        assert namespace.links()["eth0"] == before
        # A retry deletes nothing either: it fails over the interface, and that is all.
        with pytest.raises(CNIError, match="eth0"):
            CNIConfig([str(folders.bin)], cache_dir=folders.cache).add_network_list(
                load_network_conf(folders.conf, folders.write(plain_bridge(name, bridge, tmp_path / "leases"))),
                attachment.runtime_conf(),
            )
        assert namespace.links()["eth0"] == before
        assert config.pending() == []


def test_chain_that_only_tunes_an_interface_works(
    runtime: Runtime, attachment: Attachment, namespace: Namespace
) -> None:
    name = runtime.folders.write(networks.network(kernel.random_name("net"), {"type": "tuning", "mtu": 1300}))
    lo = runtime.folders.write(networks.network(kernel.random_name("lo"), {"type": "loopback"}))
    with interface(namespace):
        refusal = refusal_of(runtime.add, name, attachment)
        assert refusal is not None  # tuning wants the result of a plugin before it
        assert namespace.links()["eth0"]["mtu"] == 1500
        loopback = replace(attachment, ifname="lo")
        runtime.add(lo, loopback)
        assert "UP" in namespace.links()["lo"]["flags"]
        runtime.check(lo, loopback)
        runtime.delete(lo, loopback)
        assert "eth0" in namespace.links()


@pytest.mark.alone
@pytest.mark.parametrize("verb", ["delete", "gc", "recover"])
def test_namespace_with_path_and_number_of_a_dead_one_is_left_alone(
    verb: str, runtime: Runtime, two: tuple[str, str], attachment: Attachment, namespace: Namespace
) -> None:
    config = library(runtime.folders)
    network = load_network_conf(runtime.folders.conf, two[0])
    for _ in range(30):  # another process on the machine, or a file in /proc, may take the number first
        runtime.add(two[0], attachment)
        if verb == "recover":
            broken = CNIConfig(["/nowhere"], cache_dir=runtime.folders.cache)
            with pytest.raises(CNIError):
                broken.del_network_list(network, attachment.runtime_conf())
        if kernel.replace_namespace(namespace.path):
            break
        runtime.delete(two[0], attachment)
    else:
        pytest.fail("no namespace got the number of a dead one")
    with interface(namespace):
        before = namespace.links()["eth0"]
        if verb != "recover":
            assert refusal_of(runtime.check, two[0], attachment) is not None
        if verb == "delete":
            runtime.delete(two[0], attachment)
        elif verb == "gc":
            keep = [GCAttachment("other", "eth0")]
            runtime.collect_garbage(two[0], keep)
        else:
            assert [report.done for report in config.recover()] == [True]
        assert config.get_cached_attachments() == config.pending() == []
        assert namespace.links()["eth0"] == before


def test_namespace_of_a_process_is_known_by_its_cookie(
    runtime: Runtime, two: tuple[str, str], attachment: Attachment
) -> None:
    with kernel.process_namespace() as (namespace, _):
        container = replace(attachment, netns=namespace.path)
        runtime.add(two[0], container)
        runtime.check(two[0], container)
        runtime.delete(two[0], container)
        assert "eth0" not in namespace.links()


@pytest.mark.parametrize("place", ["/etc/hostname", "/etc"])
def test_path_that_is_no_namespace_leaves_nothing_behind(
    place: str, runtime: Runtime, two: tuple[str, str], attachment: Attachment, tmp_path: Path
) -> None:
    container = replace(attachment, netns=place)
    assert refusal_of(runtime.add, two[0], container) is not None
    config = library(runtime.folders)
    assert config.pending() == []
    runtime.delete(two[0], container)
    assert networks.leases(tmp_path / two[0]) == set()


def test_network_that_was_mistaken_is_corrected(
    runtime: Runtime, attachment: Attachment, namespace: Namespace, bridge: str, tmp_path: Path
) -> None:
    right = plain_bridge(kernel.random_name("net"), bridge, tmp_path / "leases")
    mistakes: list[dict[str, Any]] = [
        right | {"cniVersion": "1.1.0"},
        right | {"plugins": [right["plugins"][0] | {"ipam": {"type": "host-locall"}}]},
        right | {"plugins": [right["plugins"][0] | {"mtu": "1400"}]},
        right
        | {"plugins": [right["plugins"][0] | {"ipam": right["plugins"][0]["ipam"] | {"ranges": [[{"subnet": "x"}]]}}]},
    ]
    for mistake in mistakes:
        name = runtime.folders.write(mistake)
        with pytest.raises(RefusedError):
            runtime.add(name, attachment)
        runtime.folders.write(right)
        runtime.add(name, attachment)
        runtime.delete(name, attachment)
        assert library(runtime.folders).pending() == []
        assert "eth0" not in namespace.links()


def test_runtime_conf_of_a_stored_attachment_is_that_of_its_add(
    folders: Folders, attachment: Attachment, bridge: str, tmp_path: Path
) -> None:
    name = folders.write(plain_bridge(kernel.random_name("net"), bridge, tmp_path / "leases"))
    config = library(folders)
    rt: RuntimeConf = attachment.runtime_conf()
    network = load_network_conf(folders.conf, name)
    config.add_network_list(network, rt)
    (stored,) = config.get_cached_attachments()
    assert stored.runtime_conf() == rt
    config.del_network_list(network, stored.runtime_conf())
