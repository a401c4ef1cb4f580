"""The configuration of a network and of one plugin, immutable, with the text that each was read from.

Go counterpart: ``NetworkConfigList`` and ``PluginConfig``. Source: SPEC 1.1.0, section 1.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from libcni.config.effective import effective_network, effective_plugin
from libcni.config.fields import NetworkFields, PluginFields
from libcni.config.request import (
    RUNTIME_CONFIG,
    gc_members,
    is_passed_on,
    request_start,
    runtime_config,
    with_members,
)
from libcni.jsontext.decode import decode_text, parse_object
from libcni.jsontext.encode import canonical
from libcni.jsontext.frozen import freeze
from libcni.jsontext.scan import split_object
from libcni.protocol.versions import FIRST_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path as FilePath

    from libcni.protocol.attachment import GCAttachment

__all__ = ["NetworkConfigList", "PluginConfig"]


@dataclass(frozen=True)
class PluginConfig:
    """Configuration of one plugin.

    ``name`` and ``cni_version`` are ``""`` when absent. ``raw`` is the JSON document as it was written, ``data`` the
    decoded object. Two of them are equal when their documents mean the same.

    :param is_effective: ``raw`` is known to say the same as the other fields; else it is brought in line with them.
    """

    type: str
    raw: bytes = field(repr=False, compare=False)
    name: str = ""
    cni_version: str = ""
    capabilities: Mapping[str, bool] = field(default_factory=dict[str, bool])
    is_effective: InitVar[bool] = field(default=False, kw_only=True)

    def __post_init__(self, is_effective: bool) -> None:
        object.__setattr__(self, "capabilities", freeze(dict(self.capabilities)))
        if not is_effective:
            fields = PluginFields(self.type, self.name, self.cni_version, self.capabilities, self.raw)
            object.__setattr__(self, "raw", effective_plugin(fields))

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """The whole decoded object, unknown keys included; immutable."""
        frozen: Mapping[str, Any] = freeze(parse_object(self.raw))
        return frozen

    @cached_property
    def members(self) -> Mapping[str, str]:
        """The members of the document, each value as it was written."""
        return split_object(decode_text(self.raw))

    @cached_property
    def _canonical(self) -> str:
        """The document in one form: to Python ``1``, ``1.0`` and ``true`` are equal, to a plugin they are not."""
        return canonical(parse_object(self.raw))

    @cached_property
    def _passed_on(self) -> tuple[tuple[str, str], ...]:
        """The members that a request takes over unchanged."""
        return tuple([(key, text) for key, text in self.members.items() if is_passed_on(key)])

    @cached_property
    def _starts(self) -> dict[tuple[str, str, bool], str]:
        """Cache of the starts of requests: a plugin is called with the same name and version again and again."""
        return {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PluginConfig):
            return NotImplemented
        if self.fields_in_common != other.fields_in_common:
            return False
        return self.raw == other.raw or self._canonical == other._canonical

    def __hash__(self) -> int:
        return hash(self.fields_in_common)

    @property
    def fields_in_common(self) -> tuple[str, str, str]:
        """The fields that two equal configurations share, beside their documents: type, name and version."""
        return self.type, self.name, self.cni_version

    @property
    def version(self) -> str:
        """The version of a request for this plugin on its own: the first one when none is given."""
        return self.cni_version or FIRST_VERSION

    @property
    def used_capabilities(self) -> frozenset[str]:
        """The capabilities that the runtime may use."""
        return frozenset(name for name, is_used in self.capabilities.items() if is_used)

    def request(self, name: str, version: str, **inserted: str) -> bytes:
        """Build the document for the plugin's stdin (SPEC 1.1.0, section 3).

        :param name: of the network.
        :param version: of the specification, for the whole list.
        :param inserted: encoded values of ``prevResult`` and ``runtimeConfig``, where there are any.
        """
        return self._request(name, version, inserted)

    def gc_request(self, name: str, version: str, keep: Iterable[GCAttachment]) -> bytes:
        """Build the document for a GC, which lists the attachments to keep."""
        return self._request(name, version, gc_members(keep))

    def _request(self, name: str, version: str, inserted: Mapping[str, str]) -> bytes:
        key = name, version, RUNTIME_CONFIG in inserted
        start = self._starts.get(key)
        if start is None:
            members = [member for member in self._passed_on if member[0] not in inserted]
            start = self._starts[key] = request_start(members, name, version)
        return with_members(start, inserted)

    def runtime_config(self, capability_args: Mapping[str, Any]) -> dict[str, str]:
        """Return the ``runtimeConfig`` member with the arguments that this plugin declares; empty without any."""
        return runtime_config(self.used_capabilities, capability_args) if capability_args else {}


@dataclass(frozen=True)
class NetworkConfigList:
    """A network: a named list of plugins.

    ``cni_version`` is the version that was chosen. ``raw`` is the effective JSON document, drop-in plugins included: it
    is what a later DEL works from, so one that says something else than the other fields, as after
    :func:`dataclasses.replace`, is brought in line with them. ``source`` is the file it came from, which does not count
    in a comparison.

    :param is_effective: ``raw`` is known to say the same as the other fields.
    """

    name: str
    cni_version: str
    plugins: Sequence[PluginConfig]
    raw: bytes = field(repr=False, compare=False)
    disable_check: bool = False
    disable_gc: bool = False
    load_only_inlined_plugins: bool = False
    source: FilePath | None = field(default=None, compare=False)
    is_effective: InitVar[bool] = field(default=False, kw_only=True)

    def __post_init__(self, is_effective: bool) -> None:
        object.__setattr__(self, "plugins", tuple(self.plugins))
        if not is_effective:
            object.__setattr__(self, "raw", effective_network(self._fields()))

    def _fields(self) -> NetworkFields:
        return NetworkFields(
            self.name,
            self.cni_version,
            tuple([PluginFields(p.type, p.name, p.cni_version, p.capabilities, p.raw) for p in self.plugins]),
            self.disable_check,
            self.disable_gc,
            self.load_only_inlined_plugins,
            self.raw,
        )
