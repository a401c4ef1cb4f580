"""ADD with real processes and records on the disk: what an interrupt or a failed start leaves to be deleted."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from libcni import AsyncCNIConfig, CNIConfig, PluginError, PluginTimeoutError, Result, RuntimeConf
from libcni.config import parse_network
from libcni.invoke import child
from libcni.invoke.child import Threads, encoded_environment, new_cells
from tests.process.conftest import Interrupted, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from libcni.attachment import NetworkAttachment
    from tests.process.conftest import Flavour, Plugins

NETWORK = parse_network(b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first"},{"type":"second"}]}')
RT = RuntimeConf("pod", "", "eth0")
ANSWER = """echo '{"cniVersion":"1.0.0"}'"""
NOTE = 'request=$(cat); echo "$CNI_COMMAND" >>"$0.ran"'


class _Verbs:
    """Both forms of the library, which keep their records on the disk; nothing is held open between two calls."""

    def __init__(self, flavour: Flavour, folder: Path) -> None:
        self._flavour = flavour
        self._folder = folder

    async def add(self) -> None:
        places: Any = {"cache_dir": self._folder / "cache"}
        if self._flavour.is_blocking:
            CNIConfig([self._folder], **places).add_network_list(NETWORK, RT)
        else:
            await AsyncCNIConfig([self._folder], **places).add_network_list(NETWORK, RT)

    def pending(self) -> list[NetworkAttachment]:
        return CNIConfig([self._folder], cache_dir=self._folder / "cache").pending()


def _ran(plugins: Plugins, name: str) -> list[str]:
    noted = plugins.folder / f"{name}.ran"
    return noted.read_text().split() if noted.exists() else []


@pytest.fixture
def verbs(flavour: Flavour, plugins: Plugins) -> _Verbs:
    return _Verbs(flavour, plugins.folder)


@pytest.mark.parametrize("slow", ["first", "second"])
def test_interrupt_while_a_plugin_runs_deletes_what_was_begun(
    flavour: Flavour, plugins: Plugins, verbs: _Verbs, slow: str
) -> None:
    for name in ("first", "second"):
        # A little longer than what is waited for in one call.
        wait = f'touch {plugins.folder}/started; [ "$CNI_COMMAND" = DEL ] || sleep 0.3' if name == slow else ":"
        plugins.script(f"{NOTE}; {wait}; {ANSWER}", name)

    def run(interrupt: Callable[[], None]) -> Coroutine[Any, Any, None]:
        def watch() -> None:
            if eventually((plugins.folder / "started").exists):
                interrupt()

        threading.Thread(target=watch).start()
        return verbs.add()

    with pytest.raises(Interrupted):
        flavour.interruptible(run)
    assert _ran(plugins, "first") == ["ADD", "DEL"]
    assert _ran(plugins, "second") == (["DEL"] if slow == "first" else ["ADD", "DEL"])
    assert verbs.pending() == []


@pytest.mark.parametrize("broken", ["first", "second"])
def test_plugin_that_cannot_be_started_leaves_what_is_to_be_deleted(
    flavour: Flavour, plugins: Plugins, verbs: _Verbs, broken: str
) -> None:
    for name in ("first", "second"):
        plugins.script(f"{NOTE}; {ANSWER}", name)
    (plugins.folder / broken).write_bytes(b"\x7fELF is no program")
    with pytest.raises(PluginError, match="not a program"):
        flavour.drive(verbs.add)
    assert [attachment.container_id for attachment in verbs.pending()] == ["pod"]
    other = "second" if broken == "first" else "first"
    assert _ran(plugins, other) == (["DEL"] if other == "second" else ["ADD", "DEL"])


def test_request_record_and_result_are_there(flavour: Flavour, plugins: Plugins, verbs: _Verbs) -> None:
    for name in ("first", "second"):
        plugins.script(f'{NOTE}; printf %s "$request" >"$0.asked"; {ANSWER}', name)
    flavour.drive(verbs.add)
    for name in ("first", "second"):
        assert b'"name":"net"' in (plugins.folder / f"{name}.asked").read_bytes()
    assert (plugins.folder / "cache" / "results" / "net-pod-eth0").stat().st_mode & 0o777 == 0o600
    assert verbs.pending() == []


@pytest.mark.parametrize("answer", [ANSWER, ANSWER.replace("}", ',"own":1}')])
@pytest.mark.parametrize("is_durable", [True, False])
def test_likely_result_goes_to_the_disk_before_the_last_plugin_ends(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch, *, answer: str, is_durable: bool
) -> None:
    """Which it is likely to print again; what it did print is stored."""
    here = plugins.folder
    plugins.script(f"cat >/dev/null; {ANSWER}", "first")
    wait = f"i=0; until test -e {here}/begun || test $i = 1000; do i=$((i+1)); sleep 0.001; done" if is_durable else ":"
    plugins.script(f"cat >/dev/null; {wait}; touch {here}/over; {answer}", "second")
    config = CNIConfig([here], cache_dir=here / "cache", durable=is_durable)
    threads = child.processes.threads
    assert threads is not None
    begun: list[bool] = []

    def submit(*arguments: Any) -> object:
        begun.append((here / "over").exists())
        job = threads.submit(*arguments)
        (here / "begun").touch()
        return job

    monkeypatch.setattr(child, "processes", child.processes._replace(threads=threads._replace(submit=submit)))
    config.add_network_list(NETWORK, RT)
    assert begun == ([False] if is_durable else [])
    assert config.get_network_list_cached_result(NETWORK, RT) == Result.from_dict(json.loads(answer[6:-1]))
    assert len(list((here / "cache" / "results").iterdir())) == 1


def test_plugin_is_watched_while_the_disk_takes_its_time(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sync in advance is a job of a thread: it does not keep the deadline of a plugin from being noticed."""
    here = plugins.folder
    plugins.script(f"cat >/dev/null; {ANSWER}", "first")
    plugins.script(f"cat >/dev/null; test $CNI_COMMAND = DEL || sleep 30; {ANSWER}", "second")
    config = CNIConfig([here], cache_dir=here / "cache")
    threads = child.processes.threads
    assert threads is not None
    environment = encoded_environment({"PATH": os.environ["PATH"]})
    slow = [(new_cells(), b"/bin/sh", environment, b"exec sleep 1", b"")]

    def submit(_: object, __: int, event: int, work: Any) -> object:
        """Begin the work a second later."""
        return threads.submit(slow, 10_000, event, None), work

    def collect(job: Any) -> list[Any]:
        threads.collect(job[0])
        return threads.collect(threads.submit([], 0, -1, job[1]))

    monkeypatch.setattr(child, "processes", child.processes._replace(threads=Threads(submit, collect)))
    started = time.monotonic()
    with pytest.raises(PluginTimeoutError) as caught:
        config.add_network_list(NETWORK, RT, timeout=0.3)
    assert time.monotonic() - started >= 1
    assert caught.value.duration is not None
    assert 0.3 <= caught.value.duration < 0.9
    assert config.pending() == []
