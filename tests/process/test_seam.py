"""The seam to the world: whatever stands in the place of a runner sees each plugin call, and may refuse it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from libcni import AsyncCNIConfig, CNIConfig, PluginError, RuntimeConf, invoke
from libcni.config.parse import parse_network
from libcni.invoke.runner import runs_hooks
from libcni.testing import RecordingRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.invoke.runner import PluginCall, PluginOutput
    from tests.process.conftest import Flavour, Plugins

CHAIN = ("one", "two", "three")
NETWORK = parse_network(
    json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": name} for name in CHAIN]}).encode()
)
RT = RuntimeConf("pod", "", "eth0")
ANSWER = """cat >/dev/null; echo "$CNI_COMMAND ${0##*/}" >>"$HERE/ran"; [ $CNI_COMMAND != ADD ] || echo '{}'"""
EACH = [f"ADD {name}" for name in CHAIN] + [f"CHECK {name}" for name in CHAIN] + [f"DEL {name}" for name in CHAIN[::-1]]


def _wrapping(runner: Any, note: Callable[[PluginCall], object]) -> Any:
    class Wrapping:
        def __getattr__(self, name: str) -> Any:
            return getattr(runner, name)

        async def run(self, call: PluginCall) -> PluginOutput:
            note(call)
            output: PluginOutput = await runner.run(call)
            return output

    return Wrapping()


def _rebuilding(runner: Any, note: Callable[[PluginCall], object]) -> Any:
    """Return a runner that makes a call of its own, of the public fields alone."""

    async def run(call: PluginCall) -> PluginOutput:
        note(call)
        own = invoke.PluginCall(call.path, call.stdin, call.environment, call.timeout, call.on_stderr)
        output: PluginOutput = await runner.run(own)
        return output

    wrapping = _wrapping(runner, note)
    type(wrapping).run = staticmethod(run)
    return wrapping


def _subclass(runner: Any, note: Callable[[PluginCall], object]) -> Any:
    class Sub(type(runner)):  # type: ignore[misc]  # a class of either flavour
        async def run(self, call: PluginCall) -> PluginOutput:
            note(call)
            output: PluginOutput = await super().run(call)
            return output

    return Sub()


def _patched(runner: Any, note: Callable[[PluginCall], object]) -> Any:
    run = runner.run

    async def patch(call: PluginCall) -> PluginOutput:
        note(call)
        output: PluginOutput = await run(call)
        return output

    runner.run = patch
    return runner


KINDS = [_wrapping, _rebuilding, _subclass, _patched]


class _Verbs:
    def __init__(self, flavour: Flavour, plugins: Plugins) -> None:
        self.flavour = flavour
        self.plugins = plugins
        for name in CHAIN:
            plugins.script(ANSWER, name)

    async def all(self, runner: Any) -> None:
        here = self.plugins.folder
        fields: dict[str, Any] = {"cache_dir": here / "cache", "runner": runner, "environ": {"HERE": str(here)}}
        for verb in ("add", "check", "del"):
            if self.flavour.is_blocking:
                getattr(CNIConfig([here], **fields), f"{verb}_network_list")(NETWORK, RT)
            else:
                await getattr(AsyncCNIConfig([here], **fields), f"{verb}_network_list")(NETWORK, RT)

    @property
    def ran(self) -> list[str]:
        noted = self.plugins.folder / "ran"
        return noted.read_text().splitlines() if noted.exists() else []


@pytest.fixture
def verbs(flavour: Flavour, plugins: Plugins) -> _Verbs:
    return _Verbs(flavour, plugins)


@pytest.mark.parametrize("kind", KINDS)
def test_runner_in_place_of_another_sees_each_call(verbs: _Verbs, kind: Any) -> None:
    seen: list[str] = []

    def note(call: PluginCall) -> None:
        seen.append(f"{call.environment['CNI_COMMAND']} {call.path.rpartition('/')[2]}")

    runner = kind(verbs.flavour.runner(), note)
    verbs.flavour.drive(lambda: verbs.all(runner))
    assert seen == verbs.ran == EACH


@pytest.mark.parametrize("kind", KINDS)
def test_runner_in_place_of_another_may_refuse_any_call(verbs: _Verbs, kind: Any) -> None:
    def refuse(call: PluginCall) -> None:
        if call.path.endswith("two") and call.environment["CNI_COMMAND"] == "ADD":
            raise OSError(1, "not allowed")

    with pytest.raises(PluginError, match="not allowed"):
        verbs.flavour.drive(lambda: verbs.all(kind(verbs.flavour.runner(), refuse)))
    assert verbs.ran == ["ADD one", "DEL three", "DEL two", "DEL one"]


@pytest.mark.parametrize("kind", KINDS)
def test_record_is_on_the_disk_before_a_plugin_of_any_runner_gets_its_request(
    verbs: _Verbs, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the start where the runner itself does that, and before it where something stands in its place."""
    order: list[str] = []
    monkeypatch.setattr("os.fdatasync", lambda _: order.append("sync"))

    def note(call: PluginCall) -> None:
        order.append(call.environment["CNI_COMMAND"])

    verbs.flavour.drive(lambda: verbs.all(kind(verbs.flavour.runner(), note)))
    assert order.index("sync") < order.index("ADD")


def test_hooks_are_those_of_a_runner_itself(flavour: Flavour) -> None:
    runner = flavour.runner()
    assert runs_hooks(runner)
    for kind in KINDS:
        assert not runs_hooks(kind(flavour.runner(), print))
    assert runs_hooks(type("Sub", (type(runner),), {})())


def test_recording_runner_records_each_call(verbs: _Verbs) -> None:
    path = verbs.plugins.folder / "recorded"
    verbs.flavour.drive(lambda: verbs.all(RecordingRunner(verbs.flavour.runner(), path)))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [f"{line['environment']['CNI_COMMAND']} {line['plugin']}" for line in lines] == verbs.ran == EACH
