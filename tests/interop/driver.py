"""Go libcni with the same face as the ways to use this library."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.flavours import Attachment, Folders


@dataclass(frozen=True)
class GoDriver:
    """The built program."""

    path: Path

    def run(self, verb: str, network: str, attachment: Attachment, folders: Folders) -> Any:
        """Run a verb and return what it prints."""
        flags = {
            "conf-dir": folders.conf,
            "bin-dir": folders.bin,
            "cache-dir": folders.cache,
            "network": network,
            "container-id": attachment.container_id,
            "ifname": attachment.ifname,
            "netns": attachment.netns,
            "args": ";".join(f"{key}={value}" for key, value in attachment.args),
            "cap-args": json.dumps(attachment.capability_args) if attachment.capability_args else "",
        }
        command = [str(self.path), verb, *(f"-{name}={value}" for name, value in flags.items())]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"Go libcni, {verb}: {done.stderr}"
        return json.loads(done.stdout)
