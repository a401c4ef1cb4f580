"""Run a pod: a process that keeps the network namespace, and two containers that share it and reach each other.

    pod.py web 'python3 -m http.server 8080' 'sleep 1; wget -qO- localhost:8080'

The second container is the main one: when it ends, the pod ends with its exit status. Containers are plain processes
here; a real runtime would give each a root file system, and the same network namespace.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from libcni import netns
from libcni.capabilities import ContainerOptions, Pod
from libcni.networks import BlockingNetworks

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def process_in(namespace: netns.NetNS, *command: str) -> Generator[subprocess.Popen[bytes]]:
    """Start a process in a network namespace, and end it."""
    with namespace.inside():
        process = subprocess.Popen(command)
    with process:
        try:
            yield process
        finally:
            process.kill()


def main() -> int:
    """Run one pod."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--conf-dir", default="/etc/cni/net.d")
    parser.add_argument("--bin-dir", action="append", default=[])
    parser.add_argument("--cache-dir", default="/var/lib/cni")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("name")
    parser.add_argument("side")
    parser.add_argument("main")
    given = parser.parse_args()
    directories = given.bin_dir or ["/opt/cni/bin"]
    with ExitStack() as stack:
        networks = stack.enter_context(
            BlockingNetworks(given.conf_dir, directories, cache_dir=given.cache_dir, watch=False)
        )
        # The pause container: the namespace lives as long as this process, whatever becomes of the others.
        made = stack.enter_context(netns.create())
        pause = stack.enter_context(process_in(made, "sleep", "infinity"))
        namespace = stack.enter_context(netns.open(pause.pid))
        stack.callback(networks.remove, given.name)
        options = ContainerOptions(pod=Pod(given.namespace, given.name))
        setup = networks.setup(given.name, namespace, options=options)
        print(setup.primary_address, flush=True)
        stack.enter_context(process_in(namespace, "sh", "-c", given.side))
        return stack.enter_context(process_in(namespace, "sh", "-c", given.main)).wait()


if __name__ == "__main__":
    sys.exit(main())
