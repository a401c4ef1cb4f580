"""Power loss after each change of a file: what was not synced is gone, or is there, or some of it is."""

from __future__ import annotations

import itertools
import random
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import libcni.storage.journal_record
import libcni.storage.namespace
import libcni.verbs.orphans
from libcni import CNIConfig, CNIError, GCAttachment, Recovery
from libcni.errors import DamagedFileError
from libcni.storage.journal_record import Record
from libcni.testing import failure, success
from tests.faults.disk import Disk, Fate, restore
from tests.faults.scripted import StartingRunner
from tests.faults.trials import size
from tests.faults.world import CHAIN, attachment, network
from tests.support.records import record_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcni.invoke.runner import PluginOutput
    from libcni.testing import ScriptedCall
    from tests.faults.trials import Trials

pytestmark = pytest.mark.usefixtures("moment_of_file_work")

NET = network(*CHAIN)


class Allocations:
    """Plugins that remember what they hold, which a power loss of the runtime's disk does not take from them."""

    def __init__(self, held: frozenset[tuple[str, str]] = frozenset()) -> None:
        self.held = set(held)
        self.after: Callable[[str], object] = lambda _: None
        self.refusing: set[str] = set()
        self._lock = threading.Lock()
        self.runner = StartingRunner({(name, verb): self._answer for name in CHAIN for verb in ("ADD", "DEL", "GC")})

    def _answer(self, call: ScriptedCall) -> PluginOutput:
        with self._lock:
            item = (call.plugin, call.container_id)
            if call.command == "ADD":
                self.held.add(item)
            else:
                self.held.discard(item)
            self.after(f"{call.command} of {call.plugin}")
        if call.command == "ADD":
            return failure(11, "no") if call.plugin in self.refusing else success({})
        return success()


def runtime(top: Path, allocations: Allocations, **options: Any) -> CNIConfig:
    return CNIConfig(["/opt"], cache_dir=top / "above" / "cache", runner=allocations.runner, environ={}, **options)


def use(config: CNIConfig, disk: Disk[frozenset[tuple[str, str]]]) -> None:
    store = config._context.store
    for folder in (store.cache.folder, store.journal.folder, store.damaged, store.locks.folder):
        folder.operations = disk


def add(config: CNIConfig, container: str = "c") -> None:
    config.add_network_list(NET, attachment(container))


def delete(config: CNIConfig, container: str = "c") -> None:
    config.del_network_list(NET, attachment(container))


def add_and_delete(config: CNIConfig, _: Allocations) -> None:
    add(config)
    delete(config)


def add_delete_add(config: CNIConfig, _: Allocations) -> None:
    add(config)
    delete(config)
    add(config)


def two_containers(config: CNIConfig, _: Allocations) -> None:
    add(config)
    add(config, "d")
    delete(config)


def rolled_back(config: CNIConfig, allocations: Allocations) -> None:
    allocations.refusing.add("three")
    with suppress(CNIError):
        add(config)
    allocations.refusing.clear()
    add(config)


def collected(config: CNIConfig, _: Allocations) -> None:
    add(config)
    add(config, "d")
    config.gc_network_list(NET, [GCAttachment("d", "eth0")])


def recovered(config: CNIConfig, allocations: Allocations) -> None:
    allocations.refusing.add("two")
    with suppress(CNIError):
        config.add_network_list(NET, attachment("c"), rollback=False)
    allocations.refusing.clear()
    config.recover()


def damaged(config: CNIConfig, _: Allocations) -> None:
    add(config)
    (item,) = config._context.store.cache.folder.names()
    path = config._context.store.cache.folder.path(item)
    with open(path, "wb"):  # noqa: PTH123 -- emptied by somebody else, behind the back of the recorded disk
        pass
    config.recover()
    delete(config)


STORIES = (add_and_delete, add_delete_add, two_containers, rolled_back, collected, recovered, damaged)
FATES: tuple[Fate, ...] = ("dropped", "kept")
MIXED: Fate = "mixed"


def _containers(cache: Path) -> set[str]:
    return {name.split("@")[1] for name in record_names(cache) if "@" in name}


def _is_torn(report: Recovery) -> bool:
    return isinstance(report.error, DamagedFileError) and "damaged record" in str(report.error)


def problems_after(top: Path, held: frozenset[tuple[str, str]], *, torn: bool = False) -> list[str]:
    """Recover from what the disk has, and say what is wrong.

    :param torn: a record may have reached the disk in part: then it was not begun, and is set aside.
    """
    cache = top / "above" / "cache"
    allocations = Allocations(held)
    config = runtime(top, allocations, durable=False, lock_timeout=1)
    found: list[str] = []
    known = {item.container_id for item in (*config.get_cached_attachments(), *config.pending())}
    records = [item for _, item in config._context.store.journal.scan()]
    known |= {item.key.container_id for item in records if isinstance(item, Record)}
    # A record that cannot be read is known too, unless it was torn: then nothing may be held.
    known |= set() if torn else _containers(cache)
    found += [f"{item} is held, and nobody knows" for item in held if item[1] not in known]
    reports = [report for report in config.recover() if not report.done]
    found += [f"recover: {report}" for report in reports if not (torn and _is_torn(report))]
    attached = {item.container_id for item in config.get_cached_attachments()} | _containers(cache)
    expected = {(plugin, name) for plugin in CHAIN for name in attached}
    if not allocations.held <= expected:
        found.append(f"held {allocations.held}, attached {attached}")
    found += [f"pending: {item}" for item in config.pending()]
    found += [f"left: {path}" for path in (top / "above").rglob("*.tmp")]
    for name in attached:
        delete(config, name)
    add(config)
    delete(config)
    if allocations.held or config.get_cached_attachments() or config.pending():
        found.append(f"cannot be emptied: {allocations.held}")
    return found


@pytest.fixture
def another_boot(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have the machine started again, as far as records can tell."""

    def start_again() -> None:
        for module in (libcni.storage.namespace, libcni.storage.journal_record, libcni.verbs.orphans):
            monkeypatch.setattr(module, "current_boot_id", lambda: "another")

    return start_again


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_power_loss_after_each_change_loses_nothing(
    story: Callable[[CNIConfig, Allocations], None],
    tmp_path: Path,
    trials_of: Callable[[str], Trials],
    another_boot: Callable[[], None],
) -> None:
    trials = trials_of("power loss after each change")
    allocations = Allocations()
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    disk = Disk(recorded, lambda: frozenset(allocations.held))
    allocations.after = disk.remember
    disk.remember("start")
    config = runtime(recorded, allocations)
    use(config, disk)
    story(config, allocations)
    assert len(disk.moments) > 20
    another_boot()
    fates: list[Fate] = [*FATES, *[MIXED] * size(1, 40)]
    stride = size(2, 1)
    for number, fate in itertools.product(range(random.randrange(stride), len(disk.moments), stride), fates):
        what, root, held = disk.moments[number]
        top = tmp_path / "after"
        top.mkdir()
        restore(root, top, fate)
        found = problems_after(top, held, torn=fate == MIXED)
        if story is not damaged and fate != MIXED:
            found += [f"damaged: {path}" for path in (top / "above").rglob("damaged/*")]
        trials.check(found, f"{story.__name__}, after {number} ({what}), unsynced {fate}")
        shutil.rmtree(top)


def test_disk_that_forgets_is_noticed(tmp_path: Path, another_boot: Callable[[], None]) -> None:
    """Without its syncs the library does lose something: the test above can fail."""
    allocations = Allocations()
    disk = Disk(tmp_path, lambda: frozenset(allocations.held))
    config = runtime(tmp_path, allocations, durable=False)
    use(config, disk)
    add(config)
    disk.remember("end")
    top = tmp_path / "after"
    top.mkdir()
    restore(disk.moments[-1][1], top, "dropped")
    another_boot()
    found = problems_after(top, frozenset(allocations.held))
    assert any("nobody knows" in problem for problem in found)
