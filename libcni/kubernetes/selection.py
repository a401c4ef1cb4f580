"""The networks that a pod selects, checked, and the names of their interfaces.

Go counterpart: ``NetworkSelectionElement``. Source: the multi-network convention, sections 3.3 and 4.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from libcni.capabilities import Bandwidth, ContainerOptions, PortMapping
from libcni.errors import InvalidParameterError
from libcni.jsontext.frozen import FrozenDict, freeze
from libcni.protocol.addresses import Address, InterfaceAddress, parse_address
from libcni.protocol.names import interface_name_problem, is_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "NETWORKS_ANNOTATION",
    "NETWORK_STATUS_ANNOTATION",
    "RESOURCE_NAME_ANNOTATION",
    "NetworkSelection",
    "name_problem",
    "namespace_problem",
    "second_of_an_interface",
    "with_interface_names",
]

NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks"
"""Annotation of a pod: the networks that it selects."""

NETWORK_STATUS_ANNOTATION = "k8s.v1.cni.cncf.io/network-status"
"""Annotation of a pod: its interfaces and addresses, as a JSON list."""

RESOURCE_NAME_ANNOTATION = "k8s.v1.cni.cncf.io/resourceName"
"""Annotation of a definition: the resource that a device for the network is taken from."""

INTERFACE_PREFIX = "net"

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_NAMESPACE_RULE = "must be lower case letters, digits and '-', with a letter or digit at both ends"
_NAMESPACE_LENGTH = 63
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NAME_RULE = "must be lower case letters, digits, '-' and '.', with a letter or digit at both ends of each part"
_NAME_LENGTH = 253


def namespace_problem(namespace: str) -> str | None:
    """Return why a text cannot be the name of a namespace, or ``None``.

    >>> namespace_problem("kube-system")
    >>> namespace_problem("Kube")
    "must be lower case letters, digits and '-', with a letter or digit at both ends"
    """
    return _length_problem(namespace, _NAMESPACE_LENGTH) or (
        None if _NAMESPACE.fullmatch(namespace) else _NAMESPACE_RULE
    )


def name_problem(name: str) -> str | None:
    """Return why a text cannot be the name of a NetworkAttachmentDefinition, or ``None``.

    >>> name_problem("macvlan-conf.east")
    """
    return _length_problem(name, _NAME_LENGTH) or (None if _NAME.fullmatch(name) else _NAME_RULE)


def _length_problem(text: str, limit: int) -> str | None:
    if not text:
        return "must not be empty"
    return f"has {len(text)} characters; at most {limit} are allowed" if len(text) > limit else None


@dataclass(frozen=True)
class NetworkSelection:
    """A network that a pod selects, and what it asks of it.

    :param name: of the NetworkAttachmentDefinition.
    :param namespace: of the NetworkAttachmentDefinition.
    :param interface: name for the interface; empty: one is chosen, see :func:`with_interface_names`.
    :param ips: addresses for the interface, with or without a prefix length.
    :param mac: hardware address of six octets, or of twenty for IP over InfiniBand.
    :param infiniband_guid: InfiniBand GUID of eight octets.
    :param port_mappings: ports of the host that lead to the pod.
    :param bandwidth: limits of the traffic.
    :param cni_args: members for ``args.cni`` of each plugin.
    :param device_id: identifier of a device, such as its PCI address (an addition of Multus).
    :param default_route: gateways of the pod's default routes, which are to lead through this network.
    :param ipam_claim_reference: name of the object that holds the addresses.
    :param extra: members that others have added; their names have a period.
    :raises InvalidParameterError: if a value is not allowed; ``name`` is the field.

    >>> str(NetworkSelection("macvlan-conf", "default", interface="net1"))
    'default/macvlan-conf@net1'
    """

    name: str
    namespace: str
    _: KW_ONLY
    interface: str = ""
    ips: Sequence[str | Address | InterfaceAddress] = ()
    mac: str = ""
    infiniband_guid: str = ""
    port_mappings: Sequence[PortMapping] = ()
    bandwidth: Bandwidth | None = None
    cni_args: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)
    device_id: str = ""
    default_route: Sequence[str | Address] = ()
    ipam_claim_reference: str = ""
    extra: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)

    def __post_init__(self) -> None:
        for name, problem_of in _PROBLEMS.items():
            value = getattr(self, name)
            problem = problem_of(value) if is_text(value) else "is no text"
            if problem is not None and not (name == "interface" and value == ""):
                raise InvalidParameterError(name, value, problem)
        put = object.__setattr__
        options = self.options()
        put(self, "ips", options.ips)
        put(self, "port_mappings", options.port_mappings)
        put(self, "cni_args", freeze(dict(self.cni_args)))
        put(self, "default_route", tuple(_gateways(self.default_route)))
        put(self, "extra", freeze(dict(self.extra)))

    def __str__(self) -> str:
        return f"{self.reference}@{self.interface}" if self.interface else self.reference

    @property
    def reference(self) -> str:
        """The definition as a text: namespace, ``/`` and name."""
        return f"{self.namespace}/{self.name}"

    def options(self, *, strict: bool = False) -> ContainerOptions:
        """Return the options for the network alone.

        ``ips`` and ``mac`` go to plugins that declare the capability, and into ``args.cni`` as well: the convention
        requires it, and some plugins read nothing else.

        :param strict: whether an option that no plugin declares is an error.
        """
        requested = {"ips": [str(address) for address in self.ips], "mac": self.mac}
        return ContainerOptions(
            port_mappings=self.port_mappings,
            bandwidth=self.bandwidth,
            ips=self.ips,
            mac=self.mac,
            device_id=self.device_id,
            infiniband_guid=self.infiniband_guid,
            cni_args={**self.cni_args, **{name: value for name, value in requested.items() if value}},
            strict=strict,
        )


_PROBLEMS = {"name": name_problem, "namespace": namespace_problem, "interface": interface_name_problem}


def _gateways(addresses: Iterable[str | Address]) -> Iterable[Address]:
    for index, address in enumerate(addresses):
        try:
            yield parse_address(str(address))
        except ValueError as error:
            raise InvalidParameterError(f"default_route[{index}]", address, str(error)) from None


def with_interface_names(selections: Sequence[NetworkSelection]) -> list[NetworkSelection]:
    """Return the selections, each with the name of its interface: the one that it asks for, else ``net1``, ``net2``, ….

    The number is the place in the list, counted from 1. Where another selection asks for that name, it is the next free
    number behind the list. What this returns is not changed by a second call.

    :raises InvalidParameterError: if two selections ask for one name.

    >>> found = with_interface_names([NetworkSelection("a", "x", interface="north"), NetworkSelection("a", "x")])
    >>> [each.interface for each in found]
    ['north', 'net2']
    """
    second = second_of_an_interface(selections)
    if second is not None:
        index, first = second
        name = selections[index].interface
        raise InvalidParameterError(f"selections[{index}].interface", name, f"selections[{first}] asks for it, too")
    used = {selection.interface for selection in selections}
    spare = itertools.count(len(selections) + 1)
    named: list[NetworkSelection] = []
    for number, selection in enumerate(selections, 1):
        names = (f"{INTERFACE_PREFIX}{each}" for each in itertools.chain([number], spare))
        chosen = selection.interface or next(name for name in names if name not in used)
        named.append(replace(selection, interface=chosen))
    return named


def second_of_an_interface(selections: Sequence[NetworkSelection]) -> tuple[int, int] | None:
    """Return the index of the selection that asks for the interface of one before it, and the index of that one."""
    first: dict[str, int] = {}
    for index, selection in enumerate(selections):
        if selection.interface and first.setdefault(selection.interface, index) != index:
            return index, first[selection.interface]
    return None
