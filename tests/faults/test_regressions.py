"""Faults that were found once, each in its smallest form."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from libcni import CacheError, CNIConfig
from libcni.attachment import AttachmentKey
from libcni.disk import FileOperations
from libcni.testing import ScriptedRunner
from tests.faults.trials import size
from tests.faults.world import attachment, network
from tests.records import as_file, sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.trials import Trials

NET = network("one")


class Killed(BaseException):
    """What ends a runtime here as SIGKILL would: nothing of the library runs after it."""


def runtime(folder: Path, runner: ScriptedRunner, **options: Any) -> CNIConfig:
    return CNIConfig(["/opt"], cache_dir=folder / "cache", runner=runner, environ={}, lock_timeout=1, **options)


class _FailingSync(FileOperations):
    """Cannot sync the folder of the results, once there is a result."""

    def link_unnamed(self, descriptor: int, new_name: str, folder: int) -> None:
        super().link_unnamed(descriptor, new_name, folder)
        raise OSError(errno.EIO, "Input/output error")


def test_kill_during_a_rollback_after_the_result_was_stored_is_no_success(
    tmp_path: Path, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("faults that were found once")

    def killed(_: object) -> NoReturn:
        raise Killed

    runner = ScriptedRunner({("one", "DEL"): killed})
    config = runtime(tmp_path, runner, durable=False)
    config._context.store.cache.folder.operations = _FailingSync()
    with pytest.raises(Killed):
        config.add_network_list(NET, attachment("c"))
    (left,) = runtime(tmp_path, ScriptedRunner()).pending()
    trials.check([] if left.container_id == "c" else ["not pending"], "rollback")


def test_record_that_was_written_before_its_disk_failed_is_taken_back(
    tmp_path: Path, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("faults that were found once")

    class Failing(FileOperations):
        def sync(self, descriptor: int) -> None:
            raise OSError(errno.EIO, f"Input/output error: {descriptor}")

    runner = ScriptedRunner()
    config = runtime(tmp_path, runner)
    config._context.store.journal.folder.operations = Failing()
    with pytest.raises(CacheError):
        config.add_network_list(NET, attachment("c"))
    assert runner.calls == []
    trials.check([str(item) for item in config.pending()], "begin")


def test_damaged_file_is_not_taken_for_the_one_of_another_attachment(
    tmp_path: Path, trials_of: Callable[[str], Trials]
) -> None:
    """Two attachments whose plain names are one: the file of the second has another name, and is damaged."""
    trials = trials_of("faults that were found once")
    config = runtime(tmp_path, ScriptedRunner(), durable=False)
    first, second = network("one", name="a"), network("one", name="a-b")
    config.add_network_list(first, attachment("b-c"))
    config.add_network_list(second, attachment("c"))
    results = tmp_path / "cache" / "results"
    (results / "a-b@c@eth0").write_text("")
    config.del_network_list(second, attachment("c"))
    attached = [item.key for item in config.get_cached_attachments()]
    trials.check([] if attached == [AttachmentKey("a", "b-c", "eth0")] else [str(attached)], "DEL")


@pytest.mark.parametrize("verb", ["recover", "gc"])
def test_live_attachment_with_a_damaged_result_is_not_deleted_by_recovery(
    tmp_path: Path, trials_of: Callable[[str], Trials], verb: str
) -> None:
    trials = trials_of("faults that were found once")
    runner = ScriptedRunner()
    config = runtime(tmp_path, runner, durable=False)
    config.add_network_list(NET, attachment("c"))
    (tmp_path / "cache" / "results" / "net-c-eth0").write_text("")
    if verb == "gc":
        with pytest.raises(ExceptionGroup):
            config.gc_network_list(network("one", name="other"), [])
    config.recover()
    trials.check([str(entry) for entry in runner.history if entry[0] == "DEL"], verb)


@pytest.mark.parametrize("member", ["state", "plugin", "netns", "netnsIdentity", "cniArgs", "capabilityArgs", "time"])
def test_record_with_a_member_of_another_type_is_set_aside(
    tmp_path: Path, trials_of: Callable[[str], Trials], member: str
) -> None:
    trials = trials_of("faults that were found once")
    config = runtime(tmp_path, ScriptedRunner(), durable=False)
    for value in (True, [1], {"a": 1}, 10**30):
        if member == "time" and not isinstance(value, list | dict):
            continue
        if member == "capabilityArgs" and isinstance(value, dict):
            continue
        config.add_network_list(NET, attachment("c"))
        path = as_file(tmp_path / "cache", "net@c@eth0")
        path.write_bytes(sealed(json.loads(path.read_text()) | {member: value}))
        (report,) = config.recover()
        trials.check([] if isinstance(report.error, CacheError) else [str(report)], f"{member}: {value}")
        config.del_network_list(NET, attachment("c"))


@pytest.mark.parametrize("content", ["", "{", "[]", "\0" * 100], ids=["empty", "half", "array", "zeroes"])
def test_delete_with_a_damaged_cache_file_deletes_everything(
    tmp_path: Path, trials_of: Callable[[str], Trials], content: str
) -> None:
    trials = trials_of("DEL with a damaged cache file")
    for number in range(size(2, 20)):
        runner = ScriptedRunner()
        config = runtime(tmp_path, runner, durable=False)
        config.add_network_list(NET, attachment(f"c{number}"))
        (tmp_path / "cache" / "results" / f"net-c{number}-eth0").write_text(content)
        config.del_network_list(NET, attachment(f"c{number}"))
        found = [] if runner.history == [("ADD", "one"), ("DEL", "one")] else [str(runner.history)]
        found += [str(item) for item in (*config.get_cached_attachments(), *config.pending())]
        trials.check(found, content)
