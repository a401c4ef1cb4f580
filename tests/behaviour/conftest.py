"""One face for the three flavours, so that each behaviour is written once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import AsyncCNIConfig, CNIConfig, RuntimeConf, network_conf_from_bytes
from libcni.jsontext.encode import dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcni import NetworkConfigList
    from libcni.testing import ScriptedRunner

FLAVOURS = ("sync", "asyncio", "trio")


class Runtime:
    """Calls each verb of a flavour as if it were synchronous."""

    def __init__(self, flavour: str, config: Any) -> None:
        self.flavour = flavour
        self.config = config

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.config, name)
        if self.flavour == "sync":
            return method  # type: ignore[no-any-return]  # a method of either class
        return lambda *args, **options: anyio.run(functools.partial(method, *args, **options), backend=self.flavour)


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(flavour: str, tmp_path: Path) -> Callable[..., Runtime]:
    """Return a factory of runtimes that share one cache directory."""

    def build(runner: ScriptedRunner | None = None, **options: Any) -> Runtime:
        kind: Any = CNIConfig if flavour == "sync" else AsyncCNIConfig
        defaults: dict[str, Any] = {"cache_dir": tmp_path / "cache", "runner": runner, "durable": False, "environ": {}}
        return Runtime(flavour, kind(["/opt/cni/bin"], **defaults | options))

    return build


def network(*plugins: Any, name: str = "net", version: str = "1.1.0", **members: Any) -> NetworkConfigList:
    documents = [plugin if isinstance(plugin, dict) else {"type": plugin} for plugin in plugins]
    return network_conf_from_bytes(dump({"cniVersion": version, "name": name, "plugins": documents} | members))


def attachment(container_id: str = "box", ifname: str = "eth0", **options: Any) -> RuntimeConf:
    return RuntimeConf(container_id, options.pop("netns", ""), ifname, **options)
