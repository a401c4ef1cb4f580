"""Scripted plugins that have a start: file work is done before it, or while it lasts, as the test wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from libcni.testing import ScriptedRunner

if TYPE_CHECKING:
    from libcni.invoke.plugin import PluginCall, PluginOutput


class StartingRunner(ScriptedRunner):
    """Does file work before it answers."""

    overlaps: ClassVar[bool] = False

    @property
    def does_file_work(self) -> bool:
        return self.overlaps

    async def run(self, call: PluginCall) -> PluginOutput:
        assert self.overlaps or call.file_work is None
        if call.file_work is not None:
            call.file_work.before()
            call.file_work.during()
        return await super().run(call)
