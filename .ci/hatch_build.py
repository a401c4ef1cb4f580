"""Builds the C parts into the wheel; without a compiler, the wheel does the same in Python.

Hatchling runs this. ``LIBCNI_PURE=1`` in the environment leaves the C parts out.
"""

from __future__ import annotations

import os
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.errors import CompileError, ExecError, LinkError, PlatformError

PARTS = {"libcni.invoke._native": "libcni/invoke/native.c"}
"""Names of modules, and their sources."""


class NativeBuildHook(BuildHookInterface[Any]):
    """Adds the compiled module to a wheel, and for an editable installation to the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 -- hatchling's signature
        """Compile, and say what the wheel is for."""
        if self.target_name != "wheel":
            return
        if os.environ.get("LIBCNI_PURE") or not self._is_compiled():
            # Those of an earlier build, from other sources perhaps, must not stay.
            for name in PARTS:
                self._target(name).unlink(missing_ok=True)
            return
        build_data["artifacts"] += [self._target(name).relative_to(self.root).as_posix() for name in PARTS]
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"

    def _is_compiled(self) -> bool:
        try:
            self._compile()
        except (CompileError, ExecError, LinkError, PlatformError) as error:
            self.app.display_warning(f"the C parts were not built, which makes libcni slower: {error}")
            return False
        return True

    def _compile(self) -> None:
        extensions = [Extension(name, [str(Path(self.root) / PARTS[name])], py_limited_api=True) for name in PARTS]
        command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        # Renamed over those that are there: a running program may have them in its memory.
        with tempfile.TemporaryDirectory(dir=Path(self.root) / "libcni", prefix=".build-") as folder:
            command.build_lib = command.build_temp = folder
            command.ensure_finalized()
            command.run()
            for name in PARTS:
                Path(command.get_ext_fullpath(name)).replace(self._target(name))

    def _target(self, name: str) -> Path:
        return Path(self.root, *name.split(".")).with_suffix(".abi3.so")
