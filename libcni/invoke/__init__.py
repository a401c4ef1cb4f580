"""Running plugins: lookup, environment, the seam to processes, and delegation.

Names load when they are first used: the asynchronous runner imports anyio, and nothing else does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libcni.invoke.anyio_runner import AnyioRunner
    from libcni.invoke.blocking_runner import BlockingRunner
    from libcni.invoke.delegate import delegate_add, delegate_check, delegate_del, delegate_gc, delegate_status
    from libcni.invoke.find import find_in_path
    from libcni.invoke.runner import PluginCall, PluginOutput, Runner

__all__ = [
    "AnyioRunner",
    "BlockingRunner",
    "PluginCall",
    "PluginOutput",
    "Runner",
    "delegate_add",
    "delegate_check",
    "delegate_del",
    "delegate_gc",
    "delegate_status",
    "find_in_path",
]

_MODULES = {
    "AnyioRunner": "anyio_runner",
    "BlockingRunner": "blocking_runner",
    "PluginCall": "runner",
    "PluginOutput": "runner",
    "Runner": "runner",
    "find_in_path": "find",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'delegate')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
