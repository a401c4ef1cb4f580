"""Plugins one after the other: the next only starts when the one before has succeeded and printed what is expected."""

from __future__ import annotations

import errno
import json
import signal
from dataclasses import replace
from select import PIPE_BUF
from typing import TYPE_CHECKING, Any

import pytest

from libcni import AsyncCNIConfig, CNIConfig, RuntimeConf
from libcni.config import parse_network
from libcni.invoke.blocking import BlockingRunner, complete
from libcni.invoke.filework import FileWork
from libcni.invoke.plugin import run_in_turn
from tests.process.conftest import LONG, PATIENCE, Interrupted, as_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from libcni import NetworkConfigList
    from libcni.invoke.plugin import PluginCall, PluginOutput, Runner
    from libcni.steps import Steps
    from tests.process.conftest import Flavour, Plugins

QUIET = "exit 0"


async def _all_of(runner: Runner, calls: Sequence[PluginCall]) -> list[PluginOutput]:
    """Run calls as a chain does: what was not run in one go is run in another."""
    outputs: list[PluginOutput] = []
    while len(outputs) < len(calls):
        outputs += await run_in_turn(runner, calls[len(outputs) :])
    return outputs


@pytest.fixture
def calls_of(plugins: Plugins) -> Callable[..., list[PluginCall]]:
    def calls_of(*bodies: str, **fields: Any) -> list[PluginCall]:
        """Return a call of a new script for each body; a script that was started leaves a file ``ran-<number>``."""
        scripts = [
            plugins.script(f"touch {plugins.folder}/ran-{number}\n{body}", f"plugin-{number}")
            for number, body in enumerate(bodies)
        ]
        return [plugins.call_of(script, **fields) for script in scripts]

    return calls_of


def _ran(folder: Path) -> list[str]:
    return sorted(path.name.removeprefix("ran-") for path in folder.glob("ran-*"))


def test_all_run_and_each_has_its_own_output(flavour: Flavour, calls_of: Any, plugins: Plugins) -> None:
    calls = calls_of(QUIET, "sleep 0.1", "echo one", "echo two >&2", "exit 3", stdin=b"{}")
    outputs = flavour.drive(lambda: _all_of(flavour.runner(), calls))
    assert [output.exit_status for output in outputs] == [0, 0, 0, 0, 3]
    assert [output.stdout for output in outputs] == [b"", b"", b"one\n", b"", b""]
    assert [output.stderr for output in outputs] == [b"", b"", b"", b"two\n", b""]
    assert outputs[1].duration >= 0.1 > outputs[2].duration > 0
    assert all(output.max_rss > 0 and output.cpu_seconds >= 0 for output in outputs)
    assert _ran(plugins.folder) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "body", ["exit 1", "echo said", "echo said >&2", "kill -9 $$", "sleep 0.1", "sleep 0.2 & exit 0"]
)
def test_next_is_not_started_after_what_has_to_be_looked_at(
    flavour: Flavour, calls_of: Any, plugins: Plugins, body: str
) -> None:
    calls = calls_of(QUIET, body, QUIET)
    runner = flavour.runner()

    async def up_to_the_second() -> list[PluginOutput]:
        outputs = await run_in_turn(runner, calls)
        return outputs if len(outputs) > 1 else outputs + await run_in_turn(runner, calls[1:])

    outputs = flavour.drive(up_to_the_second)
    assert len(outputs) == 2
    assert _ran(plugins.folder) == ["0", "1"]


@pytest.mark.parametrize(
    "body",
    [
        "printf other!",
        "printf answe",
        "printf answers",
        "printf 'answer\\0'",
        "exit 0",
        "printf answer; exit 1",
        "printf answer; echo said >&2",
    ],
)
def test_next_is_not_started_after_what_is_not_expected(
    flavour: Flavour, calls_of: Any, plugins: Plugins, body: str
) -> None:
    calls = calls_of(body, QUIET, expected_stdout=b"answer")
    outputs = flavour.drive(lambda: run_in_turn(flavour.runner(), calls))
    assert len(outputs) == 1
    assert _ran(plugins.folder) == ["0"]


@pytest.mark.parametrize("body", ["printf answer", "printf ans; printf wer"])
def test_all_run_where_each_prints_what_is_expected(
    flavour: Flavour, calls_of: Any, plugins: Plugins, body: str
) -> None:
    calls = calls_of(body, body, QUIET, expected_stdout=b"answer")
    outputs = flavour.drive(lambda: _all_of(flavour.runner(), calls))
    assert [output.stdout for output in outputs] == [b"answer", b"answer", b""]
    assert _ran(plugins.folder) == ["0", "1", "2"]


@pytest.mark.parametrize("size", [PIPE_BUF, 50_000, 200_000])
def test_expected_answer_may_be_long(flavour: Flavour, calls_of: Any, plugins: Plugins, size: int) -> None:
    body = f"head -c {size} /dev/zero; exit 0"
    calls = calls_of(body, QUIET, expected_stdout=bytes(size))
    outputs = flavour.drive(lambda: _all_of(flavour.runner(), calls))
    assert [len(output.stdout) for output in outputs] == [size, 0]
    assert _ran(plugins.folder) == ["0", "1"]


def _chain(folder: Path, *bodies: str) -> NetworkConfigList:
    plugins: list[dict[str, str]] = []
    for number, body in enumerate(bodies):
        script = folder / f"link-{number}"
        script.write_text(f'#!/bin/sh\nrequest=$(cat)\nprintf %s "$request" >>{script}.$CNI_COMMAND\n{body}\n')
        script.chmod(0o755)
        plugins.append({"type": script.name})
    return parse_network(json.dumps({"cniVersion": "1.0.0", "name": "chained", "plugins": plugins}).encode())


@pytest.mark.parametrize("printed", ["abcd", "aaaa", "aabb", "abba", "abbb"])
def test_each_plugin_of_an_add_gets_what_the_one_before_printed(flavour: Flavour, tmp_path: Path, printed: str) -> None:
    results = [json.dumps({"cniVersion": "1.0.0", "dns": {"domain": letter}}) for letter in printed]
    network = _chain(tmp_path, *[f"printf %s '{result}'" for result in results])
    rt = RuntimeConf("pod", "", "eth0")
    if flavour.is_blocking:
        config = CNIConfig([tmp_path], cache_dir=tmp_path / "cache")
        result = config.add_network_list(network, rt)
    else:
        asynchronous = AsyncCNIConfig([tmp_path], cache_dir=tmp_path / "cache")
        result = flavour.drive(lambda: asynchronous.add_network_list(network, rt))
    asked = [json.loads((tmp_path / f"link-{number}.ADD").read_text()) for number in range(len(printed))]
    assert [request.get("prevResult", {}).get("dns", {}).get("domain") for request in asked] == [None, *printed[:-1]]
    assert result.dns is not None
    assert result.dns.domain == printed[-1]


def test_deadline_is_that_of_each_one(flavour: Flavour, calls_of: Any, plugins: Plugins) -> None:
    calls = calls_of("sleep 0.3", "sleep 0.3", f"exec sleep {LONG}", timeout=0.5)
    outputs = flavour.drive(lambda: _all_of(flavour.runner(grace=0.1), calls))
    assert [output.timed_out for output in outputs] == [False, False, True]
    assert outputs[2].duration >= 0.5
    assert _ran(plugins.folder) == ["0", "1", "2"]


def test_stderr_of_each_is_passed_on(flavour: Flavour, calls_of: Any) -> None:
    lines: list[str] = []
    calls = calls_of("echo a >&2", QUIET, "echo b >&2", on_stderr=lines.append)
    flavour.drive(lambda: _all_of(flavour.runner(), calls))
    assert lines == ["a", "b"]


def test_process_is_announced_where_that_is_asked(flavour: Flavour, calls_of: Any) -> None:
    pids: list[int] = []
    calls = calls_of(QUIET, "echo $$", on_start=pids.append)
    outputs = flavour.drive(lambda: _all_of(flavour.runner(), calls))
    assert len(set(pids)) == 2
    assert int(outputs[1].stdout) == pids[1]


@pytest.mark.parametrize("hook", ["on_start", "before", "during"])
def test_hook_of_a_later_one_is_called(flavour: Flavour, calls_of: Any, hook: str) -> None:
    seen: list[object] = []
    first, second, third = calls_of(QUIET, QUIET, QUIET)
    note = lambda *arguments: seen.append(arguments)  # noqa: E731  # for three hooks
    works: dict[str, dict[str, Any]] = {
        "on_start": {"on_start": note},
        "before": {"file_work": FileWork(as_sync(note))},
        "during": {"file_work": FileWork(during=note)},
    }
    hooks = works[hook]
    calls = [first, replace(second, **hooks), third]
    outputs = flavour.drive(lambda: _all_of(flavour.runner(), calls))
    assert [output.exit_status for output in outputs] == [0, 0, 0]
    assert len(seen) == 1


def test_one_that_cannot_be_started_is_the_error_when_its_turn_comes(
    flavour: Flavour, calls_of: Any, plugins: Plugins
) -> None:
    first, last = calls_of(QUIET, QUIET)
    calls = [first, plugins.call_of(str(plugins.folder / "missing")), last]
    with pytest.raises(FileNotFoundError, match="missing"):
        flavour.drive(lambda: _all_of(flavour.runner(), calls))
    assert _ran(plugins.folder) == ["0"]


def test_interrupt_ends_the_one_that_runs(flavour: Flavour, calls_of: Any, plugins: Plugins) -> None:
    def run(interrupt: Callable[[], None]) -> Any:
        calls = calls_of(QUIET, f"echo ready >&2; exec sleep {LONG}", QUIET, on_stderr=lambda _: interrupt())
        return _all_of(flavour.runner(grace=PATIENCE), calls)

    with pytest.raises(Interrupted):
        flavour.interruptible(run)
    assert _ran(plugins.folder) == ["0", "1"]


def test_interrupt_at_once_starts_no_other(calls_of: Any, plugins: Plugins) -> None:
    """The signal of a plugin itself comes while nothing but the exit is waited for."""
    calls = calls_of(QUIET, f"kill -INT $PPID; exec sleep {LONG}", QUIET)
    with pytest.raises(KeyboardInterrupt):
        complete(_all_of(BlockingRunner(grace=PATIENCE), calls))
    assert _ran(plugins.folder) == ["0", "1"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("is_patched", [False, True])
def test_runner_that_does_more_for_each_is_asked_for_each(flavour: Flavour, calls_of: Any, *, is_patched: bool) -> None:
    seen: list[str] = []
    kind: Any = type(flavour.runner())

    class Counting(kind):  # type: ignore[misc]
        async def run(self, call: PluginCall) -> PluginOutput:
            seen.append(call.path)
            return await super().run(call)  # type: ignore[no-any-return]

    runner = kind() if is_patched else Counting()
    if is_patched:
        runner.run = Counting().run  # type: ignore[method-assign]
    calls = calls_of(QUIET, QUIET)
    flavour.drive(lambda: _all_of(runner, calls))
    assert seen == [call.path for call in calls]


@pytest.mark.parametrize("error", [OSError(errno.ETXTBSY, "busy"), TimeoutError("of a signal"), KeyError("own")])
def test_what_is_raised_while_plugins_run_is_no_failure_to_start_them(
    calls_of: Any, plugins: Plugins, error: Exception
) -> None:
    begun: list[int] = []

    def work() -> Steps[None]:
        begun.append(1)
        yield from ()
        raise error

    first, second = calls_of(f"echo $$ >{plugins.folder}/first; exec {LONG}", QUIET)
    with pytest.raises(type(error)) as caught:
        complete(run_in_turn(BlockingRunner(), [replace(first, meanwhile=work), second]))
    assert caught.value is error
    assert begun == [1]
    assert _ran(plugins.folder) in (["0"], [])
