"""When a plugin is ended, and how long its pipes are waited for."""

from __future__ import annotations

from libcni.invoke.process.deadlines import ExecutionLimits, Schedule, Step


def test_schedule_of_a_plugin_that_is_ended_does_not_wait_for_pipes_that_nobody_known_holds() -> None:
    schedule = Schedule(ExecutionLimits(grace=2, linger=1), 100.0, timeout=10)
    assert schedule.step(110.0, drained=False, alone=True)[0] is Step.TERMINATE
    schedule.exited(110.1)
    assert schedule.step(110.1, drained=False, alone=False)[0] is Step.WAIT
    assert schedule.step(110.2, drained=False, alone=True)[0] is Step.DONE
