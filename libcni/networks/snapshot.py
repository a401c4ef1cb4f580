"""A configuration directory at one moment: its networks, the default one, and why each file was or was not chosen.

A snapshot never changes; the next one takes its place. A file that has become bad keeps its last good network. Go
counterpart: ``syncNetworkConfig`` of ``ocicni`` and ``go-cni``. Source: SPEC 1.1.0, section 1; the order of the files
is that of kubelets and CRI runtimes.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from libcni.config.load import ALL_EXTENSIONS, LoadedFile, is_directory, load_conf_files, second_of_a_name
from libcni.errors import CNIError, ConfigError, NetworkNotFoundError, NoConfigsFoundError
from libcni.jsontext.frozen import FrozenDict, object_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from libcni.config.model import NetworkConfigList

__all__ = ["ConfFile", "FileState", "Snapshot", "read_snapshot"]

FileState: TypeAlias = Literal["default", "in use", "waiting", "shadowed", "kept", "broken", "ignored"]


@dataclass(frozen=True, slots=True)
class ConfFile:
    """A file of a configuration directory, and what came of it.

    ``state`` is ``"default"``, ``"in use"``, ``"waiting"`` (for a plugin that is not installed), ``"shadowed"``
    (another file has the name), ``"kept"`` (it is bad now, and its last good network stays in use), ``"broken"`` or
    ``"ignored"`` (no configuration file by its name). ``network`` is empty where the file has none.
    """

    path: Path
    state: FileState
    network: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.state}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The networks of a configuration directory, immutable.

    ``networks`` are in the order of the files, those that wait for a plugin included. ``default`` is the pinned
    network, or else the first whose plugins are all there; ``None`` when there is none. ``problems`` has one error for
    each file that cannot be used. ``missing_plugins`` has, for each network that waits, the types of the plugins not
    installed. ``generation`` grows by one with each snapshot that differs from the one before.
    """

    directory: Path
    networks: Sequence[NetworkConfigList] = ()
    default: NetworkConfigList | None = None
    problems: Sequence[ConfigError] = ()
    files: Sequence[ConfFile] = ()
    missing_plugins: Mapping[str, Sequence[str]] = field(default_factory=FrozenDict)
    pinned: str | None = None
    generation: int = 0

    def explain(self) -> Sequence[ConfFile]:
        """Return why each file of the directory was or was not chosen, in the order of the files."""
        return self.files

    def find(self, name: str) -> NetworkConfigList:
        """Return the network of a name.

        :raises NetworkNotFoundError: if there is none; it says which files cannot be used, and why.
        """
        for network in self.networks:
            if network.name == name:
                return network
        raise NetworkNotFoundError(self.directory, name, list(self.problems))

    def find_default(self) -> NetworkConfigList:
        """Return the default network.

        :raises NoConfigsFoundError: if the directory has no configuration file.
        :raises NetworkNotFoundError: if the pinned one is not there.
        :raises ConfigError: if no network can be used.
        """
        if self.default is not None:
            return self.default
        if not any(item.state != "ignored" for item in self.files):
            raise NoConfigsFoundError(self.directory)
        if self.pinned is not None:
            self.find(self.pinned)
        raise ConfigError(self.why_no_default(), source=self.directory)

    def why_no_default(self) -> str:
        """Return the reason why there is no default network; empty when there is one."""
        if self.default is not None:
            return ""
        if self.pinned is not None:
            waits = self.missing_plugins.get(self.pinned)
            reason = f"it waits for plugin {_listed(waits)}" if waits else "no file defines it"
            return f"network {self.pinned!r} is pinned as the default, and {reason}"
        reasons = [f"{item.path.name}: {item.reason}" for item in self.files if item.state != "ignored"]
        if not reasons:
            return f"there is no configuration file in {self.directory}"
        return f"no network in {self.directory} can be used: {'; '.join(reasons)}"


def read_snapshot(
    directory: Path,
    find_plugin: Callable[[str], object],
    *,
    pinned: str | None = None,
    previous: Snapshot | None = None,
) -> Snapshot:
    """Read a configuration directory.

    :param find_plugin: finds a plugin binary by its type, and raises a :class:`CNIError` when it is not installed.
    :param pinned: name of the default network; left out, it is the first that can be used.
    :param previous: the snapshot before, for what has become bad since; it is returned when nothing differs.
    """
    try:
        loaded = load_conf_files(directory, previous.networks if previous is not None else ())
        others = _other_files(directory)
    except OSError as error:
        problem = ConfigError(f"cannot be read: {error.strerror}", source=directory)
        base = previous or Snapshot(directory=directory, pinned=pinned)
        found = replace(base, problems=(problem,))
    else:
        found = _snapshot(directory, loaded, others, find_plugin=find_plugin, pinned=pinned, previous=previous)
    if previous is None:
        return found
    return previous if _is_same(found, previous) else replace(found, generation=previous.generation + 1)


def _is_same(one: Snapshot, other: Snapshot) -> bool:
    def value(snapshot: Snapshot) -> object:
        problems = [str(problem) for problem in snapshot.problems]
        return snapshot.networks, snapshot.default, problems, snapshot.files, snapshot.missing_plugins

    return value(one) == value(other)


def _other_files(directory: Path) -> list[Path]:
    """Return the files that are no configuration by their name, such as copies of editors."""
    try:
        with os.scandir(directory) as entries:
            others = [entry for entry in entries if not entry.name.endswith(ALL_EXTENSIONS)]
    except FileNotFoundError:
        return []
    return [Path(entry.path) for entry in others if not is_directory(entry)]


def _snapshot(
    directory: Path,
    loaded: Sequence[LoadedFile],
    others: Sequence[Path],
    *,
    find_plugin: Callable[[str], object],
    pinned: str | None,
    previous: Snapshot | None,
) -> Snapshot:
    in_use = _in_use(loaded, previous)
    networks = [network for _, network in sorted(in_use.values(), key=lambda pair: os.fsencode(pair[0]))]
    is_installed = functools.cache(functools.partial(_is_installed, find_plugin))
    missing = {network.name: _missing_plugins(network, is_installed) for network in networks}
    default = _default(networks, missing, pinned)
    files = [_file(item, in_use, missing, default=default, pinned=pinned) for item in loaded]
    ignored = f"its name ends in none of {', '.join(ALL_EXTENSIONS)}"
    files += [ConfFile(path, "ignored", "", ignored) for path in others]
    problems = [problem for item in loaded for problem in item.problems]
    problems += [
        second_of_a_name(str(item.path), in_use[item.network][1]) for item in files if item.state == "shadowed"
    ]
    return Snapshot(
        directory=directory,
        networks=tuple(networks),
        default=default,
        problems=tuple(sorted(problems, key=lambda problem: os.fsencode(problem.source or ""))),
        files=tuple(sorted(files, key=lambda item: os.fsencode(item.path))),
        missing_plugins=FrozenDict({name: tuple(types) for name, types in missing.items() if types}),
        pinned=pinned,
    )


def _in_use(loaded: Sequence[LoadedFile], previous: Snapshot | None) -> dict[str, tuple[str, NetworkConfigList]]:
    """Return the path and network of each name: of the first good file, else the last good network of a bad one."""
    chosen: dict[str, tuple[str, NetworkConfigList]] = {}
    for item in loaded:
        if item.network is not None:
            chosen.setdefault(item.network.name, (item.path, item.network))
    bad = {item.path for item in loaded if item.network is None}
    for network in previous.networks if previous is not None else ():
        if str(network.source) in bad:
            chosen.setdefault(network.name, (str(network.source), network))
    return chosen


def _missing_plugins(network: NetworkConfigList, is_installed: Callable[[str], bool]) -> list[str]:
    """Return the types of the plugins of a network that are not installed, with those that assign its addresses."""
    missing: dict[str, None] = {}
    for plugin in network.plugins:
        ipam = object_of(plugin.data.get("ipam")).get("type")
        for name in (plugin.type, ipam):
            if isinstance(name, str) and name and not is_installed(name):
                missing[name] = None
    return list(missing)


def _is_installed(find_plugin: Callable[[str], object], name: str) -> bool:
    try:
        find_plugin(name)
    except CNIError:
        return False
    return True


def _default(
    networks: Iterable[NetworkConfigList], missing: Mapping[str, Sequence[str]], pinned: str | None
) -> NetworkConfigList | None:
    usable = (network for network in networks if not missing[network.name])
    return next((network for network in usable if pinned in {None, network.name}), None)


def _file(
    item: LoadedFile,
    in_use: Mapping[str, tuple[str, NetworkConfigList]],
    missing: Mapping[str, Sequence[str]],
    *,
    default: NetworkConfigList | None,
    pinned: str | None,
) -> ConfFile:
    path = Path(item.path)
    if item.network is None:
        problem = " and ".join(error.msg for error in item.problems)
        kept = next((name for name, (source, _) in in_use.items() if source == item.path), None)
        if kept is None:
            return ConfFile(path, "broken", "", problem)
        return ConfFile(path, "kept", kept, f"its last good version stays in use, as it cannot be used now: {problem}")
    name = item.network.name
    source, network = in_use[name]
    if source != item.path:
        return ConfFile(path, "shadowed", name, f"network {name!r} is already defined in {Path(source).name}")
    if missing[name]:
        return ConfFile(path, "waiting", name, f"waits for plugin {_listed(missing[name])}, which is not installed")
    if default is network:
        chosen = "pinned as the default" if pinned is not None else "the first in lexical order that can be used"
        return ConfFile(path, "default", name, chosen)
    return ConfFile(path, "in use", name, _why_not_default(name, default, pinned))


def _why_not_default(name: str, default: NetworkConfigList | None, pinned: str | None) -> str:
    if default is not None and pinned is None and default.source is not None:
        return f"can be joined as {name!r}; the default is {default.name!r}, as {default.source.name} comes first"
    return f"can be joined as {name!r}; {pinned!r} is pinned as the default"


def _listed(types: Iterable[str]) -> str:
    return ", ".join(map(repr, types))
