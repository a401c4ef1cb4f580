"""The networks that a container joins: interface names, and the options that go to each network.

Pure: what is decided here is decided before any plugin runs. Source: SPEC 1.1.0, section 2, "Parameters", and
CONVENTIONS.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from libcni.capabilities import OF_ONE_INTERFACE, ContainerOptions
from libcni.config.model import NetworkConfigList
from libcni.config.parse import inject_conf, with_plugins
from libcni.errors import AttachmentExistsError, InvalidParameterError
from libcni.jsontext.frozen import object_of, thaw
from libcni.log import Log
from libcni.protocol.attachment import RuntimeConf
from libcni.protocol.names import check_interface_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from libcni.protocol.attachment import AttachmentKey

__all__ = ["Join", "PlannedAttachment", "choose_interface_names", "joins_of", "plan_attachments"]

_log = Log("libcni.networks")

INTERFACE_PREFIX = "eth"
_NO_OPTIONS = ContainerOptions()


@dataclass(frozen=True)
class Join:
    """One network that a container joins.

    :param network: name of a network of the configuration directory, or a configuration from elsewhere.
    :param ifname: name of the interface in the container; left out, the next free one: ``eth0``, ``eth1``, …
    :param options: for this network alone; they count where those of the container say something else.
    :raises InvalidParameterError: if one of them is of another type.
    """

    network: str | NetworkConfigList
    ifname: str | None = None
    options: ContainerOptions | None = None

    def __post_init__(self) -> None:
        kinds = {"network": str | NetworkConfigList, "ifname": str | None, "options": ContainerOptions | None}
        for field, kind in kinds.items():
            value = getattr(self, field)
            if not isinstance(value, kind):
                raise InvalidParameterError(field, value, f"is of type {type(value).__name__}")

    @property
    def name(self) -> str:
        """The name of the network."""
        return self.network if isinstance(self.network, str) else self.network.name


def joins_of(networks: Sequence[str | Join]) -> list[Join]:
    """Return the joins that a caller wants.

    :raises InvalidParameterError: if there is none, or something else stands among them.
    """
    if isinstance(networks, str | bytes):
        raise InvalidParameterError("networks", networks, "is one text: the names stand in a sequence, as in ['a']")
    joins = [network if isinstance(network, Join) else Join(network) for network in networks]
    if not joins:
        raise InvalidParameterError("networks", networks, "there is no network to join")
    return joins


@dataclass(frozen=True)
class PlannedAttachment:
    """One ADD that is to run: the configuration with the ``args`` of the container, and the parameters."""

    network: NetworkConfigList
    rt: RuntimeConf

    @property
    def key(self) -> AttachmentKey:
        """The three names of the attachment."""
        return self.rt.check(self.network.name)


def plan_attachments(
    joins: Sequence[Join],
    find: Callable[[str], NetworkConfigList],
    *,
    container_id: str,
    netns: str,
    options: ContainerOptions | None,
    taken: Mapping[str, str],
) -> list[PlannedAttachment]:
    """Return the attachments of a container, in the order given.

    :param find: returns the network of a name, or raises.
    :param taken: the interface names that the container has, each with its network.
    :raises AttachmentExistsError: if a name that was asked for is one of those.
    :raises InvalidParameterError: if two joins ask for one interface name, or a strict option reaches no plugin.
    """
    names = choose_interface_names([join.ifname for join in joins], taken)
    for name in names:
        if name in taken:
            raise AttachmentExistsError(taken[name], container_id, name)
    networks = [find(join.network) if isinstance(join.network, str) else join.network for join in joins]
    shared = _arguments_by_network(networks, options or _NO_OPTIONS, [join.options for join in joins])
    planned: list[PlannedAttachment] = []
    for join, network, name, arguments in zip(joins, networks, names, shared, strict=True):
        chosen = _merged(options or _NO_OPTIONS, join.options)
        rt = RuntimeConf(container_id, netns, name, chosen.args_for(container_id), arguments)
        rt.check(network.name)
        planned.append(PlannedAttachment(_with_args(network, chosen), rt))
    return planned


def choose_interface_names(wanted: Sequence[str | None], taken: Iterable[str]) -> list[str]:
    """Return a name for each interface: the one that is asked for, else the next free of ``eth0``, ``eth1``, ….

    :raises InvalidParameterError: if a name is not allowed, or is asked for twice.

    >>> choose_interface_names([None, "net1", None], ["eth0"])
    ['eth1', 'net1', 'eth2']
    """
    asked: set[str] = set()
    for name in wanted:
        if name is None:
            continue
        check_interface_name(name)
        if name in asked:
            raise InvalidParameterError("ifname", name, "is asked for by two networks")
        asked.add(name)
    used = asked | set(taken)
    chosen: list[str] = []
    for name in wanted:
        if name is None:
            name = _next_free(used)  # noqa: PLW2901 -- from here on it is the chosen one
            used.add(name)
        chosen.append(name)
    return chosen


def _next_free(used: set[str]) -> str:
    number = 0
    while f"{INTERFACE_PREFIX}{number}" in used:
        number += 1
    return f"{INTERFACE_PREFIX}{number}"


def _arguments_by_network(
    networks: Sequence[NetworkConfigList], shared: ContainerOptions, own: Sequence[ContainerOptions | None]
) -> list[dict[str, Any]]:
    """Return the capability arguments of each network: its own, and those of the container that a plugin declares.

    What concerns one interface goes to the first network that declares it.
    """
    unused = shared.capability_arguments()
    given = dict(unused)
    found: list[dict[str, Any]] = []
    for network, options in zip(networks, own, strict=True):
        declared = {name for plugin in network.plugins for name in plugin.used_capabilities}
        arguments = {name: value for name, value in given.items() if name in declared}
        for name in arguments:
            unused.pop(name, None)
            if name in OF_ONE_INTERFACE:
                del given[name]
        if options is not None:
            mine = options.capability_arguments()
            _report(_undeclared(mine, declared, options), [network], is_strict=options.strict)
            arguments |= {name: value for name, value in mine.items() if name in declared}
        found.append(arguments)
    _report(_undeclared(unused, (), shared), networks, is_strict=shared.strict)
    return found


def _undeclared(arguments: Iterable[str], declared: Collection[str], options: ContainerOptions) -> list[str]:
    """Return the options that no plugin declares; what is in ``args.cni`` as well reaches the plugins that way."""
    missing = [name for name in arguments if name not in declared]
    return missing if options.strict else [name for name in missing if name not in options.cni_args]


def _report(undeclared: Sequence[str], networks: Sequence[NetworkConfigList], *, is_strict: bool) -> None:
    """Report the options that no plugin declares; their values may be secret, and are left out.

    :raises InvalidParameterError: if that is an error.
    """
    where = ", ".join(network.name for network in networks)
    for name in undeclared:
        reason = f"no plugin declares the capability {name!r} (network {where})"
        if is_strict:
            raise InvalidParameterError("options", name, reason)
        _log.warning("an option is not used: %s", reason)


def _merged(shared: ContainerOptions, own: ContainerOptions | None) -> ContainerOptions:
    """Return the options that are no capabilities: those of the network count where both say something."""
    if own is None:
        return shared
    return replace(
        _NO_OPTIONS,
        labels={**shared.labels, **own.labels},
        cni_args={**shared.cni_args, **own.cni_args},
        pod=own.pod or shared.pod,
        args={**_as_mapping(shared), **_as_mapping(own)},
    )


def _as_mapping(options: ContainerOptions) -> dict[str, str]:
    return dict(options.args)


def _with_args(network: NetworkConfigList, options: ContainerOptions) -> NetworkConfigList:
    """Return the network with labels and further members in every plugin's ``args.cni``."""
    added = dict(options.cni_args)
    if options.labels:
        added["labels"] = [{"key": key, "value": value} for key, value in options.labels.items()]
    if not added:
        return network
    plugins: list[Any] = []
    for plugin in network.plugins:
        args = thaw(object_of(plugin.data.get("args")))
        args["cni"] = {**object_of(args.get("cni")), **added}
        plugins.append(inject_conf(plugin, {"args": args}))
    return with_plugins(network, plugins)
