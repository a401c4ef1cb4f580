"""Directories for lint to look at: configurations, and plugins that answer VERSION."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION_DIR = ROOT / "testdata" / "configurations"
MISTAKES_FILE = ROOT / "testdata" / "mistakes.json"


def write_tree(directory: Path, files: Mapping[str, str | dict[str, Any]]) -> Path:
    """Write files by name; an object as JSON with one member a line, an empty text as a pipe."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content == "":
            os.mkfifo(path)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
    return directory


def network(name: str, *plugins: dict[str, Any], version: str = "1.0.0", **head: Any) -> dict[str, Any]:
    return {"cniVersion": version, "name": name, **head, "plugins": list(plugins) or [{"type": "loopback"}]}


def bridge(name: str, subnet: str, **options: Any) -> dict[str, Any]:
    return {"type": "bridge", "bridge": name, **options, "ipam": {"type": "host-local", "subnet": subnet}}


def write_plugins(directory: Path, plugins: Mapping[str, Sequence[str]]) -> Path:
    """Write plugins that say which versions they support, or fail without any; each call leaves a line in ``log``."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, versions in plugins.items():
        answer = json.dumps({"cniVersion": "1.1.0", "supportedVersions": list(versions)})
        ending = f"echo '{answer}'" if versions else "exit 3"
        path = directory / name
        path.write_text(
            f"#!/bin/sh\necho \"{name} $CNI_COMMAND\" >> '{directory.parent}/log'\ncat >/dev/null\n{ending}\n"
        )
        path.chmod(0o755)
    return directory
