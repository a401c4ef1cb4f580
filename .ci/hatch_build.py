"""Builds ``libcni/invoke/native.c`` into the wheel; without a compiler, the wheel does the same in Python.

Hatchling runs this. ``LIBCNI_PURE=1`` in the environment leaves the C part out.
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

NAME = "libcni.invoke._native"
SOURCE = "libcni/invoke/native.c"
TARGET = "libcni/invoke/_native.abi3.so"


class NativeBuildHook(BuildHookInterface[Any]):
    """Adds the compiled module to a wheel, and for an editable installation to the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 -- hatchling's signature
        """Compile, and say what the wheel is for."""
        if self.target_name != "wheel":
            return
        if os.environ.get("LIBCNI_PURE") or not self._is_compiled():
            # One of an earlier build, from other sources perhaps, must not stay.
            (Path(self.root) / TARGET).unlink(missing_ok=True)
            return
        build_data["artifacts"].append(TARGET)
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"

    def _is_compiled(self) -> bool:
        try:
            self._compile()
        except (CompileError, ExecError, LinkError, PlatformError) as error:
            self.app.display_warning(f"{NAME} was not built, which makes libcni slower: {error}")
            return False
        return True

    def _compile(self) -> None:
        extension = Extension(NAME, [str(Path(self.root) / SOURCE)], py_limited_api=True)
        command = Distribution({"ext_modules": [extension]}).get_command_obj("build_ext")
        # Renamed over the one that is there: a running program may have that in its memory.
        with tempfile.TemporaryDirectory(dir=Path(self.root) / "libcni" / "invoke", prefix=".build-") as folder:
            command.build_lib = command.build_temp = folder
            command.ensure_finalized()
            command.run()
            Path(command.get_outputs()[0]).replace(Path(self.root) / TARGET)
