"""Plugins that outlived the process that ran them, and must end before their container is deleted.

The journal knows the last plugin that was started. Between its start and that note a process can die, so the
environment of running plugins is looked at as well. psutil is imported when there is something to look for. Go libcni
has no counterpart.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING

from libcni.errors import CacheError
from libcni.invoke.environment import CNI_CONTAINERID, CNI_IFNAME
from libcni.invoke.process.process_tree import ProcessTree
from libcni.storage.namespace import current_boot_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psutil

    from libcni.storage.journal_record import Record

__all__ = ["end_left_behind", "end_noted", "may_still_run", "still_runs"]

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL, as for a plugin at its deadline."""

PATIENCE = 5.0
"""Seconds after SIGKILL until recovery gives up on a process that does not end."""

_START_TOLERANCE = 0.05
"""Seconds: the start of a process is known to a tick of the kernel's clock."""
_POLL = 0.01


def may_still_run(record: Record) -> bool:
    """Return whether there is a process with the id of the plugin that the journal knows."""
    return record.plugin is not None and os.path.exists(f"/proc/{record.plugin.pid}")  # noqa: PTH110 -- on the way of every DEL


def still_runs(record: Record) -> bool:
    """Return whether the plugin that the journal knows runs; its id alone may be that of another process by now."""
    return may_still_run(record) and _noted(record) is not None


def end_noted(record: Record) -> None:
    """End the plugin that the journal knows, if it still runs. The container's lock must be held.

    :raises CacheError: if it cannot be ended.
    """
    if not may_still_run(record):
        return
    process = _noted(record)
    if process is not None:
        _end(process, record)


def end_left_behind(record: Record, paths: Sequence[str]) -> None:
    """End every plugin of the attachment that still runs. The container's lock must be held.

    :raises CacheError: if one cannot be ended.
    """
    end_noted(record)
    for process in _with_environment(record, paths):
        _end(process, record)


def _noted(record: Record) -> psutil.Process | None:
    """Return the noted process, unless its id has gone to another one since."""
    import psutil

    # A number of an earlier boot says nothing, and neither does the time since that boot.
    if record.plugin is None or record.boot_id != current_boot_id():
        return None
    with suppress(psutil.Error):
        process = psutil.Process(record.plugin.pid)
        # Seconds since boot survive a change of the clock.
        since_boot = process.create_time() - psutil.boot_time()
        if abs(since_boot - record.plugin.started) <= _START_TOLERANCE and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def _with_environment(record: Record, paths: Sequence[str]) -> Iterator[psutil.Process]:
    """Go through the processes that run a file of a plugin directory with the variables of this attachment."""
    import psutil

    folders = {os.path.realpath(path) for path in paths}
    wanted = {CNI_CONTAINERID: record.key.container_id, CNI_IFNAME: record.key.ifname}
    ours = _this_and_its_parents()
    for process in psutil.process_iter():
        if process.pid in ours:
            continue
        with suppress(psutil.Error):
            environment = process.environ()
            if any(environment.get(name) != value for name, value in wanted.items()):
                continue
            # A script's own path is the second argument, after its interpreter's.
            programs = [os.path.realpath(argument) for argument in process.cmdline()[:3] if os.sep in argument]
            places = folders.intersection(str(PurePath(program).parent) for program in programs)
            if any(_is_seen_by(process, place) for place in places):
                yield process


def _is_seen_by(process: psutil.Process, folder: str) -> bool:
    """Return whether a folder is the same one to a process: a container may have all the same paths and names."""
    try:
        return os.path.samefile(folder, f"/proc/{process.pid}/root{folder}")  # noqa: PTH121 -- text in
    except OSError:  # the process has ended
        return False


def _this_and_its_parents() -> set[int]:
    """Return who must not be ended: a plugin may use this library for its container, below a script that starts it."""
    import psutil

    ours = {os.getpid()}
    with suppress(psutil.Error):
        ours.update(parent.pid for parent in psutil.Process().parents())
    return ours


def _end(process: psutil.Process, record: Record) -> None:
    tree = ProcessTree(process.pid)
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, PATIENCE)):
        tree.signal(number)
        if _is_gone(process, patience) and tree.is_alone():
            return
    if not _is_gone(process, 0.0):
        reason = f"plugin process {process.pid}, left behind for container {record.key.container_id!r}, does not end"
        raise CacheError(f"/proc/{process.pid}", reason)


def _is_gone(process: psutil.Process, patience: float) -> bool:
    import psutil

    deadline = time.monotonic() + patience
    while True:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.Error:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
