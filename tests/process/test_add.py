"""ADD with real processes and records on the disk: what an interrupt or a failed start leaves to be deleted."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from libcni import AsyncCNIConfig, CNIConfig, PluginError, RuntimeConf
from libcni.config import parse_network
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
def test_plugin_that_cannot_be_started_leaves_what_is_to_be_deleted_and_nothing_if_it_is_the_first(
    flavour: Flavour, plugins: Plugins, verbs: _Verbs, broken: str
) -> None:
    for name in ("first", "second"):
        plugins.script(f"{NOTE}; {ANSWER}", name)
    (plugins.folder / broken).write_bytes(b"\x7fELF is no program")
    with pytest.raises(PluginError, match="not a program"):
        flavour.drive(verbs.add)
    if broken == "first":
        assert verbs.pending() == []
        assert _ran(plugins, "second") == []
    else:
        assert [attachment.container_id for attachment in verbs.pending()] == ["pod"]
        assert _ran(plugins, "first") == ["ADD", "DEL"]


def test_request_record_and_result_are_there(flavour: Flavour, plugins: Plugins, verbs: _Verbs) -> None:
    for name in ("first", "second"):
        plugins.script(f'{NOTE}; printf %s "$request" >"$0.asked"; {ANSWER}', name)
    flavour.drive(verbs.add)
    for name in ("first", "second"):
        assert b'"name":"net"' in (plugins.folder / f"{name}.asked").read_bytes()
    assert (plugins.folder / "cache" / "results" / "net-pod-eth0").stat().st_mode & 0o777 == 0o600
    assert verbs.pending() == []


@pytest.mark.parametrize("printed", ["abcd", "aaaa", "aabb", "abba", "abbb"])
def test_each_plugin_of_an_add_gets_what_the_one_before_printed(
    flavour: Flavour, plugins: Plugins, printed: str
) -> None:
    here = plugins.folder
    for number, letter in enumerate(printed):
        answer = json.dumps({"cniVersion": "1.0.0", "dns": {"domain": letter}})
        plugins.script(f"cat >{here}/asked-{number}; printf %s '{answer}'", f"link-{number}")
    links = [{"type": f"link-{number}"} for number in range(len(printed))]
    network = parse_network(json.dumps({"cniVersion": "1.0.0", "name": "net", "plugins": links}).encode())
    if flavour.is_blocking:
        result = CNIConfig([here], cache_dir=here / "cache").add_network_list(network, RT)
    else:
        config = AsyncCNIConfig([here], cache_dir=here / "cache")
        result = flavour.drive(lambda: config.add_network_list(network, RT))
    asked = [json.loads((here / f"asked-{number}").read_text()) for number in range(len(printed))]
    assert [request.get("prevResult", {}).get("dns", {}).get("domain") for request in asked] == [None, *printed[:-1]]
    assert result.dns is not None
    assert result.dns.domain == printed[-1]
