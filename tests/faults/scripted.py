"""Scripted plugins that have a start: file work is done before it, or while it lasts, as the test wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from libcni.testing import ScriptedRunner

if TYPE_CHECKING:
    from libcni.invoke.plugin import PluginCall, PluginOutput


class StartingRunner(ScriptedRunner):
    """Calls ``on_start`` and ``meanwhile`` before it answers."""

    overlaps: ClassVar[bool] = False

    @property
    def may_block(self) -> bool:
        return self.overlaps

    async def run(self, call: PluginCall) -> PluginOutput:
        assert self.overlaps or (call.on_start, call.meanwhile) == (None, None)
        if call.on_start is not None:
            call.on_start(1)
        if call.meanwhile is not None:
            call.meanwhile()
        return await super().run(call)
