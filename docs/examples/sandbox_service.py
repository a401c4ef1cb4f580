"""A sandbox service with the shapes of the Container Runtime Interface: one JSON document a line over a Unix socket.

    sandbox_service.py --state /var/lib/sandboxes /run/sandboxes.sock
    {"method": "RunPodSandbox", "config": {"metadata": {"name": "web", "namespace": "default", "uid": "7"}}}

At the start it finishes what the last process had begun, and deletes what no sandbox has any more. A sandbox is written
down before its networks are set up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from libcni import CNIError, netns
from libcni.capabilities import ContainerOptions, Pod, PortMapping
from libcni.networks import Networks, ReconcilePolicy


class Sandboxes:
    """The sandboxes of a node; the state of each is a file."""

    def __init__(self, networks: Networks, state: Path) -> None:
        self.networks = networks
        self.state = state

    def ids(self) -> list[str]:
        """Return the ids of the sandboxes that exist."""
        return [path.stem for path in self.state.glob("*.json")]

    async def start(self) -> None:
        """Finish what was begun, and remove sandboxes that were never completed."""
        await self.networks.recover()
        for sandbox_id in self.ids():
            if "network" not in self.read(sandbox_id):
                await self.StopPodSandbox({"pod_sandbox_id": sandbox_id})
        await self.networks.reconcile(self.ids, policy=ReconcilePolicy(check=False))

    def read(self, sandbox_id: str) -> dict[str, Any]:
        """Return the state of a sandbox; nothing when a crash has cut the file off."""
        text = (self.state / f"{sandbox_id}.json").read_text(encoding="utf-8")
        return dict(json.loads(text)) if text.endswith("}") else {}

    def write(self, sandbox_id: str, document: dict[str, Any]) -> None:
        """Replace the state of a sandbox."""
        (self.state / f"{sandbox_id}.new").write_text(json.dumps(document), encoding="utf-8")
        (self.state / f"{sandbox_id}.new").replace(self.state / f"{sandbox_id}.json")

    async def RunPodSandbox(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a namespace and attach it."""
        config = request["config"]
        meta = config["metadata"]
        mappings = [PortMapping(each["host_port"], each["container_port"]) for each in config.get("port_mappings", [])]
        options = ContainerOptions(port_mappings=mappings, pod=Pod(meta["namespace"], meta["name"], meta["uid"]))
        sandbox_id = uuid.uuid4().hex
        self.write(sandbox_id, {"config": config})
        namespace = await asyncio.to_thread(netns.create, f"sandbox-{sandbox_id}")
        try:
            setup = await self.networks.setup(sandbox_id, namespace, options=options)
        except BaseException:
            await asyncio.shield(self.StopPodSandbox({"pod_sandbox_id": sandbox_id}))
            raise
        addresses = [str(address.ip) for address in setup.addresses]
        network = {"ip": addresses[0], "additional_ips": [{"ip": address} for address in addresses[1:]]}
        self.write(sandbox_id, {"config": config, "network": network})
        return {"pod_sandbox_id": sandbox_id}

    async def StopPodSandbox(self, request: dict[str, Any]) -> dict[str, Any]:
        """Detach a sandbox and remove it; one that is gone is no error."""
        sandbox_id = request["pod_sandbox_id"]
        await self.networks.remove(sandbox_id)
        with suppress(FileNotFoundError):
            (await asyncio.to_thread(netns.open, Path(netns.DIRECTORY) / f"sandbox-{sandbox_id}")).delete()
        (self.state / f"{sandbox_id}.json").unlink(missing_ok=True)
        return {}

    async def PodSandboxStatus(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the addresses of a sandbox."""
        state = self.read(request["pod_sandbox_id"])
        return {"status": {"id": request["pod_sandbox_id"], "state": "SANDBOX_READY", "network": state["network"]}}

    async def Status(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Return the conditions of the runtime."""
        now = await self.networks.status()
        network = {"type": "NetworkReady", "status": now.ready, "reason": now.reason, "message": now.message}
        return {"status": {"conditions": [{"type": "RuntimeReady", "status": True}, network]}}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        while line := await reader.readline():
            try:
                request = json.loads(line)
                answer = await getattr(self, request["method"])(request)
            except (CNIError, OSError, LookupError, ValueError) as error:
                answer = {"error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()


async def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser()
    for option, default in (("conf-dir", "/etc/cni/net.d"), ("bin-dir", "/opt/cni/bin"), ("cache-dir", "/var/lib/cni")):
        parser.add_argument(f"--{option}", default=default)
    parser.add_argument("--state", type=Path, default=Path("/var/lib/sandboxes"))
    parser.add_argument("socket")
    given = parser.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    async with Networks(given.conf_dir, [given.bin_dir], cache_dir=given.cache_dir, owner="sandboxes") as networks:
        await (sandboxes := Sandboxes(networks, given.state)).start()
        await (await asyncio.start_unix_server(sandboxes.serve, given.socket)).serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
