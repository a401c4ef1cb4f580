"""SIGKILL of a runtime that runs the reference plugins bridge and host-local: no lease and no link is left."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING, Any

import pytest

from libcni import CNIConfig
from tests.faults.trials import size
from tests.faults.world import environ
from tests.real.networks import bridged, host_local, leases, network
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.processes import Zygote
    from tests.faults.trials import Trials

KILLED = -signal.SIGKILL


class Scene:
    """One namespace and one bridge, on which ADD and DEL are killed."""

    def __init__(self, folder: Path, zygote: Zygote, namespace: kernel.Namespace, bridge: str) -> None:
        self._folder = folder
        self._zygote = zygote
        self._namespace = namespace
        self._config = network("net", bridged(bridge, host_local(folder)) | {"ipMasq": False})
        self._cni = CNIConfig([str(kernel.PLUGIN_DIR)], cache_dir=folder / "cache", environ=environ())

    def run(self, verb: str, **more: Any) -> dict[str, Any]:
        task = {"verb": verb, "bin": kernel.PLUGIN_DIR, "cache": self._folder / "cache", "container": "c"}
        return self._zygote.run(**task, config=self._config, netns=self._namespace.path, **more)

    def problems(self) -> list[str]:
        """Recover, delete what is attached as a whole, and say what is left."""
        answer = self.run("recover")
        found = [f"recover: {report}" for report in answer["reports"] if not report[3]]
        attached = len(self._cni.get_cached_attachments())
        if (len(leases(self._folder)), len(self._veths())) != (attached, attached):
            found.append(f"{attached} attached, leases {leases(self._folder)}, links {self._veths()}")
        if attached:
            self.run("del")
        if leases(self._folder) or self._veths() or self._cni.get_cached_attachments() or self._cni.pending():
            found.append(f"left: {leases(self._folder)}, {self._veths()}")
        return found

    def _veths(self) -> list[str]:
        """Return the interfaces in the container; their other ends go with them."""
        return [name for name, link in self._namespace.links().items() if link["link_type"] != "loopback"]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("verb", ["add", "del"])
def test_kill_with_reference_plugins_leaves_no_lease_and_no_link(
    tmp_path: Path, zygote: Zygote, trials_of: Callable[[str], Trials], verb: str
) -> None:
    boundaries = trials_of("kill -9 with bridge and host-local, at step boundaries")
    moments = trials_of("kill -9 with bridge and host-local, at random moments")
    with kernel.named_namespace() as namespace, kernel.bridge_name() as bridge:
        scene = Scene(tmp_path, zygote, namespace, bridge)

        def prepare() -> None:
            if verb == "del":
                assert "error" not in scene.run("add")

        for warm_up in ("add", "del"):  # which makes the folders
            scene.run(warm_up)
        prepare()
        steps = scene.run(verb)["steps"]
        assert scene.problems() == []
        for step in range(0, steps, size(12, 1)):
            prepare()
            assert scene.run(verb, kill_at=step)["status"] == KILLED
            boundaries.check(scene.problems(), f"{verb}, step {step} of {steps}")
        for _ in range(size(5, 250)):
            prepare()
            after = random.uniform(0, 0.15)
            scene.run(verb, signal=signal.SIGKILL, after=after)
            moments.check(scene.problems(), f"{verb}, after {after:.4f} s")
