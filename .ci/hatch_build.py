"""Builds the C parts into the wheel; without a compiler, the wheel does the same in Python.

Hatchling runs this. ``LIBCNI_PURE=1`` in the environment leaves the C parts out, which gives one wheel for every
system; with ``LIBCNI_NATIVE=1``, as for a release, the build fails where they cannot be compiled.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.errors import CompileError, ExecError, LinkError, PlatformError

PARTS = {"libcni.invoke.process._spawn": "libcni/invoke/process/_spawn.c"}
"""Names of modules, and their sources."""

PURE = "LIBCNI_PURE"
NATIVE = "LIBCNI_NATIVE"
LINK = ["-Wl,--strip-all"] if sys.platform == "linux" else []
FREE_THREADED = "a free-threaded build of Python takes no module in C that is made for every version"


class NativeBuildHook(BuildHookInterface[Any]):
    """Adds the compiled module to a wheel, and for an editable installation to the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 -- hatchling's signature
        """Compile, and say what the wheel is for."""
        if self.target_name != "wheel":
            return
        if os.environ.get(PURE) or not self._is_compiled():
            # Those of an earlier build, from other sources perhaps, must not stay.
            for name in PARTS:
                self._target(name).unlink(missing_ok=True)
            return
        build_data["artifacts"] += [self._target(name).relative_to(self.root).as_posix() for name in PARTS]
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"

    def _is_compiled(self) -> bool:
        """Compile, and return whether that succeeded; a release must not be without the C parts.

        :raises RuntimeError: if they are asked for and cannot be had.
        """
        reason = self._reason_without()
        if reason and os.environ.get(NATIVE):
            raise RuntimeError(f"{NATIVE} is set, and the C parts were not built: {reason}")
        if reason:
            self.app.display_warning(f"the C parts were not built, Python starts the plugins: {reason}")
        return not reason

    def _reason_without(self) -> str:
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            return FREE_THREADED
        try:
            self._compile()
        except (CompileError, ExecError, LinkError, PlatformError) as error:
            return str(error)
        return ""

    def _compile(self) -> None:
        extensions = [
            Extension(name, [str(Path(self.root) / source)], py_limited_api=True, extra_link_args=LINK)
            for name, source in PARTS.items()
        ]
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
