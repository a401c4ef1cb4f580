"""The parts of the layer that both flavours share: the snapshot, the watch, the operations on containers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.networks.feed import SnapshotFeed
from libcni.networks.gates import check_limit
from libcni.networks.operations import ContainerOperations
from libcni.networks.readiness import ReadinessProbe
from libcni.networks.watch import DirectoryWatcher
from libcni.verbs.configured import DEFAULT_CACHE_DIR, DEFAULT_LOCK_TIMEOUT, DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from libcni.invoke.events import PluginEvent
    from libcni.invoke.runner import Runner
    from libcni.networks.snapshot import Snapshot

__all__ = ["STATUS_INTERVAL", "Embedding"]

STATUS_INTERVAL = 5.0
"""Seconds between two looks at the readiness, as kubelets look."""


class Embedding:
    """The layer that a runtime embeds, without its verbs.

    :param conf_dir: the configuration directory; it may be made later.
    :param bin_dirs: plugin directories, in order of preference.
    :param runner: runs plugins and waits.
    :param cache_dir: where results and records are kept.
    :param owner: tag of what is added here; garbage collection, recovery and reconciliation touch nothing else.
    :param default_network: name of the default network; left out, it is the first that can be used.
    :param watch: whether to follow the directories.
    :param limit: plugin chains at once.
    :param timeout: seconds for each plugin execution, and for all tries of one that says "try again later".
    :param lock_timeout: seconds to wait for another operation on the same container.
    :param environ: base environment of the plugins; the current one when left out.
    :param durable: whether results and records are synced to the disk.
    :param on_event: gets an event for each plugin call.
    """

    def __init__(  # noqa: PLR0913 -- the one place where all of this is chosen
        self,
        conf_dir: str | PathLike[str],
        bin_dirs: Sequence[str | PathLike[str]],
        runner: Runner,
        *,
        cache_dir: str | PathLike[str] = DEFAULT_CACHE_DIR,
        owner: str | None = None,
        default_network: str | None = None,
        watch: bool = True,
        limit: int = 16,
        timeout: float | None = DEFAULT_TIMEOUT,
        lock_timeout: float | None = DEFAULT_LOCK_TIMEOUT,
        environ: Mapping[str, str] | None = None,
        durable: bool = True,
        on_event: Callable[[PluginEvent], object] | None = None,
    ) -> None:
        self.limit = check_limit(limit)
        self.operations = ContainerOperations(
            bin_dirs,
            runner,
            cache_dir=cache_dir,
            timeout=timeout,
            lock_timeout=lock_timeout,
            environ=environ,
            owner=owner,
            durable=durable,
            on_event=on_event,
        )
        directories = self.operations.path
        self.feed = SnapshotFeed(conf_dir, runner, directories, pinned=default_network)
        self.probe = ReadinessProbe(self.operations.context, self.operations.timeout)
        self._watcher: DirectoryWatcher | None = None
        self._directories = directories
        self._watches = watch
        self._is_entered = False

    @property
    def snapshot(self) -> Snapshot:
        """The last snapshot."""
        return self.feed.current

    def start(self) -> None:
        """Read the directory, and begin to follow it.

        :raises RuntimeError: if the context is entered already.
        :raises MissingExtraError: if following is asked for, and watchfiles is not installed.
        """
        if self._is_entered:
            raise RuntimeError("the context is entered already: share the instance, or make another one")
        try:
            self._start()
        except BaseException:  # whose caller never comes to leave the context
            self.stop()
            raise

    def _start(self) -> None:
        self._is_entered = True
        self.feed.reopen()
        if self._watches:
            directories = [os.fspath(Path(each).absolute()) for each in self._directories]
            self._watcher = DirectoryWatcher(os.fspath(self.feed.directory), directories, self.feed.reload)
        self.feed.reload()
        if self._watcher is not None:
            self._watcher.start()

    def stop(self) -> None:
        """Follow it no longer, and let nobody wait any more."""
        self._is_entered = False
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
        self.feed.close()
