"""One plugin of a configuration: its schema, its keys, its capabilities, its delegates, and its place in the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.jsontext.frozen import array_of, is_array, is_object, object_of
from libcni.lint.head import add_problems
from libcni.lint.keys import check_keys, check_misplaced, check_reserved, check_type_key, similar
from libcni.lint.options import check_ipam, check_options, needs_gateway
from libcni.lint.placed import describing_ipam, plugin_at
from libcni.lint.ranges import blocks_of, check_blocks
from libcni.protocol.versions import is_at_least

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcni.lint.catalog import Catalog
    from libcni.lint.placed import PlacedPlugin

__all__ = ["check_addresses", "check_chain", "check_plugin", "check_since"]

_NEEDS_CAPABILITY: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "portmap": ("portMappings", ()),
    "bandwidth": ("bandwidth", ("ingressRate", "egressRate", "ingressBurst", "egressBurst")),
}
"""Plugins that do nothing without the argument of a capability, and the keys that stand in for it."""
_SURE_TYPE = 0.85
_HOST_LOCAL = "host-local"
_ONE_OF_A_FAMILY = (_HOST_LOCAL, "static")
"""IPAM plugins that refuse to give more addresses where results have no more."""
_MANY_SINCE = "0.3.0"


def check_plugin(plugin: PlacedPlugin, catalog: Catalog) -> None:
    """Check one plugin object on its own, and the plugins that it calls."""
    check_reserved(plugin.source, plugin.path, plugin.written)
    _check_types(plugin, catalog)
    _check_members(plugin, catalog)
    _check_ipam(plugin)
    _check_capabilities(plugin, catalog)
    if plugin.known is not None:
        check_options(plugin)
        for key, given in plugin.known.delegates.items():
            _check_delegates(plugin, key, given, catalog=catalog)


def _check_members(plugin: PlacedPlugin, catalog: Catalog) -> None:
    known = plugin.known
    if known is None:
        return
    source, path = plugin.source, plugin.path
    add_problems(source, path, plugin.data, problems=known.checker.problems(plugin.data))
    owner = plugin.ipam_known or catalog.find(_HOST_LOCAL, is_ipam=True)
    besides = frozenset(known.delegates)
    if owner is not None and "ipam" in known.described.members:
        besides |= check_misplaced(source, path, plugin.written, known=known.described, ipam=owner.described)
    if not known.is_open:
        check_keys(source, path, plugin.written, described=(known.described,), besides=besides)


def _check_ipam(plugin: PlacedPlugin) -> None:
    source, path, ipam = plugin.source, (*plugin.path, "ipam"), plugin.ipam_known
    written = object_of(plugin.written.get("ipam"))
    if ipam is not None and plugin.ipam_type:
        add_problems(source, path, plugin.ipam, problems=ipam.checker.problems(plugin.ipam))
    check_type_key(source, path, written)
    if ipam is not None or not plugin.ipam_type:
        check_keys(source, path, written, described=describing_ipam(plugin.known, ipam))
    check_ipam(plugin)
    check_blocks(source, path, plugin.ipam, needs_gateway=needs_gateway(plugin))


def _check_types(plugin: PlacedPlugin, catalog: Catalog) -> None:
    """Check that plugin and IPAM plugin are of a known type, and of the right kind."""
    for path, name, is_ipam in (
        ((*plugin.path, "type"), plugin.type, False),
        ((*plugin.path, "ipam", "type"), plugin.ipam_type, True),
    ):
        known = catalog.any(name)
        if known is not None and known.is_ipam != is_ipam and catalog.find(name, is_ipam=is_ipam) is None:
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
            _check_capability(plugin, name)
    needed, instead = _NEEDS_CAPABILITY.get(plugin.type, ("", ()))
    is_there = declared.get(needed) is True or needed in object_of(plugin.data.get("runtimeConfig"))
    if needed and not is_there and not any(plugin.data.get(key) for key in instead):
        keys = "".join(f" or {key!r}" for key in instead if key.endswith("Rate"))
        message = f"the {plugin.type} plugin does nothing without the capability {needed!r}{keys}"
        plugin.source.report("CNI404", plugin.path, message, hint=f'add "capabilities": {{"{needed}": true}}')


def _report_unknown_capability(plugin: PlacedPlugin, name: str, catalog: Catalog) -> None:
    meant = similar(name, catalog.capabilities)
    # A plugin without a schema may have capabilities of its own.
    if meant or plugin.known is not None:
        hint = f"did you mean {meant!r}?" if meant else f"known are {', '.join(sorted(catalog.capabilities))}"
        message = f"{name!r} is no known capability: no runtime passes it"
        plugin.source.report("CNI402", (*plugin.path, "capabilities", name), message, hint=hint, at_key=True)


def _check_capability(plugin: PlacedPlugin, name: str) -> None:
    known, ipam = plugin.known, plugin.ipam_known
    if known is None or (ipam is None and plugin.ipam_type):
        return
    able = known.capabilities | (ipam.capabilities if ipam is not None else set[str]())
    if name not in able:
        message = f"the {plugin.type} plugin does not take the capability {name!r}"
        hint = f"it takes {', '.join(sorted(able))}" if able else "it takes none"
        plugin.source.report("CNI403", (*plugin.path, "capabilities", name), message, hint=hint, at_key=True)


def _check_delegates(plugin: PlacedPlugin, key: str, given: Mapping[str, Any], *, catalog: Catalog) -> None:
    """Check the plugins that a plugin calls, each as the plugin that it is, or as a list of plugins."""
    value = plugin.written.get(key)
    at = (*plugin.path, key)
    items = [((*at, index), item) for index, item in enumerate(array_of(value))] if is_array(value) else [(at, value)]
    for path, item in items:
        members = object_of(item)
        inner = array_of(members.get("plugins"))
        placed = [((*path, "plugins", index), one) for index, one in enumerate(inner)] or [(path, members)]
        chain = [
            plugin_at(plugin.source, path, object_of(one), catalog=catalog, given=given)
            for path, one in placed
            if is_object(one) and one
        ]
        for one in chain:
            check_plugin(one, catalog)
        check_chain(chain, catalog)


def check_addresses(plugin: PlacedPlugin, version: str) -> None:
    """Check that a network of a version whose results have one address of each family asks for no more."""
    if plugin.ipam_type not in _ONE_OF_A_FAMILY or not version or is_at_least(version, _MANY_SINCE):
        return
    groups: dict[int, object] = {}
    for block in blocks_of(plugin.ipam, (*plugin.path, "ipam")):
        family = block.subnet.version
        if groups.setdefault(family, block.group) != block.group:
            message = f"a network of version {version} gives one IPv{family} address, and this is for another"
            hint = "name a later cniVersion, or remove it"
            plugin.source.report("CNI339", block.path_of(block.keys.subnet), message, hint=hint)


def check_since(plugin: PlacedPlugin, version: str) -> None:
    """Check that a plugin takes the version of its network, as far as its schema says."""
    known = plugin.known
    if known is not None and known.since and version and not is_at_least(version, known.since):
        message = f"the {known.type} plugin takes versions from {known.since} on, and the network is of {version}"
        plugin.source.report("CNI414", (*plugin.path, "type"), message, hint="name a later cniVersion")


def check_chain(chain: Sequence[PlacedPlugin], catalog: Catalog) -> None:
    """Check the order of the plugins of one network, drop-ins at the end."""
    known = catalog.any(chain[0].type) if chain else None
    if known is not None and known.is_chained_only:
        message = f"{known.type!r} changes what an earlier plugin made, and stands first"
        hint = "put it behind the plugin that makes the interface"
        chain[0].source.report("CNI401", (*chain[0].path, "type"), message, hint=hint)
