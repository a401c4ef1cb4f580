"""The arguments of a ``CNIConfig`` of either flavour, checked, and what its verbs work with.

Go counterpart: ``NewCNIConfigWithCacheDir``.
"""

from __future__ import annotations

import os
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

from libcni.errors import InvalidParameterError
from libcni.linux import check_linux
from libcni.protocol.names import is_encodable, is_text
from libcni.storage.store import Store
from libcni.verbs.chain import Caller
from libcni.verbs.context import VerbContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from libcni.invoke.events import PluginEvent, Watcher
    from libcni.invoke.runner import Runner
    from libcni.verbs.gc import Collector
    from libcni.verbs.recover import Recoverer

__all__ = [
    "CONFIGURED",
    "DEFAULT_CACHE_DIR",
    "DEFAULT_LOCK_TIMEOUT",
    "DEFAULT_TIMEOUT",
    "Config",
    "Default",
    "Timeout",
]

DEFAULT_CACHE_DIR = "/var/lib/cni"
DEFAULT_TIMEOUT = 120.0
DEFAULT_LOCK_TIMEOUT = 60.0


class Default(Enum):
    """Stands for "as the constructor was told", where ``None`` means "no limit"."""

    TIMEOUT = "timeout"


CONFIGURED: Final = Default.TIMEOUT

Timeout: TypeAlias = float | Default | None
"""Seconds for each plugin execution, ``None`` for no limit; left out, what the constructor was told."""


class Config:
    """The part of a ``CNIConfig`` that both flavours share."""

    def __init__(  # noqa: PLR0913 -- what the two constructors below take
        self,
        path: Sequence[str | PathLike[str]],
        runner: Runner,
        *,
        cache_dir: str | PathLike[str],
        timeout: float | None,
        lock_timeout: float | None,
        environ: Mapping[str, str] | None,
        owner: str | None,
        durable: bool,
        on_event: Callable[[PluginEvent], object] | None = None,
    ) -> None:
        check_linux("running plugins")
        self.path = _checked_directories(path)
        _check_seconds("timeout", timeout)
        if lock_timeout != 0:  # that is not to wait at all
            _check_seconds("lock_timeout", lock_timeout)
        if not os.fspath(cache_dir) or not is_encodable(os.fspath(cache_dir)):
            raise InvalidParameterError("cache_dir", cache_dir, "no directory can have such a name")
        if owner is not None and not is_text(owner):
            raise InvalidParameterError("owner", owner, "must be text")
        # Absolute: the program may change its directory between an ADD and its DEL.
        self.cache_dir = os.path.abspath(cache_dir)  # noqa: PTH100 -- text out, and links stay as they are
        self.timeout = timeout
        base = None if environ is None else _checked_environ(environ)
        caller = Caller(runner, self.path, base, None if on_event is None else _watcher(on_event))
        store = Store(self.cache_dir, durable=durable)
        self._context = VerbContext(caller, store, lock_timeout=lock_timeout, owner=owner)

    @cached_property
    def _collector(self) -> Collector:
        """Garbage collection."""
        from libcni.verbs.gc import Collector  # noqa: PLC0415 -- a millisecond that an ADD does not need

        return Collector(self._context)

    @cached_property
    def _recoverer(self) -> Recoverer:
        """Recovery."""
        from libcni.verbs.recover import Recoverer  # noqa: PLC0415 -- as above

        return Recoverer(self._context)

    def _seconds(self, timeout: Timeout) -> float | None:
        """Return the limit for one call: its own, or the configured one."""
        if isinstance(timeout, Default):
            return self.timeout
        _check_seconds("timeout", timeout)
        return timeout


def _watcher(on_event: Callable[[PluginEvent], object]) -> Watcher:
    from libcni.invoke.events import Watcher  # noqa: PLC0415 -- only where there is an observer

    if not callable(on_event):
        raise InvalidParameterError("on_event", on_event, "expected a callable")
    return Watcher(on_event)


def _checked_directories(path: Sequence[str | PathLike[str]]) -> tuple[str, ...]:
    if isinstance(path, str):
        raise InvalidParameterError("path", path, "expected a sequence of directories, found one string")
    directories = tuple([os.fspath(directory) for directory in path])
    for directory in directories:
        if os.pathsep in directory or not is_encodable(directory):
            raise InvalidParameterError("path", directory, f"a directory in CNI_PATH must not contain {os.pathsep!r}")
    return directories


def _checked_environ(environ: Mapping[str, str]) -> dict[str, str]:
    for name, value in environ.items():
        if not name or "=" in name or not is_encodable(name + value):
            # The value may be a secret: the message names the variable only.
            raise InvalidParameterError("environ", name, "no process can have such a variable")
    return dict(environ)


def _check_seconds(name: str, seconds: float | None) -> None:
    if seconds is not None and not seconds > 0:
        raise InvalidParameterError(name, seconds, "expected a positive number of seconds, or None for no limit")
