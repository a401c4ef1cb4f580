"""Garbage collection and reconciliation: what is stored, against what exists."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcni import CNIConfig, CNIErrorGroup, InvalidParameterError, LockTimeoutError, RuntimeConf
from libcni.networks import Join, ReconcilePolicy
from libcni.protocol.attachment import AttachmentKey
from libcni.storage.locks import container_lock, setup_lock
from libcni.testing import failure, success
from tests.networks.conftest import networks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.testing import ScriptedRunner
    from tests.networks.conftest import Addresses, Directory, Face

NETNS = "/run/netns/of-nobody"
INTERFACE = "libcni-none0"
"""An interface that the namespace of the tests does not have."""


def found(steps: list[Any]) -> list[tuple[str, str, str, str, bool]]:
    return [(step.container_id, step.ifname, step.finding, step.action, step.done) for step in steps]


def of(networks: Face, *containers: str, names: Any = None) -> None:
    for container_id in containers:
        networks.setup(container_id, NETNS, networks=names)


def in_namespace(networks: Face, container_id: str, path: Path) -> None:
    path.symlink_to(f"/proc/{os.getpid()}/ns/net")
    networks.setup(container_id, os.fspath(path), networks=[Join("a", ifname=INTERFACE)])


@pytest.mark.parametrize("kind", ["ids", "pairs", "function", "iterator"])
def test_gc_deletes_what_is_not_in_use(
    conf: Directory, make: Callable[..., Face], addresses: Addresses, kind: str
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box", "gone", "half", names=["a", "a"])
    keep: dict[str, Any] = {
        "ids": ["box", ("half", "eth0")],
        "pairs": [("box", "eth0"), ("box", "eth1"), ("half", "eth0")],
        "function": lambda: ["box", ("half", "eth0")],
        "iterator": iter(["box", ("half", "eth0")]),
    }
    if kind != "iterator":
        planned = networks.gc(keep[kind], dry_run=True)
        assert len(planned) == 3
        assert len(addresses.in_use) == 6
    deleted = networks.gc(keep[kind])
    assert sorted((item.container_id, item.ifname) for item in deleted) == [
        ("gone", "eth0"),
        ("gone", "eth1"),
        ("half", "eth1"),
    ]
    assert set(addresses.in_use) == {("box", "eth0"), ("box", "eth1"), ("half", "eth0")}


@pytest.mark.parametrize("flavour", ["asyncio", "trio"])
def test_gc_reads_the_list_of_an_async_function(
    conf: Directory, make: Callable[..., Face], addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box", "gone")

    async def keep() -> list[str]:
        return ["box"]

    networks.gc(keep)
    assert set(addresses.in_use) == {("box", "eth0")}


@pytest.mark.parametrize("mistake", ["box", 7, [7], ["not/an id"], [("box", "not a name")], [("box",)]])
def test_list_that_makes_no_sense_deletes_nothing(
    conf: Directory, make: Callable[..., Face], addresses: Addresses, mistake: Any
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box")
    for verb in (networks.gc, networks.reconcile):
        with pytest.raises(InvalidParameterError):
            verb(mistake)
    assert len(addresses.in_use) == 1


def test_gc_leaves_a_setup_alone_that_runs(conf: Directory, make: Callable[..., Face], addresses: Addresses) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box", "gone")
    store = networks.networks._embedding.operations.context.store
    held = store.locks.try_lock(setup_lock("box"))
    assert [item.container_id for item in networks.gc([], dry_run=True)] == ["gone"]
    try:
        assert [item.container_id for item in networks.gc([])] == ["gone"]
    finally:
        held.release()
    assert set(addresses.in_use) == {("box", "eth0")}


def test_gc_leaves_alone_what_was_added_since_it_began(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses, tmp_path: Path
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b")
    networks = make()
    of(networks, "gone", names=["b"])
    other = CNIConfig(["/bin"], cache_dir=tmp_path / "cache", runner=runner, durable=False, environ={})

    def late() -> list[str]:
        if ("new", "eth0") not in addresses.in_use:  # network a is locked now, and b is not
            network = networks.snapshot.find("b")
            thread = threading.Thread(target=other.add_network_list, args=(network, RuntimeConf("new", NETNS, "eth0")))
            thread.start()
            thread.join()
        return []

    assert [item.container_id for item in networks.gc(late)] == ["gone"]
    assert set(addresses.in_use) == {("new", "eth0")}


def test_gc_reports_failures_and_goes_on(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b", "other")
    networks = make()
    of(networks, "box", names=["a", "b"])
    runner.answer("other", "DEL", failure(7, "stuck"))
    with pytest.raises(CNIErrorGroup) as caught:
        networks.gc([])
    assert networks_of(caught.value) == ["b"]
    assert not addresses.in_use


def test_reconcile_deletes_the_unexpected_and_names_the_missing(
    conf: Directory, make: Callable[..., Face], addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box", "gone")
    expected = ["box", ("box", "eth9"), "missing"]
    plan = [
        ("box", "eth9", "missing", "none", False),
        ("box", "eth0", "in order", "none", False),
        ("gone", "eth0", "unexpected", "delete", False),
        ("missing", "", "missing", "none", False),
    ]
    assert found(networks.reconcile(expected, dry_run=True)) == plan
    assert len(addresses.in_use) == 2
    assert found(networks.reconcile(iter(expected))) == [
        *plan[:2],
        ("gone", "eth0", "unexpected", "delete", True),
        plan[3],
    ]
    assert set(addresses.in_use) == {("box", "eth0")}


@pytest.mark.parametrize(
    ("policy", "action", "left"),
    [
        (ReconcilePolicy(unexpected="forget"), "forget", 0),
        (ReconcilePolicy(unexpected="none"), "none", 1),
    ],
)
def test_unexpected_container_is_forgotten_or_kept(
    conf: Directory, make: Callable[..., Face], addresses: Addresses, policy: ReconcilePolicy, action: str, left: int
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "gone")
    steps = networks.reconcile(list, policy=policy)
    assert found(steps) == [("gone", "eth0", "unexpected", action, action == "forget")]
    assert len(addresses.in_use) == 1
    assert len(networks.attachments()) == left


def test_reconcile_reports_what_it_cannot_delete_or_forget(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make(lock_timeout=0)
    of(networks, "gone")
    runner.answer("bridge", "DEL", failure(7, "stuck"))
    (step,) = networks.reconcile([])
    assert (step.container_id, step.network, step.ifname, step.finding) == ("gone", "a", "eth0", "unexpected")
    assert "stuck" in str(step.error)
    assert not step.done


def test_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="check_failed"):
        ReconcilePolicy(check_failed="destroy")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(InvalidParameterError, match="no container to add"):
        ReconcilePolicy(unexpected="re-add")


def test_container_whose_check_fails_is_added_again(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box")
    before = addresses.in_use["box", "eth0"]
    runner.answer("bridge", "CHECK", [failure(100, "gone"), failure(100, "gone"), success()])
    (step,) = networks.reconcile(["box"])
    assert (step.finding, step.action) == ("check failed", "none")
    assert "gone" in str(step.error)
    (step,) = networks.reconcile(["box"], policy=ReconcilePolicy(check_failed="re-add"))
    assert (step.finding, step.action, step.done) == ("check failed", "re-add", True)
    assert addresses.in_use["box", "eth0"] != before
    networks.check("box")
    assert found(networks.reconcile(["box"], policy=ReconcilePolicy(check=False)))[0][2] == "in order"


def test_container_whose_namespace_is_gone_is_deleted(
    conf: Directory, make: Callable[..., Face], addresses: Addresses, tmp_path: Path
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    path = tmp_path / "namespace"
    in_namespace(networks, "box", path)
    path.unlink()
    assert found(networks.reconcile(["box"], policy=ReconcilePolicy(namespace_gone="none")))[0][2:] == (
        "namespace gone",
        "none",
        False,
    )
    (step,) = networks.reconcile(["box"], policy=ReconcilePolicy(namespace_gone="re-add"))
    assert (step.action, step.done, step.reason) == ("delete", True, "there is no namespace to add it to")
    assert not addresses.in_use


def test_container_with_a_new_namespace_at_its_path_is_added_to_it(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses, tmp_path: Path
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    path = tmp_path / "namespace"
    in_namespace(networks, "box", path)
    record_of_another_boot(networks, "box")
    (step,) = networks.reconcile(["box"], policy=ReconcilePolicy(namespace_gone="re-add"))
    assert (step.finding, step.action, step.done) == ("namespace gone", "re-add", True)
    assert [(call.command, call.netns) for call in runner.calls[-2:]] == [("DEL", ""), ("ADD", os.fspath(path))]
    assert len(addresses.in_use) == 1


def record_of_another_boot(networks: Face, container_id: str) -> None:
    """Make the record of a container's interface on network a one of an earlier boot."""
    from dataclasses import replace  # noqa: PLC0415 -- for this helper alone

    from libcni.invoke.steps import finish  # noqa: PLC0415 -- as above

    store = networks.networks._embedding.operations.context.store
    with store.journal.open(AttachmentKey("a", container_id, INTERFACE)) as opened:
        record = opened.find()
        opened.remove()
        identity = record.identity._replace(boot_id="of-another-boot")
        finish(opened.beginning(replace(record, identity=identity, boot_id="of-another-boot")))
        opened.note_added(None)


def test_unfinished_attachment_is_deleted(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box")
    runner.answer("bridge", "DEL", [failure(7, "stuck"), failure(7, "stuck"), addresses.delete])
    with pytest.raises(CNIErrorGroup):
        networks.remove("box")
    (step,) = networks.reconcile(["box"])
    assert (step.finding, step.action, step.done) == ("unfinished", "delete", False)
    assert "stuck" in str(step.error)
    assert found(networks.reconcile(["box"])) == [("box", "eth0", "unfinished", "delete", True)]
    assert not addresses.in_use


def test_unfinished_attachment_is_forgotten_where_the_policy_says_so(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box")
    runner.answer("bridge", "DEL", failure(7, "stuck"))
    with pytest.raises(CNIErrorGroup):
        networks.remove("box")
    (step,) = networks.reconcile(["box"], policy=ReconcilePolicy(unfinished="forget"))
    assert (step.action, step.done) == ("forget", True)
    assert networks.attachments() == []


def test_container_that_another_operation_works_on_is_left_alone(
    conf: Directory, make: Callable[..., Face], addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box")
    held = networks.networks._embedding.operations.context.store.locks.try_lock(setup_lock("box"))
    try:
        (step,) = networks.reconcile(["box"])
    finally:
        held.release()
    assert (step.finding, step.reason) == ("running", f"by process {os.getpid()}")
    assert len(addresses.in_use) == 1


def test_attachments_of_another_owner_are_left_alone(
    conf: Directory, make: Callable[..., Face], addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    of(make(owner="another"), "box")
    mine = make(owner="me")
    assert mine.reconcile([]) == []
    assert mine.gc([]) == []
    assert found(mine.reconcile(["box"])) == []
    assert len(addresses.in_use) == 1


def journal_of(networks: Face) -> Any:
    return networks.networks._embedding.operations.context.store.journal


def test_attachment_of_another_program_is_known_by_its_namespace(
    conf: Directory, make: Callable[..., Face], addresses: Addresses, tmp_path: Path
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    path = tmp_path / "namespace"
    in_namespace(networks, "box", path)
    of(networks, "without")
    for key in (AttachmentKey("a", "box", INTERFACE), AttachmentKey("a", "without", "eth0")):
        with journal_of(networks).open(key) as opened:
            opened.remove()  # Go libcni keeps no record
    assert {step.finding for step in networks.reconcile(["box", "without"])} == {"in order"}
    file = tmp_path / "cache" / "results" / f"a-box-{INTERFACE}"
    os.utime(file, (1, 1))  # older than any namespace; that of this process has no time while nothing keeps its inode
    with Path(path).open("rb"):
        time.sleep(0.05)
        (older, _) = networks.reconcile(["box", "without"], dry_run=True)
    assert (older.container_id, older.finding) == ("box", "namespace gone")
    os.utime(file)
    path.unlink()
    path.write_text("no namespace")
    (gone, _) = networks.reconcile(["box", "without"])
    assert (gone.container_id, gone.finding, gone.done) == ("box", "namespace gone", True)
    assert set(addresses.in_use) == {("without", "eth0")}


def test_container_of_which_only_a_damaged_file_is_left_is_deleted_with_the_given_configuration(
    conf: Directory, make: Callable[..., Face], addresses: Addresses, tmp_path: Path
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box")
    with journal_of(networks).open(AttachmentKey("a", "box", "eth0")) as opened:
        opened.remove()
    (tmp_path / "cache" / "results" / "a-box-eth0").write_text("{")
    with pytest.raises(CNIErrorGroup, match="box"):
        networks.check("box")
    networks.remove("box")
    assert not addresses.in_use


def test_damaged_file_is_reported_once_and_the_container_is_missing(
    conf: Directory, make: Callable[..., Face], tmp_path: Path
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box")
    with journal_of(networks).open(AttachmentKey("a", "box", "eth0")) as opened:
        opened.remove()
    (tmp_path / "cache" / "results" / "a-box-eth0").write_text("{")
    damaged, missing = networks.reconcile(["box"])
    assert "damaged" in str(damaged.error)
    assert (missing.container_id, missing.finding) == ("box", "missing")
    assert [step.finding for step in networks.reconcile(["box"])] == ["missing"]


def test_container_that_cannot_be_forgotten_is_reported(conf: Directory, make: Callable[..., Face]) -> None:
    conf.network("10-a.conflist", "a")
    networks = make(lock_timeout=0)
    of(networks, "gone")
    held = networks.networks._embedding.operations.context.store.locks.try_lock(container_lock("gone"))
    try:
        (step,) = networks.reconcile([], policy=ReconcilePolicy(unexpected="forget"))
    finally:
        held.release()
    assert isinstance(step.error, LockTimeoutError)
    assert not step.done


def test_container_that_is_in_use_when_its_turn_comes_is_left_alone(
    conf: Directory, make: Callable[..., Face], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make(lock_timeout=0)
    of(networks, "box")
    locks = networks.networks._embedding.operations.context.store.locks
    held = locks.try_lock(setup_lock("box"))
    monkeypatch.setattr(locks, "holders", lambda _: {})  # it was free when that was looked at
    try:
        (step,) = networks.reconcile(["box"])
    finally:
        held.release()
    assert step.finding == "running"
    assert isinstance(step.error, LockTimeoutError)


def test_finding_of_a_container_that_is_gone_meanwhile_is_not_acted_on(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    of(networks, "box")
    runner.answer("bridge", "CHECK", failure(100, "gone"))
    answers = iter([["box"], ["box"], []])
    assert networks.reconcile(lambda: next(answers), policy=ReconcilePolicy(check_failed="re-add")) == []
    assert len(addresses.in_use) == 1
