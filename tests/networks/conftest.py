"""One face for the three flavours of the layer, over scripted plugins and a real configuration directory."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from libcni.networks import BlockingNetworks, Networks
from libcni.testing import ScriptedRunner, success

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from anyio.from_thread import BlockingPortal

    from libcni import CNIErrorGroup
    from libcni.testing import ScriptedCall

FLAVOURS = ("sync", "asyncio", "trio")


def networks_of(group: CNIErrorGroup) -> list[str]:
    """Return the networks that the errors of a group name."""
    return [str(getattr(error, "network", "")) for error in group.exceptions]


class Face:
    """Calls each verb of a flavour as if it were synchronous."""

    def __init__(self, networks: Any, portal: BlockingPortal | None) -> None:
        self.networks = networks
        self.portal = portal

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.networks, name)
        if self.portal is None or not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **options: self.call(value, *args, **options)

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        assert self.portal is not None
        return self.portal.call(functools.partial(function, *args, **options))

    def first(self, name: str, count: int, act: Callable[[int], None], **options: Any) -> list[Any]:
        """Return the first items of an iterator, with an action after each."""
        if self.portal is None:
            found = []
            for number, item in enumerate(itertools.islice(getattr(self.networks, name)(**options), count)):
                found.append(item)
                act(number)
            return found

        async def collect() -> list[Any]:
            found: list[Any] = []
            async for item in getattr(self.networks, name)(**options):
                found.append(item)
                act(len(found) - 1)
                if len(found) == count:
                    break
            return found

        return list(self.portal.call(collect))


class Directory:
    """A configuration directory whose files are replaced by rename."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, document: object) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        text = document if isinstance(document, str) else json.dumps(document)
        temporary = self.path.parent / f".{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.path / name)

    def network(self, file: str, name: str, *plugins: Any, version: str = "1.1.0", **members: Any) -> None:
        self.write(file, conflist(name, *plugins, version=version, **members))

    def remove(self, name: str) -> None:
        (self.path / name).unlink()


def conflist(name: str, *plugins: Any, version: str = "1.1.0", **members: Any) -> dict[str, Any]:
    documents = [plugin if isinstance(plugin, dict) else {"type": plugin} for plugin in plugins or ("bridge",)]
    return {"cniVersion": version, "name": name, "plugins": documents} | members


class Addresses:
    """A plugin that gives each ADD the next address, and notes which are in use."""

    def __init__(self) -> None:
        self.in_use: dict[tuple[str, str], str] = {}
        self._numbers = itertools.count(2)

    def add(self, call: ScriptedCall) -> Any:
        address = f"10.1.0.{next(self._numbers)}/24"
        self.in_use[call.container_id, call.ifname] = address
        return success(
            {
                "cniVersion": call.request["cniVersion"],
                "interfaces": [
                    {"name": "veth1"},
                    {"name": call.ifname, "mac": "0a:00:00:00:00:01", "sandbox": call.netns},
                ],
                "ips": [{"address": address, "gateway": "10.1.0.1", "interface": 1}],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dns": {"nameservers": ["10.1.0.1"], "search": [f"{call.request['name']}.example"]},
            },
        )

    def delete(self, call: ScriptedCall) -> Any:
        self.in_use.pop((call.container_id, call.ifname), None)
        return success()


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def addresses() -> Addresses:
    return Addresses()


@pytest.fixture
def runner(addresses: Addresses) -> ScriptedRunner:
    return ScriptedRunner({("bridge", "ADD"): addresses.add, ("bridge", "DEL"): addresses.delete})


@pytest.fixture
def conf(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "net.d")


@contextmanager
def opened(flavour: str, conf: Directory, tmp_path: Path, **options: Any) -> Iterator[Face]:
    defaults: dict[str, Any] = {"cache_dir": tmp_path / "cache", "durable": False, "environ": {}, "watch": False}
    arguments = (conf.path, [tmp_path / "bin"])
    if flavour == "sync":
        with BlockingNetworks(*arguments, **defaults | options) as blocking:
            yield Face(blocking, None)
        return
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal(flavour))
        networks = portal.call(functools.partial(Networks, *arguments, **defaults | options))
        yield Face(stack.enter_context(portal.wrap_async_context_manager(networks)), portal)


@pytest.fixture
def make(flavour: str, conf: Directory, tmp_path: Path, runner: ScriptedRunner) -> Iterator[Callable[..., Face]]:
    """Return a factory of layers over one cache directory."""
    with ExitStack() as stack:

        def build(**options: Any) -> Face:
            return stack.enter_context(opened(flavour, conf, tmp_path, **{"runner": runner} | options))

        yield build
