"""The subject of a test: a plugin, its configuration, and what a check may expect of it.

Owns the file format in which authors describe their plugin (TOML or JSON), and the ready files for the reference
plugins in ``profiles/``. Source: SPEC 1.1.0, sections 2 (what a verb gets), 3 (chains) and 4 (delegation).
"""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from libcni.conformance.catalogue import checks_ids, load_checks
from libcni.errors import ConfigError
from libcni.protocol.names import interface_name_problem, plugin_type_problem

if TYPE_CHECKING:
    from libcni.jsontext.scan import JSONObject

__all__ = ["Kind", "Subject", "default_subject", "load_subject", "profile_names", "ready_subject"]

_PROFILES = Path(__file__).parent / "profiles"

DATA_PLACEHOLDER = "{data}"
"""In the configuration: the data directory of the check."""

LOG_PLACEHOLDER = "{log}"
"""In the configuration: the folder for logs of the check, in which nothing counts as state."""

NUMBER_PLACEHOLDER = "{number}"
"""In the configuration: the number of the container within the check, from 1."""


FAMILIES = ("ipv4", "ipv6")
"""Families of addresses."""


class Kind(StrEnum):
    """The kind of a plugin, which decides the checks that apply."""

    INTERFACE = "interface"
    CHAINED = "chained"
    IPAM = "ipam"
    META = "meta"


@dataclass(frozen=True)
class Subject:
    """One plugin with its configuration.

    :param plugin: file name to be found in ``bin_dirs``, or a path.
    :param config: members of the plugin's configuration beside ``cniVersion``, ``name`` and ``type``.
    :param prepare: lines of ``ip`` commands that make what the configuration refers to in the host's namespace.
    :param private: further folders in which the plugin keeps state; each check gets empty ones.
    :param logs: paths that the plugin logs to, with ``*``: what is there is no state, as below ``/var/log``.
    :param families: of the addresses that the checks give: ``ipv4``, ``ipv6``, or both.
    :param visible: paths below private folders that stay as they are, the socket of a daemon for instance.
    :param delegate: the member of the configuration whose object names the plugin that this one calls.
    :param links: kinds of links that the kernel must be able to make.
    :param missing: what else an ADD needs and is not there: then no check that needs one is run.
    :param capabilities: for each capability a value that a runtime could send.
    :param args_ip: an address that a container can ask for in ``args.cni.ips``, if the plugin follows that convention.
    :param unready: members of the configuration with which STATUS has to fail.
    :param ignore: reason by check id, or by the beginning of ids with ``*``: these are not run.
    :param known: reason by check id: these are run, and their failure does not count.
    :param seconds: what one verb may take.
    """

    plugin: str
    kind: Kind
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ifname: str = "eth0"
    prepare: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    visible: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    families: tuple[str, ...] = ("ipv4",)
    delegate: str = ""
    links: tuple[str, ...] = ()
    missing: str = ""
    capabilities: Mapping[str, Any] = field(default_factory=dict[str, Any])
    args_ip: str = ""
    unready: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ignore: Mapping[str, str] = field(default_factory=dict[str, str])
    known: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: float = 5.0
    bin_dirs: tuple[str, ...] = ()
    source: str = ""

    @property
    def name(self) -> str:
        """The plugin's type: its file name."""
        return Path(self.plugin).name

    @property
    def has_data(self) -> bool:
        """Whether the configuration takes the data directory from the check."""
        return DATA_PLACEHOLDER in json.dumps(self.config)

    def members(self, data: Path, number: int) -> JSONObject:
        """Return the configuration for a container, with the placeholders filled in."""
        words = {**_places(data), NUMBER_PLACEHOLDER: str(number)}
        filled: JSONObject = _filled(dict(self.config), words)
        return {"type": self.name, **filled}

    def unready_members(self, data: Path) -> JSONObject:
        """Return the members with which STATUS has to fail."""
        filled: JSONObject = _filled(dict(self.unready), _places(data))
        return filled

    def reason_to_ignore(self, check_id: str) -> str | None:
        """Return why a check is not run, or ``None``."""
        for pattern, reason in self.ignore.items():
            if check_id == pattern or (pattern.endswith("*") and check_id.startswith(pattern[:-1])):
                return reason
        return None


def _places(data: Path) -> dict[str, str]:
    """Return the placeholders of folders; that of logs stands beside the data directory."""
    return {DATA_PLACEHOLDER: str(data), LOG_PLACEHOLDER: str(data.with_name("log"))}


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    if _is_mapping(value):
        return {key: _filled(item, words) for key, item in value.items()}
    if _is_list(value):
        return [_filled(item, words) for item in value]
    if isinstance(value, str):
        return functools.reduce(lambda text, word: text.replace(word, words[word]), words, value)
    return value


def _is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def profile_names() -> list[str]:
    """Return the plugin types that have a ready description."""
    return sorted(path.stem for path in _PROFILES.glob("*.toml"))


def ready_subject(plugin: str) -> Subject | None:
    """Return the ready description of a reference plugin, by its type; ``None`` if there is none."""
    name = Path(plugin).name
    if name not in profile_names():
        return None
    return replace(load_subject(_PROFILES / f"{name}.toml"), plugin=plugin)


def default_subject(plugin: str, kind: Kind) -> Subject:
    """Return a description with no configuration of its own, for plugins that need none."""
    return Subject(plugin, kind)


def load_subject(path: str | Path) -> Subject:
    """Read the description of a plugin; a relative path of the plugin counts from the file.

    :raises OSError: if the file cannot be read.
    :raises ConfigError: if it is not TOML (or JSON, by its suffix), or says something that cannot be.
    """
    source = Path(path)
    data = source.read_bytes()
    try:
        text = data.decode("utf-8")
        document: object = json.loads(text) if source.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(str(error), source=source) from None
    if not _is_mapping(document):
        raise ConfigError("must be an object", source=source)
    return _subject(document, source)


_KINDS: Mapping[str, type] = {
    "str": str,
    "tuple[str, ...]": list,
    "Mapping[str, Any]": Mapping,
    "Mapping[str, str]": Mapping,
    "Kind": str,
}
_OWN_KEYS = {"kind": "profile"}
_PROPERTIES: Mapping[str, tuple[str, ...]] = {"ignore": ("addresses",), "known": ()}
"""Words that may stand beside the ids of checks: properties that several of them look at."""
_NOT_IN_FILES = frozenset({"source", "bin_dirs"})


def _subject(document: Mapping[str, Any], source: Path) -> Subject:
    keys = {_OWN_KEYS.get(item.name, item.name): item for item in fields(Subject) if item.name not in _NOT_IN_FILES}
    unknown = sorted(set(document) - set(keys))
    if unknown:
        raise ConfigError(f"is not a member; there are {', '.join(keys)}", source=source, field=unknown[0])
    missing = [key for key in ("plugin", "profile") if key not in document]
    if missing:
        raise ConfigError("is missing", source=source, field=missing[0])
    values: dict[str, Any] = {}
    for key, value in document.items():
        if not _fits(value, str(keys[key].type)):
            raise ConfigError(f"must not be {json.dumps(value, default=str)}", source=source, field=key)
        values[keys[key].name] = tuple(value) if _is_list(value) else value
    values["kind"] = _kind(document["profile"], source)
    problem = plugin_type_problem(Path(values["plugin"]).name)
    if problem:
        raise ConfigError(problem, source=source, field="plugin")
    problem = interface_name_problem(values.get("ifname", "eth0"))
    if problem:
        raise ConfigError(problem, source=source, field="ifname")
    _check_families(values, source)
    _check_reasons(values, source)
    if "/" in values["plugin"]:
        values["plugin"] = str((source.parent / values["plugin"]).absolute())
    return Subject(**values, source=str(source))


def _fits(value: object, kind: str) -> bool:
    if _is_list(value):
        return _KINDS[kind] is list and all(isinstance(item, str) for item in value)
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return isinstance(value, _KINDS[kind])


def _kind(text: str, source: Path) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise ConfigError(f"must be one of {', '.join(Kind)}", source=source, field="profile") from None


def _check_families(values: Mapping[str, Any], source: Path) -> None:
    families = values.get("families", FAMILIES)
    if not families or not set(families) <= set(FAMILIES):
        raise ConfigError(f"must have one or both of {', '.join(FAMILIES)}", source=source, field="families")


def _check_reasons(values: Mapping[str, Any], source: Path) -> None:
    ids = [*checks_ids(load_checks()), *checks_ids(load_checks(for_runtimes=True))]
    for member in ("ignore", "known"):
        for check_id, reason in values.get(member, {}).items():
            place = f"{member}.{check_id}"
            if not isinstance(reason, str) or not reason.strip():
                raise ConfigError("needs a reason in words", source=source, field=place)
            is_beginning = member == "ignore" and check_id.endswith("*")
            if is_beginning and not any(known.startswith(check_id[:-1]) for known in ids):
                raise ConfigError("is the beginning of no check", source=source, field=place)
            if not is_beginning and check_id not in {*ids, *_PROPERTIES[member]}:
                raise ConfigError("is no check; see --list", source=source, field=place)
