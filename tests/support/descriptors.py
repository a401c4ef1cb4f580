"""The open file descriptors of the process that runs the tests, and the check that a step leaves none open."""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


def open_count() -> int:
    """Return how many file descriptors are open, the one that looks included."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # only their number


@contextmanager
def no_new_descriptor() -> Generator[None]:
    """Fail if more or fewer file descriptors are open afterwards than before.

    The garbage collector waits meanwhile: it would close what earlier tests left open, and what is left open here.
    """
    gc.disable()
    try:
        before = open_count()
        yield
        assert open_count() == before
    finally:
        gc.enable()
