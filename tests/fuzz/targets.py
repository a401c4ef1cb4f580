"""One target for each parser: bytes go in, and nothing but an error of the library may come out."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

from libcni import SUPPORTED_VERSIONS, CNIError, Result, network_conf_from_bytes, network_plugin_conf_from_bytes
from libcni.attachment import AttachmentKey, RuntimeConf
from libcni.cache import ResultCache
from libcni.disk import FileOperations, OpenFolder
from libcni.invoke.answer import Invocation, check_success, read_result, read_version
from libcni.invoke.plugin import PluginOutput
from libcni.journal import Journal
from libcni.record import State, record_of
from libcni.storage import Folder
from libcni.store import Store
from libcni.verbs.stored import prev_result, prev_result_for_delete, stored_network
from tests.records import begin_record, with_check_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcni.steps import Steps

KEY = AttachmentKey("net", "c", "eth0")
RT = RuntimeConf("c", "/run/netns/c", "eth0", [("K", "V")], {"mac": "x"})
NOWHERE = "/nonexistent/cache"
INVOCATION = Invocation("one", "/opt/one", "ADD", *KEY)

NETWORK = {
    "cniVersion": "1.0.0",
    "cniVersions": ["0.4.0", "1.1.0"],
    "name": "net",
    "disableCheck": "true",
    "plugins": [{"type": "one", "capabilities": {"mac": True}, "ipam": {"type": "two", "mtu": 1.5, "id": 2**63}}],
}
RESULT = {
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "mtu": 1500, "sandbox": "/run/netns/c"}],
    "ips": [{"address": "10.0.0.2/24", "gateway": "10.0.0.1", "interface": 0}, {"address": "fd00::2/64"}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.0.0.1", "mtu": 1400, "table": 0, "scope": 0}],
    "dns": {"nameservers": ["10.0.0.1"], "domain": "x", "search": ["y"], "options": ["z"]},
}
OLD_RESULT = {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24", "routes": [{"dst": "0.0.0.0/0"}]}, "dns": {}}
ERROR = {"cniVersion": "1.0.0", "code": 7, "msg": "oops", "details": "why"}
VERSION = {"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}
CACHE_FILE = {
    "kind": "cniCacheV1",
    "containerId": "c",
    "config": base64.b64encode(json.dumps(NETWORK).encode()).decode(),
    "ifName": "eth0",
    "networkName": "net",
    "netns": "/run/netns/c",
    "cniArgs": [["K", "V"]],
    "capabilityArgs": {"mac": "x"},
    "result": RESULT,
}


class Held(Folder):
    """A folder in which every file has the same content."""

    def __init__(self, data: bytes) -> None:
        super().__init__(NOWHERE, "journal", FileOperations(), durable=False)
        self._data = data

    def open(self, *, create: bool = False) -> OpenFolder:
        del create
        return OpenFolder(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), "/")

    def read(self, name: str) -> bytes | None:
        del name
        return self._data


class HeldCache(ResultCache):
    """A cache in which every file has the same content."""

    def _read(self, name: str, folder: OpenFolder) -> bytes | None:
        del folder
        return self.folder.read(name)


def _record() -> bytes:
    """Return a record as it is kept."""
    written: list[bytes] = []

    class Writing(Held):
        def creating(self, name: str, data: bytes) -> Steps[None]:
            del name
            written.append(data)
            yield from ()

    folder = Writing(b"")
    journal = Journal(folder, folder)
    begin_record(journal, record_of(KEY, RT, config=json.dumps(NETWORK).encode(), owner="o", state=State.ADDING))
    return written[0]


def configuration(data: bytes) -> None:
    """Parse the configuration of a network, and what it makes of itself again."""
    network = network_conf_from_bytes(data)
    if network_conf_from_bytes(network.raw) != network:
        raise AssertionError("the effective document says something else")


def plugin_configuration(data: bytes) -> None:
    """Parse the configuration of a plugin, and build a request from it."""
    plugin = network_plugin_conf_from_bytes(data)
    plugin.request("net", "1.1.0", **plugin.runtime_config({"mac": "x"}))


def result(data: bytes) -> None:
    """Parse a result, and convert it to every version and back."""
    parsed = Result.from_bytes(data)
    for version in SUPPORTED_VERSIONS:
        converted = parsed.as_version(version)
        if Result.from_bytes(converted.to_json()).to_dict() != converted.to_dict():
            raise AssertionError(f"{version} does not survive its own wire form")


def answer(data: bytes) -> None:
    """Read what a plugin printed for an ADD, whether it failed or not."""
    status = 1 if data[:1] == b"!" else 0
    output = PluginOutput(stdout=data.removeprefix(b"!"), stderr=data[:100], exit_status=status)
    check_success(INVOCATION, output)
    _ = read_result(INVOCATION, output, "1.0.0").result


def version(data: bytes) -> None:
    """Read what a plugin printed for VERSION."""
    read_version(INVOCATION, PluginOutput(stdout=data))


def cache_file(data: bytes) -> None:
    """Read a stored result, and all that a verb makes of it."""
    store = Store(NOWHERE, durable=False)
    store.cache = HeldCache(Held(data), store.damaged)
    entry = store.cache.find(KEY)
    if entry is None:
        return
    prev_result_for_delete(entry, "1.1.0")
    known = store.known(KEY)
    stored_network(known, None)
    known.attachment()
    entry.runtime_conf(RT)
    prev_result(entry, "1.0.0")


def record(data: bytes) -> None:
    """Read a record of the journal, and all that recovery makes of it."""
    folder = Held(with_check_sum(data))
    found = Journal(folder, folder).find(KEY)
    if found is not None:
        found.runtime_conf().check(found.key.network)
        found.attachment()
        found.is_unfinished(has_result=False)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (configuration, plugin_configuration, result, answer, version, cache_file, record)
}

SEEDS: Mapping[str, tuple[object, ...]] = {
    "configuration": (NETWORK,),
    "plugin_configuration": ({"cniVersion": "0.3.1", "name": "net", "type": "one", "runtimeConfig": {"a": 1}},),
    "result": (RESULT, OLD_RESULT),
    "answer": (RESULT, OLD_RESULT, ERROR),
    "version": (VERSION, {"cniVersion": "0.2.0"}),
    "cache_file": (CACHE_FILE, RESULT),
    "record": (_record(),),
}


def seeds(target: str) -> list[bytes]:
    """Return documents that the target accepts."""
    return [seed if isinstance(seed, bytes) else json.dumps(seed).encode() for seed in SEEDS[target]]


def run(target: str, data: bytes) -> bool:
    """Run one target, and say whether it took the data; what is not an error of the library passes through."""
    try:
        TARGETS[target](data)
    except CNIError:
        return False
    return True
