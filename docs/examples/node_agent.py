"""A node agent: follows the configuration directory, reconciles and collects garbage by timer, and exposes metrics.

    node_agent.py --list 'crictl pods --quiet --no-trunc' --listen 127.0.0.1:9099

``--list`` is the command that prints the ids of the containers that exist. When it fails nothing is deleted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import logging
import shlex
import signal
from typing import TYPE_CHECKING

from libcni import CNIError
from libcni.networks import Networks, ReconcilePolicy
from libcni.observe import to_prometheus

if TYPE_CHECKING:
    from libcni.observe.metrics import Metrics

log = logging.getLogger("node-agent")


async def containers(command: str) -> list[str]:
    """Return the ids of the containers that exist.

    :raises OSError: if they are not known.
    """
    process = await asyncio.create_subprocess_exec(*shlex.split(command), stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    if process.returncode:
        raise OSError(f"{command}: exit status {process.returncode}")
    return output.decode().split()


async def follow(networks: Networks) -> None:
    """Say what becomes of the configuration directory."""
    async for snapshot in networks.changes():
        log.info("default network: %s", snapshot.default.name if snapshot.default else snapshot.why_no_default())
        for file in snapshot.explain():
            log.info("%s", file)


async def tidy(networks: Networks, command: str, interval: float) -> None:
    """Reconcile at the start and by timer: delete what belongs to no container, or to a namespace that is gone."""
    await networks.recover()
    while True:
        try:
            # A function: it is called when the locks are held, so that no new container is missing in the list.
            steps = await networks.reconcile(lambda: containers(command), policy=ReconcilePolicy(check=False))
        except (TimeoutError, CNIError, OSError) as error:
            log.warning("not reconciled: %s", error)
        else:
            for step in steps:
                if step.action != "none" or step.error is not None:
                    log.info("%s: %s, %s %s", "/".join(step.key), step.finding, step.action, step.error or "")
        await asyncio.sleep(interval)


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, networks: Networks, metrics: Metrics
) -> None:
    """Answer one request: /metrics, or /readyz as a readiness probe of Kubernetes asks."""
    with contextlib.closing(writer), contextlib.suppress(asyncio.TimeoutError, ConnectionError):
        request = await asyncio.wait_for(reader.readline(), 10)
        if b" /readyz " in request:
            status = await networks.status()
            code, text = ("200 OK", "ready\n") if status.ready else ("503 Service Unavailable", status.message)
        else:
            code, text = "200 OK", metrics.text()
        head = f"HTTP/1.0 {code}\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n"
        writer.write(head.encode() + text.encode())
        await writer.drain()


async def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--conf-dir", default="/etc/cni/net.d")
    parser.add_argument("--bin-dir", default="/opt/cni/bin")
    parser.add_argument("--cache-dir", default="/var/lib/cni")
    parser.add_argument("--owner", default=None)
    parser.add_argument("--list", required=True)
    parser.add_argument("--interval", type=float, default=60.0)
    parser.add_argument("--listen", default="127.0.0.1:9099")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    metrics = to_prometheus()
    host, _, port = given.listen.rpartition(":")
    async with Networks(
        given.conf_dir, [given.bin_dir], cache_dir=given.cache_dir, owner=given.owner, on_event=metrics
    ) as networks:
        serve = functools.partial(answer, networks=networks, metrics=metrics)
        server = await asyncio.start_server(serve, host, int(port))
        work = asyncio.gather(follow(networks), tidy(networks, given.list, given.interval), server.serve_forever())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await work


if __name__ == "__main__":
    asyncio.run(main())
