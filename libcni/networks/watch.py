"""Following the configuration directory and the plugin directories: a thread that calls back after a change.

Events of the kernel (through watchfiles) wake it up; what has changed is found by reading anew, so that no event has to
be understood. Watched are the directories themselves, every directory on the way to them and to what their links lead
to: one may be made later, removed and made again, or replaced by rename. Where the kernel gives no events, and where a
directory has a name that watchfiles cannot take (it is no UTF-8), the directories are compared every two seconds. Go
counterpart: the ``fsnotify`` loops of ``ocicni`` and ``containerd``.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcni.config.load import is_directory
from libcni.errors import MissingExtraError
from libcni.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from watchfiles._rust_notify import RustNotify

__all__ = ["DirectoryView", "DirectoryWatcher", "look_at"]

_log = Log("libcni.networks")

POLL_SECONDS = 2.0
"""How often directories are compared where the kernel gives no events."""

SAFETY_SECONDS = 60.0
"""How often they are compared although it does: a file system may be shared with other machines."""

_STEP_MS = 100
"""A change is complete when this long nothing has followed it."""

_DEBOUNCE_MS = 100
"""The longest that changes which go on hold up the first one: directories on the way, such as ``/tmp``, may be busy."""

_STOP_SECONDS = 5.0
"""The longest that the end waits for a call in progress, which the disk may hold up."""

_LINKS_LIMIT = 40
"""Links on the way to one file, as many as the kernel follows."""

_ADDED, _MODIFIED, _DELETED = 1, 2, 3
"""The kinds of events, as watchfiles numbers them."""


@dataclass(frozen=True, slots=True)
class DirectoryView:
    """Everything that a configuration depends on, as it was at one look.

    ``directories`` are those to watch, each with its identity; :attr:`watchable` are those whose names allow it. Of
    ``contents`` every entry matters; of the others those of ``on_the_way``. ``signature`` differs when an entry was
    added, removed or changed.
    """

    directories: Mapping[str, tuple[int, int]]
    contents: frozenset[str]
    on_the_way: frozenset[str]
    signature: Mapping[str, object]

    @property
    def watchable(self) -> list[str]:
        """The directories that watchfiles can watch."""
        return [path for path in self.directories if _is_utf8(path)]

    def concerns(self, path: str) -> bool:
        """Return whether an event at a path may change anything."""
        return path in self.on_the_way or _parent(path) in self.contents

    def is_replaced(self, changes: Iterable[tuple[int, str]]) -> bool:
        """Return whether a directory or link on the way was made or removed: the watch is of what was there before."""
        return any(kind != _MODIFIED and path in self.on_the_way for kind, path in changes)


def look_at(conf_dir: str, bin_dirs: Sequence[str]) -> DirectoryView:
    """Return everything that the configuration depends on.

    :param conf_dir: the configuration directory; it may be missing, as may all others.
    :param bin_dirs: the plugin directories.
    """
    roots = [_real(conf_dir), *map(_real, bin_dirs)]
    contents = dict.fromkeys(roots)
    contents |= dict.fromkeys(_real(entry.path) for entry in _entries(roots[0]) if is_directory(entry))
    on_the_way = {step for path in (conf_dir, *bin_dirs) for step in _steps_to(path)}
    links = [entry.path for directory in contents for entry in _entries(directory) if entry.is_symlink()]
    on_the_way |= {step for link in links for step in _steps_to(link)}
    wanted = {*contents, *map(_parent, on_the_way)}
    directories = {path: identity for path in sorted(wanted) if (identity := _identity(path)) is not None}
    signature = {directory: tuple(sorted(map(_entry_signature, _entries(directory)))) for directory in contents}
    return DirectoryView(directories, frozenset(contents), frozenset(on_the_way), signature)


def _real(path: str) -> str:
    return os.path.realpath(path)


def _parent(path: str) -> str:
    return os.path.dirname(path)  # noqa: PTH120 -- for each event of a directory that may be busy


def _parts(path: str) -> list[str]:
    """Return the parts of a path, the last first."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]


def _steps_to(path: str) -> Iterator[str]:
    """Go through every directory, link and file on the way to a path, links followed, as far as they are there."""
    left = _parts(os.path.abspath(path))  # noqa: PTH100 -- links must stay
    place, links = "/", 0
    while left:
        part = left.pop()
        place = _parent(place) if part == ".." else f"{place.rstrip('/')}/{part}"
        yield place
        try:
            target = os.readlink(place)  # noqa: PTH115 -- text in, text out
        except OSError:
            continue
        links += 1
        if links > _LINKS_LIMIT:
            return
        left += _parts(target)
        place = "/" if target.startswith("/") else _parent(place)


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _identity(directory: str) -> tuple[int, int] | None:
    try:
        status = os.stat(directory)  # noqa: PTH116 -- text in
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if os.path.isdir(directory) else None  # noqa: PTH112 -- text in


def _entry_signature(entry: os.DirEntry[str]) -> tuple[Any, ...]:
    try:
        status = os.stat(entry.path)  # noqa: PTH116 -- that of a DirEntry is remembered
    except OSError:
        return (entry.name,)
    return (
        entry.name,
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


class DirectoryWatcher:
    """A thread that follows the directories, from :meth:`start` to :meth:`stop`.

    :param on_change: called in that thread after each change, and once at the start; it must not raise.
    :param use_events: whether to ask the kernel for events; without, the directories are compared.
    :param poll_seconds: how often they are compared without events.
    :raises MissingExtraError: if watchfiles is not installed.
    """

    def __init__(
        self,
        conf_dir: str,
        bin_dirs: Sequence[str],
        on_change: Callable[[], object],
        *,
        use_events: bool = True,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        try:
            from watchfiles._rust_notify import RustNotify  # noqa: PLC0415 -- an extra
        except ImportError:
            raise MissingExtraError("following a configuration directory (watch=True)", "watch") from None
        self._notify = RustNotify
        self._conf_dir = conf_dir
        self._bin_dirs = tuple(bin_dirs)
        self._on_change = on_change
        self._use_events = use_events
        self._poll_seconds = poll_seconds
        self._pid = os.getpid()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="libcni-watch", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for that; a call in progress has five seconds. A forked child has no such thread."""
        if self._pid != os.getpid():
            return
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        seen: DirectoryView | None = None
        while not self._stopped.is_set():
            try:
                seen = self._watch(seen)
            except Exception:  # noqa: BLE001 -- a thread that ended would be missed by nobody, and every change from then on
                _log.exception("directories cannot be followed, which is tried again in %g s", self._poll_seconds)
                self._stopped.wait(self._poll_seconds)

    def _watch(self, seen: DirectoryView | None) -> DirectoryView:
        """Follow the directories until there is something else to watch.

        :param seen: what the last call back was about, ``None`` when there was none.
        :returns: the same, at the end.
        """
        view = look_at(self._conf_dir, self._bin_dirs)
        notifier = self._open(view)
        try:
            now = look_at(self._conf_dir, self._bin_dirs)
            if seen is None or now.signature != seen.signature:  # what came before the watch
                self._on_change()
            return self._follow(notifier, now, of=view)
        finally:
            if notifier is not None:
                notifier.close()

    def _open(self, view: DirectoryView) -> RustNotify | None:
        if not self._use_events:
            return None
        try:
            return self._notify(
                view.watchable,
                debug=False,
                force_polling=False,
                poll_delay_ms=0,
                recursive=False,
                ignore_permission_denied=True,
            )
        except FileNotFoundError:  # removed since the look
            return None
        except (OSError, RuntimeError) as error:
            _log.warning(
                "directories are compared every %g s, as they cannot be watched: %s", self._poll_seconds, error
            )
            self._use_events = False
            return None

    def _follow(self, notifier: RustNotify | None, seen: DirectoryView, *, of: DirectoryView) -> DirectoryView:
        """Call back after each change, until there is something else to watch.

        :param of: the look at which the watch was set up.
        :returns: what the last call back was about.
        """
        seconds = SAFETY_SECONDS if len(of.watchable) == len(of.directories) else self._poll_seconds
        while seen.directories == of.directories:
            changes = self._wait(notifier, seconds)
            if self._stopped.is_set():
                break
            if changes and not any(seen.concerns(path) for _, path in changes):
                continue
            now = look_at(self._conf_dir, self._bin_dirs)
            if changes or now.signature != seen.signature:
                self._on_change()
            is_over = seen.is_replaced(changes or ()) or changes is None or (notifier is None and self._use_events)
            seen = now
            if is_over:
                break
        return seen

    def _wait(self, notifier: RustNotify | None, seconds: float) -> set[tuple[int, str]] | None:
        """Wait for a change, and return the events; none when it is time to compare, ``None`` when they are lost.

        :param seconds: how long to wait for events.
        """
        if notifier is None:
            self._stopped.wait(self._poll_seconds)
            return set()
        try:
            found = notifier.watch(_DEBOUNCE_MS, _STEP_MS, int(seconds * 1000), self._stopped)
        except RuntimeError:  # the name of a file is no UTF-8: this one gives no events any more
            self._stopped.wait(_STEP_MS / 1000)
            return None
        return found if isinstance(found, set) else set()
