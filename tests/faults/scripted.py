"""Scripted plugins that have a start: file work is done before it, or while it lasts, as the test wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.invoke.runner import HookedCall
from libcni.invoke.steps import finish
from libcni.testing import ScriptedRunner

if TYPE_CHECKING:
    from libcni.invoke.runner import PluginCall, PluginOutput


class StartingRunner(ScriptedRunner):
    """Takes calls with hooks, and does their file work before it answers."""

    async def run(self, call: PluginCall) -> PluginOutput:
        if isinstance(call, HookedCall) and call.before is not None:
            finish(call.before)
        return await super().run(call)

    run_with_hooks = run
