"""The plugins that are installed: whether each is there, and which versions it says it supports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.api import CNIConfig
from libcni.errors import CNIError, PluginNotFoundError
from libcni.protocol.names import plugin_type_problem
from libcni.protocol.versions import SUPPORTED_VERSIONS, is_at_least, newest_supported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcni.lint.placed import PlacedPlugin

__all__ = ["Binaries"]


class Binaries:
    """Asks each plugin once with VERSION, and remembers the answer.

    :param bin_dirs: plugin directories, in order of preference.
    :param timeout: seconds that a plugin may take to answer.
    """

    def __init__(self, bin_dirs: Sequence[str], timeout: float) -> None:
        self._directories = tuple(bin_dirs)
        self._config = CNIConfig(self._directories, timeout=timeout)
        self._answers: dict[str, tuple[str, ...] | CNIError] = {}

    def _ask(self, plugin_type: str) -> tuple[str, ...] | CNIError:
        if plugin_type not in self._answers:
            try:
                self._answers[plugin_type] = self._config.get_version_info(plugin_type).supported_versions
            except CNIError as error:
                self._answers[plugin_type] = error
        return self._answers[plugin_type]

    def newest_of(self, types: Iterable[str], below: str = "") -> str:
        """Return the newest version that all of some plugins support, or ``""``.

        :param below: only versions before this one, when it is given.
        """
        usable = set(SUPPORTED_VERSIONS)
        for answer in [self._ask(name) for name in types if plugin_type_problem(name) is None]:
            usable &= set() if isinstance(answer, CNIError) else set(answer)
        return newest_supported([one for one in usable if not below or not is_at_least(one, below)]) or ""

    def check(self, plugin: PlacedPlugin, version: str) -> None:
        """Check that a plugin and its IPAM plugin are there and support the version, where one was chosen."""
        for path, name in (
            ((*plugin.path, "type"), plugin.type),
            ((*plugin.path, "ipam", "type"), plugin.ipam_type),
        ):
            if plugin_type_problem(name) is not None:
                continue
            answer = self._ask(name)
            if isinstance(answer, PluginNotFoundError):
                places = ", ".join(self._directories)
                plugin.source.report("CNI411", path, f"plugin {name!r} is not installed in {places}", hint="install it")
            elif isinstance(answer, CNIError):
                message = f"plugin {name!r} does not say which versions it supports: {answer.msg}"
                plugin.source.report("CNI413", path, message)
            elif version and version not in answer:
                message = f"plugin {name!r} does not support version {version}"
                plugin.source.report("CNI412", path, message, hint=f"it supports {', '.join(answer)}")
