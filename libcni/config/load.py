"""Network configurations from files and directories.

A bad file never hides a good one: it becomes a problem of its own, with its place. Go counterpart: the file functions
of ``libcni/conf.go``. Source: SPEC 1.1.0, section 1, "Configuration format" and "Plugin configuration objects".
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from libcni.config.parse import append_plugins, conf_list_from_conf, parse_network, parse_plugin
from libcni.errors import ConfigError, InvalidParameterError, NetworkNotFoundError, NoConfigsFoundError
from libcni.jsontext.decode import decode_text, parse_object
from libcni.jsontext.positions import locate
from libcni.jsontext.scan import DocumentError
from libcni.linux import O_BINARY, O_CLOEXEC, O_NONBLOCK
from libcni.protocol.names import network_name_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from os import PathLike

    from libcni.config.model import NetworkConfigList, PluginConfig

__all__ = [
    "ALL_EXTENSIONS",
    "ConfDir",
    "LoadedFile",
    "conf_files",
    "conf_from_bytes",
    "conf_from_file",
    "is_directory",
    "load_conf",
    "load_conf_dir",
    "load_conf_files",
    "load_network_conf",
    "network_conf_from_bytes",
    "network_conf_from_file",
    "network_plugin_conf_from_bytes",
    "network_plugin_confs_from_files",
    "read_conf",
    "second_of_a_name",
]

LIST_EXTENSIONS = (".conflist",)
PLUGIN_EXTENSIONS = (".conf", ".json")
ALL_EXTENSIONS = (*LIST_EXTENSIONS, *PLUGIN_EXTENSIONS)
DROP_IN_EXTENSIONS = (".conf",)

SIZE_LIMIT = 16 * 1024 * 1024
"""Bytes: a larger configuration file is a mistake, and must not fill the memory."""

_CHUNK = 64 * 1024

T = TypeVar("T", "NetworkConfigList", "PluginConfig")


@dataclass(frozen=True)
class ConfDir:
    """The networks of a configuration directory, and the files that cannot be used.

    ``networks`` are in the order in which a kubelet or CRI runtime reads them: all files in one lexical order.
    ``problems`` has one error for each file that cannot be used. ``default`` is the first network, or ``None``.
    """

    networks: Sequence[NetworkConfigList]
    problems: Sequence[ConfigError]

    @property
    def default(self) -> NetworkConfigList | None:
        """The network that a runtime takes when none is named: the first one."""
        return self.networks[0] if self.networks else None


def conf_files(directory: str | PathLike[str], extensions: Sequence[str]) -> list[Path]:
    """Return the files of a directory that have one of the extensions, in lexical order of their names as bytes.

    :param extensions: with their dot, such as ``".conflist"``.
    :returns: full paths; nothing when the directory does not exist. Subdirectories are left out.
    :raises OSError: if the directory cannot be read.
    """
    return [Path(path) for path in _list(directory, extensions)]


def _list(directory: str | PathLike[str], extensions: Sequence[str]) -> list[str]:
    wanted = frozenset(extensions)
    try:
        with os.scandir(directory) as entries:
            found = [entry for entry in entries if _extension(entry.name) in wanted and not is_directory(entry)]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise InvalidParameterError("directory", directory, str(error)) from None
    found.sort(key=lambda entry: os.fsencode(entry.name))
    return [os.fspath(entry.path) for entry in found]


def is_directory(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a directory, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads nowhere: reading it says why


def _extension(name: str) -> str:
    # os.path.splitext finds none in ".conf", which Go and so every CNI runtime loads.
    _, dot, extension = name.rpartition(".")
    return dot + extension


def read_conf(path: str | PathLike[str]) -> bytes:
    """Read a configuration file, and never block on a pipe or a device that stands in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_BINARY)
    except ValueError as error:
        raise InvalidParameterError("path", path, str(error)) from None
    try:
        size = _regular_size(descriptor, path)
        data = os.read(descriptor, size + 1)
        while len(data) != size and len(data) <= SIZE_LIMIT and (chunk := os.read(descriptor, _CHUNK)):
            data += chunk
    finally:
        os.close(descriptor)
    if len(data) > SIZE_LIMIT:
        raise ConfigError(f"is larger than {SIZE_LIMIT} bytes", source=Path(path))
    return data


def _regular_size(descriptor: int, path: str | PathLike[str]) -> int:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError("is not a regular file", source=Path(path))
    if status.st_size > SIZE_LIMIT:
        raise ConfigError(f"is larger than {SIZE_LIMIT} bytes", source=Path(path))
    return status.st_size


def network_conf_from_bytes(data: bytes | str) -> NetworkConfigList:
    """Decode a network configuration list (SPEC 1.1.0, section 1).

    :param data: a JSON object in UTF-8; drop-in plugins are not looked for.
    :raises ConfigError: if it is not strict JSON, or a member has a value that is not allowed.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    return parse_network(data)


def network_conf_from_file(path: str | PathLike[str]) -> NetworkConfigList:
    """Load a network configuration list, with the drop-in plugins of ``<directory>/<network name>/*.conf`` at its end.

    Drop-ins are not read when the list sets ``loadOnlyInlinedPlugins``.

    :raises ConfigError: if a file is not a valid configuration, or there is no plugin at all.
    :raises OSError: if the file cannot be read.
    """
    return _network_of(read_conf(path), path)


def _network_of(data: bytes, path: str | PathLike[str]) -> NetworkConfigList:
    return _complete(parse_network(data, Path(path)), Path(path))


def _complete(network: NetworkConfigList, path: Path) -> NetworkConfigList:
    dropped_in: list[PluginConfig] = []
    if not network.load_only_inlined_plugins:
        dropped_in = network_plugin_confs_from_files(path.parent, network.name)
    if not network.plugins and not dropped_in:
        folder = path.parent / network.name
        line, column = locate(decode_text(network.raw), ("plugins",))
        message = f"no plugins: none in the list, and no .conf file in {folder}"
        raise ConfigError(message, source=path, field="plugins", line=line, column=column)
    return append_plugins(network, dropped_in)


def network_plugin_conf_from_bytes(data: bytes | str) -> PluginConfig:
    """Decode the configuration of one plugin, as it stands in a list or in a drop-in file.

    :raises ConfigError: if it is not strict JSON, or a member has a value that is not allowed.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    return parse_plugin(data)


def network_plugin_confs_from_files(directory: str | PathLike[str], network_name: str) -> list[PluginConfig]:
    """Load the drop-in plugins of a network: ``<directory>/<network_name>/*.conf`` in lexical order.

    :raises InvalidParameterError: if the name could lead out of the directory.
    :raises ConfigError: if a file is not a valid plugin configuration.
    :raises OSError: if a file cannot be read.
    """
    problem = network_name_problem(network_name)
    if problem is not None:
        raise InvalidParameterError("network_name", network_name, problem)
    plugins = (_unless_vanished(conf_from_file, path) for path in _list_drop_ins(directory, network_name))
    return [plugin for plugin in plugins if plugin is not None]


def _list_drop_ins(directory: str | PathLike[str], network_name: str) -> list[str]:
    try:
        return _list(os.path.join(directory, network_name), DROP_IN_EXTENSIONS)  # noqa: PTH118 -- on the path of every load, where Path costs more than the look-up
    except NotADirectoryError:
        return []


def conf_from_bytes(data: bytes | str) -> PluginConfig:
    """Decode a configuration in the single-plugin format of versions before 1.0.0.

    :raises ConfigError: if it is not strict JSON, or a member has a value that is not allowed.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    return parse_plugin(data)


def conf_from_file(path: str | PathLike[str]) -> PluginConfig:
    """Load a file in the single-plugin format.

    :raises ConfigError: if it is not a valid plugin configuration.
    :raises OSError: if the file cannot be read.
    """
    return parse_plugin(read_conf(path), Path(path))


def _list_from_conf_file(path: str | PathLike[str]) -> NetworkConfigList:
    return conf_list_from_conf(conf_from_file(path), Path(path))


def load_network_conf(directory: str | PathLike[str], name: str) -> NetworkConfigList:
    """Find a network by its name: in the ``.conflist`` files first, then in ``.conf`` and ``.json`` files.

    A bad file is passed over when a good one has the name.

    :raises NoConfigsFoundError: if the directory has no configuration file.
    :raises NetworkNotFoundError: if none has the name; it says which files could not be used, and why.
    :raises OSError: if the directory cannot be read.
    """
    problems: list[ConfigError] = []
    lists = _list(directory, LIST_EXTENSIONS)
    found = _find(lists, name, load=network_conf_from_file, problems=problems)
    if found is not None:
        return found
    singles = _list(directory, PLUGIN_EXTENSIONS)
    if not lists and not singles:
        raise NoConfigsFoundError(directory)
    found = _find(singles, name, load=_list_from_conf_file, problems=problems)
    if found is None:
        raise NetworkNotFoundError(directory, name, problems)
    return found


def load_conf(directory: str | PathLike[str], name: str) -> PluginConfig:
    """Find a single-plugin configuration by its name, in ``.conf`` and ``.json`` files.

    :raises NoConfigsFoundError: if the directory has no such file.
    :raises NetworkNotFoundError: if none has the name; it says which files could not be used, and why.
    :raises OSError: if the directory cannot be read.
    """
    problems: list[ConfigError] = []
    paths = _list(directory, PLUGIN_EXTENSIONS)
    if not paths:
        raise NoConfigsFoundError(directory)
    found = _find(paths, name, load=conf_from_file, problems=problems)
    if found is None:
        raise NetworkNotFoundError(directory, name, problems)
    return found


def _find(paths: Sequence[str], name: str, *, load: Callable[[str], T], problems: list[ConfigError]) -> T | None:
    """Load the first good file with the name; when there is none, say what is wrong with every bad file."""
    passed_over: list[str] = []
    encoded = name.encode(errors="surrogatepass")  # any text may be asked for, also one that no file can have
    for path in paths:
        if _cannot_be_named(path, encoded):
            passed_over.append(path)
            continue
        loaded = _collect(load, path, problems)
        if loaded is not None and loaded.name == name:
            return loaded
    for path in passed_over:
        _collect(load, path, problems)
    problems.sort(key=lambda problem: os.fsencode(problem.source or ""))
    return None


def _cannot_be_named(path: str, name: bytes) -> bool:
    """Return whether a file cannot have the name: neither it nor an escape that could stand for a part of it is there.

    Most files of a large directory need not be decoded to know that.
    """
    try:
        data = read_conf(path)
    except (ConfigError, OSError):
        return False
    return name not in data and b"\\" not in data


def _collect(load: Callable[[str], T], path: str, problems: list[ConfigError]) -> T | None:
    try:
        return _unless_vanished(load, path)
    except ConfigError as error:
        problems.append(error)
    except OSError as error:
        # A drop-in that cannot be read makes the list unusable; the file to look at is the drop-in.
        problems.append(ConfigError(f"cannot be read: {error.strerror}", source=Path(error.filename or path)))
    return None


def _unless_vanished(load: Callable[[str], T], path: str) -> T | None:
    """Load a file that may have gone since the directory was listed, or be a link to nothing."""
    try:
        return load(path)
    except FileNotFoundError:
        return None


def load_conf_dir(directory: str | PathLike[str]) -> ConfDir:
    """Load every network of a directory, in the order in which a kubelet or CRI runtime reads the files.

    Of two networks with one name the first counts; the second is a problem.

    :raises OSError: if the directory cannot be read; one that does not exist is empty.
    """
    problems: list[ConfigError] = []
    networks: dict[str, NetworkConfigList] = {}
    for item in load_conf_files(directory):
        problems += item.problems
        if item.network is None:
            continue
        first = networks.setdefault(item.network.name, item.network)
        if first is not item.network:
            problems.append(second_of_a_name(item.path, first))
    return ConfDir(networks=tuple(networks.values()), problems=tuple(problems))


class LoadedFile(NamedTuple):
    """A file of a configuration directory: its network, or its problem."""

    path: str
    network: NetworkConfigList | None
    problems: Sequence[ConfigError]


def load_conf_files(directory: str | PathLike[str], before: Iterable[NetworkConfigList] = ()) -> list[LoadedFile]:
    """Load every file of a directory, in the order of :func:`load_conf_dir`; two may have one name.

    A file that vanishes meanwhile is left out.

    :param before: networks that were loaded from the directory before. A list whose text is the same, and that has no
        drop-ins, is not decoded again.
    :raises OSError: if the directory cannot be read; one that does not exist is empty.
    """
    known = {str(network.source): network for network in before}
    loaded: list[LoadedFile] = []
    for path in _list(directory, ALL_EXTENSIONS):
        is_list = _extension(path) in LIST_EXTENSIONS
        problems: list[ConfigError] = []
        load = partial(_list_again, known.get(path)) if is_list else _list_from_conf_file
        network = _collect(load, path, problems)
        if network is not None or problems:
            loaded.append(LoadedFile(path, network, tuple(problems)))
    return loaded


def _list_again(known: NetworkConfigList | None, path: str) -> NetworkConfigList:
    data = read_conf(path)
    # With drop-ins, its text is another one.
    if known is not None and known.raw == data and not _has_drop_ins(known, path):
        return known
    return _network_of(data, path)


def _has_drop_ins(network: NetworkConfigList, path: str) -> bool:
    return not network.load_only_inlined_plugins and bool(_list_drop_ins(os.path.dirname(path), network.name))  # noqa: PTH120 -- text in, text out


def second_of_a_name(path: str, first: NetworkConfigList) -> ConfigError:
    """Return the problem of a file whose network has the name of one that comes first."""
    line = column = None
    with contextlib.suppress(OSError, ConfigError, DocumentError):  # it may have changed since
        text = decode_text(read_conf(path))
        parse_object(text)
        line, column = locate(text, ("name",))
    message = f"network {first.name!r} is already defined in {first.source}, which counts"
    return ConfigError(message, source=Path(path), field="name", line=line, column=column)
