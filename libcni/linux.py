"""Names of the system that only Linux has, and stand-ins for other systems.

On them the package imports, loads and checks configurations, plans, and prints schemas: what runs on a laptop. What
needs Linux says so with :func:`check_linux` before it begins.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from libcni.errors import CNIError

__all__ = [
    "O_BINARY",
    "O_CLOEXEC",
    "O_DIRECTORY",
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "MissingModule",
    "check_linux",
    "fcntl",
    "is_linux",
    "missing_names",
]


class MissingModule:
    """Stands for a module of Unix: its constants are 0, and its functions say that this is another system."""

    def __getattr__(self, name: str) -> object:
        return 0 if name.isupper() else _refuse


def _refuse(*_: object) -> NoReturn:
    """Raise the error for a function that this system does not have."""
    raise CNIError(f"this needs Linux, and the system is {sys.platform}")


_HAS_FCNTL = True
if TYPE_CHECKING:
    import fcntl
else:
    try:
        import fcntl
    except ImportError:
        fcntl = MissingModule()
        _HAS_FCNTL = False


def _flag(name: str) -> int:
    """Return a flag of ``open(2)``; 0 where the system has none of that name."""
    value: int = getattr(os, name, 0)
    return value


O_BINARY = _flag("O_BINARY")
"""Windows: the bytes of a file as they are."""
O_CLOEXEC = _flag("O_CLOEXEC")
O_DIRECTORY = _flag("O_DIRECTORY")
O_NOFOLLOW = _flag("O_NOFOLLOW")
O_NONBLOCK = _flag("O_NONBLOCK")

_NEEDED = ("O_NOFOLLOW", "O_DIRECTORY", "fdatasync", "eventfd", "register_at_fork")
"""Of ``os``: without one of them nothing can be stored safely, or no plugin be waited for."""


def missing_names() -> list[str]:
    """Return the names that this Python lacks of those that running plugins needs."""
    missing = [f"os.{name}" for name in _NEEDED if not hasattr(os, name)]
    return missing if _HAS_FCNTL else [*missing, "fcntl"]


def is_linux() -> bool:
    """Return whether this system is Linux, and its Python has what is needed."""
    return sys.platform == "linux" and not missing_names()


def check_linux(what: str) -> None:
    """Check that this system is Linux.

    :param what: begins the text of the error, such as ``running plugins``.
    :raises CNIError: if it is another one, or its Python lacks what is needed.
    """
    if not is_linux():
        names = missing_names()
        lacking = f" (missing: {', '.join(names)})" if names else ""
        raise CNIError(f"{what} needs Linux{lacking}; loading, lint, plan and schemas work on {sys.platform}, too")
