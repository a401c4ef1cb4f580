"""The loopback interface of a container, which every program in it expects to be up.

It is set up beside the first plugin, in a thread: the kernel takes half a millisecond for it, and no plugin needs it.
Go counterpart: the ``loopback`` network of ``ocicni`` and ``go-cni``, a plugin call.
"""

from __future__ import annotations

import os

from libcni.log import Log
from libcni.netns.kernel import set_up
from libcni.storage.apart import WorkApart, enter
from libcni.storage.namespace import open_namespace

__all__ = ["LoopbackSetup"]

_log = Log("libcni.networks")

_PATIENCE = 10.0
"""Seconds: the kernel may be busy with other interfaces."""


class LoopbackSetup:
    """Sets the loopback interface of a namespace up, beginning at once; where there is no namespace, it does nothing.

    A failure is logged: the container is attached without.
    """

    def __init__(self, path: str) -> None:
        self._work: WorkApart[None] | None = None
        descriptor = open_namespace(path)
        if descriptor is None:
            return
        try:
            self._work = WorkApart(lambda: _set_up(descriptor))
        except RuntimeError as error:
            os.close(descriptor)
            _warn(error)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._work is None or self._work.is_done

    def wait(self) -> None:
        """Wait for the end, for ten seconds at most."""
        if self._work is not None:
            try:
                self._work.result(_PATIENCE)
            except TimeoutError as error:
                _warn(error)


def _set_up(descriptor: int) -> None:
    """Set the loopback interface up in the namespace of a descriptor, which is closed, from a thread made for that."""
    try:
        enter(descriptor)
        set_up("lo")
    except (OSError, ImportError) as error:
        _warn(error)
    finally:
        os.close(descriptor)


def _warn(error: Exception) -> None:
    _log.warning("the loopback interface is not set up: %s", error)
