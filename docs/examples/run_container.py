"""Run a container with an OCI runtime in a network namespace that libcni has set up, with published ports.

    run_container.py --rootfs rootfs --publish 8080:8080 web /bin/server

The namespace and the networks are removed when the container ends, also when this program gets SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from libcni import netns
from libcni.capabilities import ContainerOptions, PortMapping
from libcni.networks import BlockingNetworks


def bundle_of(rootfs: Path, command: list[str], namespace: str) -> dict[str, Any]:
    """Return the configuration of a container that joins a network namespace (OCI runtime specification)."""
    others = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": command, "cwd": "/", "noNewPrivileges": True},
        "root": {"path": str(rootfs.resolve()), "readonly": True},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [*others, {"type": "network", "path": namespace}]},
    }


def run(runtime: str, name: str, bundle: dict[str, Any]) -> int:
    """Run the container in the foreground, and return its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(bundle), encoding="utf-8")
        try:
            return subprocess.run([runtime, "run", "--bundle", folder, name], check=False).returncode
        finally:
            subprocess.run([runtime, "delete", "--force", name], check=False, stderr=subprocess.DEVNULL)


def port_mapping(text: str) -> PortMapping:
    """Return the port mapping of ``HOST:CONTAINER``."""
    host, _, container = text.partition(":")
    return PortMapping(int(host), int(container))


def stop(number: int, _frame: object) -> None:
    """End the program at a signal, with all that it has to clean up."""
    sys.exit(128 + number)


def main() -> int:
    """Run one container."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--conf-dir", default="/etc/cni/net.d")
    parser.add_argument("--bin-dir", action="append", default=[])
    parser.add_argument("--cache-dir", default="/var/lib/cni")
    parser.add_argument("--runtime", default="runc")
    parser.add_argument("--rootfs", type=Path, required=True)
    parser.add_argument("--publish", type=port_mapping, action="append", default=[])
    parser.add_argument("name")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    directories = given.bin_dir or ["/opt/cni/bin"]
    with (
        BlockingNetworks(given.conf_dir, directories, cache_dir=given.cache_dir, watch=False) as networks,
        netns.create(given.name) as namespace,
    ):
        setup = networks.setup(given.name, namespace, options=ContainerOptions(port_mappings=given.publish))
        try:
            print(setup.primary_address, flush=True)
            return run(given.runtime, given.name, bundle_of(given.rootfs, given.command, namespace.path))
        finally:
            networks.remove(given.name)


if __name__ == "__main__":
    sys.exit(main())
