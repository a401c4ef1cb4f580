"""Plugins that do everything wrong, through all flavours: each gives its own clear error, and leaves nothing behind."""

from __future__ import annotations

import functools
import gc
import json
import resource
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest

from libcni import (
    AsyncCNIConfig,
    CNIConfig,
    CNIError,
    PluginError,
    PluginNotFoundError,
    PluginOutputError,
    PluginTimeoutError,
    ResultError,
    network_conf_from_bytes,
)
from libcni.invoke.aio import AnyioRunner
from libcni.invoke.blocking import BlockingRunner
from tests.children import end_noted_process
from tests.descriptors import open_count
from tests.faults.trials import FULL
from tests.faults.world import World, attachment, environ, network, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.trials import Trials

TIMEOUT = 0.6
GRACE = 0.3
FLOOD = 1024**3 if FULL else 64 * 1024**2
LATE = 12.0
"""Seconds: what no trial may take, on a busy machine; without its deadline most would take for ever."""

RESULT = '{"cniVersion":"1.1.0","interfaces":[{"name":"eth0"}]}'


@dataclass(frozen=True)
class Case:
    """What a plugin does for an ADD, and what the caller is told."""

    name: str
    body: str
    error: type[CNIError] | None
    says: str = ""
    timeout: float = LATE - 2


def _quick(name: str, body: str, error: type[CNIError] | None, says: str = "") -> Case:
    return Case(name, body, error, says)


def _ended(name: str, body: str) -> Case:
    return Case(name, body, PluginTimeoutError, "did not finish within", timeout=TIMEOUT)


def _printed(name: str, text: str, says: str) -> Case:
    return Case(name, f"cat >/dev/null; printf '%b' '{text}'", PluginOutputError, says)


_SIGNALS = [number for number in sorted(signal.valid_signals()) if number < 32]
_HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH}
_STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}

CASES = [
    _ended("hangs", "exec sleep 300"),
    _ended("ignores-sigterm", "trap '' TERM; while :; do sleep 1; done"),
    _ended("stops-itself", "kill -STOP $$"),
    _ended("hangs-with-children", "sleep 300 & sleep 300 & wait"),
    _ended("hangs-with-a-session", "setsid sh -c 'echo $$ >\"$STATE/child.pid\"; exec sleep 300' & wait"),
    _ended(
        "hangs-with-a-stubborn-session",
        'setsid sh -c \'trap "" TERM; echo $$ >"$STATE/child.pid"; while :; do sleep 1; done\' & wait',
    ),
    _ended("answers-and-hangs", f"echo '{RESULT}'; exec sleep 300"),
    _ended("closes-its-pipes-and-hangs", "exec <&- >&- 2>&-; exec sleep 300"),
    _quick("leaves-a-child-with-the-pipes", f"sleep 300 & echo $! >\"$STATE/left.pid\"; echo '{RESULT}'", None),
    _quick(
        "leaves-a-session-with-the-pipes",
        f"setsid sh -c 'echo $$ >\"$STATE/left.pid\"; exec sleep 300' & sleep 0.1; echo '{RESULT}'",
        None,
    ),
    _quick("floods-stdout", f"exec head -c {FLOOD} /dev/zero", PluginOutputError, "more on stdout than is allowed"),
    _quick("floods-stderr", f"head -c {FLOOD} /dev/zero | tr '\\0' x >&2; echo '{RESULT}'", None),
    _quick("floods-stderr-without-an-end", "exec yes >&2", PluginTimeoutError, "did not finish"),
    _quick("never-reads-stdin", f"echo '{RESULT}'", None),
    _quick("answers-before-it-reads", f"echo '{RESULT}'; exec cat >/dev/null", None),
    _quick("closes-stdin", f"exec <&-; sleep 0.05; echo '{RESULT}'", None),
    _printed("prints-nothing", "", "printed no result"),
    _printed("prints-null", "null", "printed no result"),
    _printed("prints-white-space", " \\n\\t ", "printed no result"),
    _quick("prints-binary-garbage", "cat >/dev/null; head -c 100000 /dev/urandom", PluginOutputError, "something else"),
    _printed("prints-nul", "\\0000\\0000", "something else than a result"),
    _printed("prints-invalid-utf8", '{"cniVersion":"1.1.0","x":"\\0377"}', "invalid UTF-8"),
    _printed("prints-a-byte-order-mark", "\\0357\\0273\\0277{}", "byte order mark"),
    _printed("prints-nan", '{"cniVersion":"1.1.0","x":NaN}', "something else than a result"),
    _printed("prints-infinity", '{"cniVersion":"1.1.0","x":1e999}', "something else than a result"),
    _printed("prints-duplicate-keys", '{"cniVersion":"1.1.0","cniVersion":"1.0.0"}', "duplicate"),
    _printed("prints-half-a-document", '{"cniVersion":"1.1.0"', "something else than a result"),
    _printed("prints-two-documents", "{}{}", "something else than a result"),
    _printed("prints-an-array", "[]", "something else than a result"),
    _printed("prints-a-number", "1", "something else than a result"),
    _quick(
        "prints-100000-brackets",
        "cat >/dev/null; head -c 100000 /dev/zero | tr '\\0' '['",
        PluginOutputError,
        "something else than a result",
    ),
    _quick(
        "prints-100000-objects",
        'cat >/dev/null; printf \'{"cniVersion":"1.1.0","x":\'; yes \'{"x":\' | head -n 100000',
        PluginOutputError,
        "something else than a result",
    ),
    _quick(
        "prints-an-integer-of-10-mb",
        'cat >/dev/null; printf \'{"cniVersion":"1.1.0","x":\'; head -c 10000000 /dev/zero | tr \'\\0\' 7; echo }',
        PluginOutputError,
        "something else than a result",
    ),
    _quick("prints-a-bad-result", """cat >/dev/null; echo '{"cniVersion":"1.1.0","ips":7}'""", ResultError, "ips"),
    _quick("prints-another-version", """cat >/dev/null; echo '{"cniVersion":"9.9.9"}'""", ResultError, "9.9.9"),
    _quick(
        "exits-0-with-an-error", """cat >/dev/null; echo '{"code":7,"msg":"oops"}'""", PluginError, "printed an error"
    ),
    _quick("exits-1-with-a-result", f"cat >/dev/null; echo '{RESULT}'; exit 1", PluginError, "exited with status 1"),
    _quick("exits-1-with-an-error", """cat >/dev/null; echo '{"code":107,"msg":"no"}'; exit 1""", PluginError, "107"),
    _quick("exits-255-with-nothing", "exit 255", PluginError, "it printed nothing"),
    _quick("exits-3-and-says-why", "echo reason >&2; exit 3", PluginError, "reason"),
    *[
        _ended(f"raises-{signal.Signals(number).name}", f"kill -{number} $$")
        if number in _STOPPING
        else _quick(
            f"raises-{signal.Signals(number).name}",
            f"kill -{number} $$; exit 9",
            PluginError,
            "exited with status 9" if number in _HARMLESS else f"killed by signal {int(number)}",
        )
        for number in _SIGNALS
    ],
]


class Caller:
    """A flavour, and a runner with short patience."""

    def __init__(self, flavour: str, world: World) -> None:
        self._flavour = flavour
        kind: Any = CNIConfig if flavour == "sync" else AsyncCNIConfig
        runner = BlockingRunner(grace=GRACE) if flavour == "sync" else AnyioRunner(grace=GRACE)
        self.config = kind(
            [str(world.bin)],
            cache_dir=world.cache,
            runner=runner,
            environ={**environ(), "STATE": str(world.state)},
            durable=False,
        )

    def __call__(self, verb: str, *arguments: Any, **options: Any) -> Any:
        work = functools.partial(getattr(self.config, verb), *arguments, **options)
        return work() if self._flavour == "sync" else anyio.run(work, backend=self._flavour)


FLAVOURS = ("sync", "asyncio", "trio")

# At full size every case in every flavour, else each in one of them.
TRIED = [
    pytest.param(flavour, case, id=f"{case.name}-{flavour}")
    for number, case in enumerate(CASES)
    for flavour in (FLAVOURS if FULL else (FLAVOURS[number % 3],))
]


@pytest.fixture(params=FLAVOURS)
def caller(request: pytest.FixtureRequest, world: World) -> Iterator[Caller]:
    made = Caller(request.param, world)
    yield made
    del made.config  # it holds folders open


@pytest.fixture(autouse=True)
def nothing_left(world: World) -> Iterator[None]:
    """Fail after a test that leaves a descriptor, a child, a thread or a process of a plugin."""
    before = open_count()
    me = psutil.Process()
    children = {child.pid for child in me.children()}  # the process that forks runtimes
    yield
    gc.collect()
    for path in world.state.glob("left.pid"):  # a daemon that a plugin left on purpose: nobody ends it
        end_noted_process(path, f"CNI_PATH={world.bin}")
    assert wait_until(lambda: open_count() <= before, 5)
    assert {child.pid for child in me.children()} <= children
    assert wait_until(lambda: not [t for t in threading.enumerate() if not t.name.startswith(("Main", "Trio"))], 5)


def install(world: World, case: Case) -> None:
    """Make a chain of a good plugin, the hostile one, and one that must never run."""
    world.script("good")
    world.script("never", before='[ "$CNI_COMMAND" = ADD ] && echo never >"$STATE/never"')
    world.script("hostile", before=f'if [ "$CNI_COMMAND" = ADD ]; then\n: >"$held"\n{case.body}\nexit\nfi')


def child_is_gone(world: World) -> bool:
    path = world.state / "child.pid"
    return not path.exists() or not psutil.pid_exists(int(path.read_text())) or _is_zombie(int(path.read_text()))


def _is_zombie(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.parametrize(("caller", "case"), TRIED, indirect=["caller"])
def test_hostile_plugin_has_its_own_error_and_is_rolled_back(
    world: World, caller: Caller, trials_of: Callable[[str], Trials], case: Case
) -> None:
    trials = trials_of("hostile plugins")
    install(world, case)
    chain = network("good", "hostile", "never") if case.error else network("good", "hostile")
    # A request that no pipe holds at once.
    rt = attachment("c", args=[("K", "v" * 100_000)])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    timeout = TIMEOUT if case.error is PluginTimeoutError else case.timeout
    started = time.monotonic()
    error: CNIError | None = None
    try:
        caller("add_network_list", chain, rt, timeout=timeout)
    except CNIError as raised:
        error = raised
    took = time.monotonic() - started
    found = [] if took < LATE else [f"it took {took:.1f} s"]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    if grown > 160 * 1024:
        found.append(f"memory grew by {grown} KiB")
    found += wrong_error(case, error)
    if not child_is_gone(world):
        found.append("a child of the plugin is left")
    if error is None:
        caller("del_network_list", chain, rt)
    found += world.problems(set(), ())
    if (world.state / "never").exists():
        found.append("the chain went on")
    trials.check(found, case.name)


def wrong_error(case: Case, error: CNIError | None) -> list[str]:
    if case.error is None:
        return [] if error is None else [f"raised {error!r}"]
    if not isinstance(error, case.error) or case.says not in str(error):
        return [f"raised {error!r}, should be {case.error.__name__} with {case.says!r}"]
    if not isinstance(error, PluginError):
        return ["names no plugin"]
    place = (error.plugin, error.command, error.network, error.container_id, error.ifname)
    notes = getattr(error, "__notes__", [])
    return [] if place == ("hostile", "ADD", "net", "c", "eth0") and not notes else [f"place {place}, notes {notes}"]


def test_request_of_a_mebibyte_that_is_never_read_does_no_harm(
    world: World, caller: Caller, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("hostile plugins")
    world.script("good", before=f"[ \"$CNI_COMMAND\" = ADD ] && {{ echo '{RESULT}'; exit; }}")
    plugin = {"type": "good", "capabilities": {"big": True}}
    chain = network_conf_from_bytes(json.dumps({"cniVersion": "1.1.0", "name": "net", "plugins": [plugin]}))
    rt = attachment("c", capability_args={"big": "x" * (1 << 20)})
    caller("add_network_list", chain, rt)
    caller("del_network_list", chain, rt)
    trials.check(world.problems(set(), ()), "1 MiB")


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("no-execute-bit", PluginNotFoundError, "not executable"),
        ("no-shebang", PluginError, "without a '#!' line"),
        ("no-interpreter", PluginError, "interpreter"),
        ("a-folder", PluginNotFoundError, "not a regular file"),
        ("empty-file", PluginError, "not a program"),
        ("of-another-machine", PluginError, "not a program"),
    ],
)
def test_file_that_is_no_program_has_its_own_error(
    world: World, caller: Caller, trials_of: Callable[[str], Trials], name: str, error: type[CNIError], says: str
) -> None:
    trials = trials_of("hostile plugins")
    world.script("good")
    path = world.bin / "hostile"
    contents = {
        "no-shebang": b"exit 0\n",
        "no-interpreter": b"#!/nonexistent/sh\n",
        "of-another-machine": b"\x7fELF\0\0",
    }
    if name == "a-folder":
        path.mkdir()
    else:
        path.write_bytes(contents.get(name, b"#!/bin/sh\n" if name == "no-execute-bit" else b""))
        path.chmod(0o644 if name == "no-execute-bit" else 0o755)
    with pytest.raises(error, match=says) as caught:
        caller("add_network_list", network("good", "hostile"), attachment("c"))
    found = [] if isinstance(caught.value, PluginError) and caught.value.plugin == "hostile" else ["names no plugin"]
    path.rmdir() if path.is_dir() else path.unlink()
    world.script("hostile")
    # What could not be rolled back, for want of a program, is finished when there is one.
    found += [str(report.error) for report in caller("recover") if not report.done]
    found += world.problems(set(), ())
    trials.check(found, name)


def test_plugin_replaced_while_it_runs_is_deleted_by_the_new_one(
    world: World, caller: Caller, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("hostile plugins")
    world.script("new")
    replace = f'mv "{world.bin}/new" "{world.bin}/hostile"'
    world.script("hostile", before=f'if [ "$CNI_COMMAND" = ADD ]; then {replace}; fi')
    caller("add_network_list", network("hostile"), attachment("c"))
    found = world.problems({"c"}, ("hostile",))
    caller("del_network_list", network("hostile"), attachment("c"))
    trials.check(found + world.problems(set(), ()), "replaced")


def test_plugin_open_for_writing_is_an_error_in_time(
    world: World, caller: Caller, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("hostile plugins")
    world.script("good")
    path = world.bin / "hostile"
    path.write_bytes(Path("/bin/true").read_bytes())
    path.chmod(0o755)
    started = time.monotonic()
    with path.open("r+b"), pytest.raises(PluginError, match="busy"):
        caller("add_network_list", network("good", "hostile"), attachment("c"), timeout=TIMEOUT)
    assert time.monotonic() - started < LATE
    caller("recover")
    trials.check(world.problems(set(), ()), "busy")
