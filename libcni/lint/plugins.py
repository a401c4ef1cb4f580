"""One plugin of a configuration: its schema, its keys, its capabilities, and its place in the chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcni.jsontext.frozen import array_of, is_object, object_of
from libcni.lint.catalog import member_schemas
from libcni.lint.head import add_problems
from libcni.lint.keys import Described, check_keys, check_reserved, check_type_key, similar
from libcni.lint.ranges import check_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from libcni.jsontext.scan import Path
    from libcni.lint.catalog import Catalog, PluginSchema
    from libcni.lint.findings import Source

__all__ = ["PlacedPlugin", "check_chain", "check_plugin", "plugins_of"]

_NEEDS_CAPABILITY = {"portmap": "portMappings"}
"""Plugins that do nothing without the argument of a capability."""
_SURE_TYPE = 0.85


@dataclass(frozen=True, slots=True)
class PlacedPlugin:
    """A plugin object, and its path in the document."""

    source: Source
    path: Path
    data: Mapping[str, Any]

    @property
    def type(self) -> str:
        """The type, or ``""``."""
        return _text(self.data.get("type"))

    @property
    def ipam(self) -> Mapping[str, Any]:
        """The part that belongs to the IPAM plugin."""
        return object_of(self.data.get("ipam"))

    @property
    def ipam_type(self) -> str:
        """The type of the IPAM plugin, or ``""``."""
        return _text(self.ipam.get("type"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def plugins_of(source: Source) -> Iterator[PlacedPlugin]:
    """Yield every plugin object of a list."""
    for index, plugin in enumerate(array_of(object_of(source.document).get("plugins"))):
        if is_object(plugin):
            yield PlacedPlugin(source, ("plugins", index), plugin)


def check_plugin(plugin: PlacedPlugin, catalog: Catalog) -> None:
    """Check one plugin object on its own."""
    check_reserved(plugin.source, plugin.path, plugin.data)
    _check_types(plugin, catalog)
    known = catalog.find(plugin.type, is_ipam=False)
    ipam = catalog.find(plugin.ipam_type, is_ipam=True)
    ipam_path = (*plugin.path, "ipam")
    if known is not None:
        found = known.checker.problems(plugin.data)
        add_problems(plugin.source, plugin.path, plugin.data, problems=found)
        described = Described(known.document, known.document, f"{known.type} plugin")
        check_keys(plugin.source, plugin.path, plugin.data, described=[described])
    if ipam is not None:
        found = ipam.checker.problems(plugin.ipam)
        add_problems(plugin.source, ipam_path, plugin.ipam, problems=found)
    check_type_key(plugin.source, ipam_path, plugin.ipam)
    if ipam is not None or not plugin.ipam_type:
        check_keys(plugin.source, ipam_path, plugin.ipam, described=_describing_ipam(known, ipam))
    check_blocks(plugin.source, ipam_path, plugin.ipam)
    _check_capabilities(plugin, catalog)


def _describing_ipam(known: PluginSchema | None, ipam: PluginSchema | None) -> list[Described]:
    described: list[Described] = []
    if ipam is not None:
        described.append(Described(ipam.document, ipam.document, f"{ipam.type} IPAM plugin"))
    if known is not None:
        part = member_schemas(known.document, known.document).get("ipam", {})
        # Most schemas name only the type there, and leave the rest to the IPAM plugin.
        if ipam is not None or set(member_schemas(known.document, part)) > {"type"}:
            described.append(Described(known.document, part, f"{known.type} plugin"))
    return described


def _check_types(plugin: PlacedPlugin, catalog: Catalog) -> None:
    """Check that plugin and IPAM plugin are of a known type, and of the right kind."""
    for path, name, is_ipam in (
        ((*plugin.path, "type"), plugin.type, False),
        ((*plugin.path, "ipam", "type"), plugin.ipam_type, True),
    ):
        known = catalog.any(name)
        if known is not None and known.is_ipam != is_ipam:
            kind = "an IPAM plugin" if known.is_ipam else "not an IPAM plugin"
            hint = (
                "it belongs under 'ipam'" if known.is_ipam else "IPAM plugins are host-local, static, dhcp and others"
            )
            plugin.source.report("CNI405", path, f"{name!r} is {kind}", hint=hint)
        elif known is None and name and (meant := similar(name, catalog.types, _SURE_TYPE)):
            plugin.source.report("CNI406", path, f"{name!r} is no known plugin", hint=f"did you mean {meant!r}?")


def _check_capabilities(plugin: PlacedPlugin, catalog: Catalog) -> None:
    declared = object_of(plugin.data.get("capabilities"))
    for name, wanted in declared.items():
        if name not in catalog.capabilities:
            _report_unknown_capability(plugin, name, catalog)
        elif wanted is not False:
            _check_capability(plugin, name, catalog)
    needed = _NEEDS_CAPABILITY.get(plugin.type)
    if needed is not None and declared.get(needed) is not True:
        message = f"the {plugin.type} plugin does nothing without the capability {needed!r}"
        plugin.source.report("CNI404", plugin.path, message, hint=f'add "capabilities": {{"{needed}": true}}')


def _report_unknown_capability(plugin: PlacedPlugin, name: str, catalog: Catalog) -> None:
    meant = similar(name, catalog.capabilities)
    # A plugin without a schema may have capabilities of its own.
    if meant or catalog.any(plugin.type) is not None:
        hint = f"did you mean {meant!r}?" if meant else f"known are {', '.join(sorted(catalog.capabilities))}"
        message = f"{name!r} is no known capability: no runtime passes it"
        plugin.source.report("CNI402", (*plugin.path, "capabilities", name), message, hint=hint, at_key=True)


def _check_capability(plugin: PlacedPlugin, name: str, catalog: Catalog) -> None:
    known = catalog.find(plugin.type, is_ipam=False)
    ipam = catalog.find(plugin.ipam_type, is_ipam=True)
    if known is None or (ipam is None and plugin.ipam_type):
        return
    able = known.capabilities | (ipam.capabilities if ipam is not None else set[str]())
    if name not in able:
        message = f"the {plugin.type} plugin does not take the capability {name!r}"
        hint = f"it takes {', '.join(sorted(able))}" if able else "it takes none"
        plugin.source.report("CNI403", (*plugin.path, "capabilities", name), message, hint=hint, at_key=True)


def check_chain(chain: Sequence[PlacedPlugin], catalog: Catalog) -> None:
    """Check the order of the plugins of one network, drop-ins at the end."""
    known = catalog.any(chain[0].type) if chain else None
    if known is not None and known.is_chained_only:
        message = f"{known.type!r} changes what an earlier plugin made, and stands first"
        hint = "put it behind the plugin that makes the interface"
        chain[0].source.report("CNI401", (*chain[0].path, "type"), message, hint=hint)
