"""The options of a container, typed, and their encoding as capability arguments, ``CNI_ARGS`` and ``args``.

Each class checks its values with the model of the capability, from which the published schemas are made as well, so
that a mistake is found where it is written and not in a plugin. Go counterpart: ``go-cni``'s ``NamespaceOpts`` and
``ocicni``'s ``RuntimeConfig``. Source: CONVENTIONS.md, "Dynamic Plugin specific fields", "args in network config" and
"CNI_ARGS".
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeGuard

from libcni.errors import InvalidParameterError
from libcni.jsontext.encode import dump
from libcni.jsontext.frozen import FrozenDict, freeze
from libcni.jsontext.scan import DocumentError
from libcni.protocol.capability_names import ARGUMENT_MODELS
from libcni.protocol.cni_args import check_pairs, format_args
from libcni.protocol.documents.core import ValidationError
from libcni.protocol.documents.core_schemas import validated
from libcni.protocol.documents.problems import first_problem
from libcni.protocol.names import is_text

if TYPE_CHECKING:
    from os import PathLike

    from libcni.jsontext.scan import Path
    from libcni.protocol.addresses import Address, InterfaceAddress

__all__ = [
    "DNS",
    "OF_ONE_INTERFACE",
    "Bandwidth",
    "ContainerOptions",
    "IPRange",
    "Pod",
    "PortMapping",
    "argument_problem",
]

WIRE_NAMES = {
    "host_port": "hostPort",
    "container_port": "containerPort",
    "host_ip": "hostIP",
    "range_start": "rangeStart",
    "range_end": "rangeEnd",
    "ingress_rate": "ingressRate",
    "ingress_burst": "ingressBurst",
    "egress_rate": "egressRate",
    "egress_burst": "egressBurst",
    "port_mappings": "portMappings",
    "ip_ranges": "ipRanges",
    "cgroup_path": "cgroupPath",
    "device_id": "deviceID",
    "infiniband_guid": "infinibandGUID",
}
"""The member on the wire of each field that is spelled otherwise here."""

_FIELD_NAMES = {wire: name for name, wire in WIRE_NAMES.items()}

CAPABILITY_FIELDS = (
    "port_mappings",
    "bandwidth",
    "ip_ranges",
    "ips",
    "mac",
    "dns",
    "aliases",
    "cgroup_path",
    "device_id",
    "infiniband_guid",
)
"""The fields of the options that are capability arguments."""

OF_ONE_INTERFACE = frozenset({"portMappings", "ipRanges", "ips", "mac", "deviceID", "infinibandGUID"})
"""The capabilities that concern one interface: two networks cannot both have the address, or the port of the host."""

DEFAULT_BURST = 2**31 - 1
"""Bits: the burst of a rate that is given without one, as Kubernetes has it; the plugin refuses a rate alone."""


@dataclass(frozen=True)
class PortMapping:
    """A port of the host that leads to a port of the container (capability ``portMappings``).

    :param host_port: port on the host, 1 to 65535; 0 leaves the mapping out.
    :param container_port: port in the container, 1 to 65535.
    :param protocol: ``"tcp"``, ``"udp"`` or ``"sctp"``.
    :param host_ip: address of the host to listen on; empty: all of them.
    :raises InvalidParameterError: if a value is not allowed.
    """

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: str | Address = ""

    def __post_init__(self) -> None:
        _check("portMappings", [_members(self)], "PortMapping", skip=1)


@dataclass(frozen=True)
class Bandwidth:
    """Limits of the traffic (capability ``bandwidth``). Rates are in bits per second, bursts in bits.

    :param ingress_rate: into the container; ``None`` or 0 for no limit.
    :param ingress_burst: left out, that of a rate is :data:`DEFAULT_BURST`.
    :param egress_rate: out of the container.
    :param egress_burst: as ``ingress_burst``.
    :raises InvalidParameterError: if a value is not allowed.
    """

    ingress_rate: int | None = None
    ingress_burst: int | None = None
    egress_rate: int | None = None
    egress_burst: int | None = None

    def __post_init__(self) -> None:
        for rate, burst in (("ingress_rate", "ingress_burst"), ("egress_rate", "egress_burst")):
            if getattr(self, rate) and getattr(self, burst) is None:
                object.__setattr__(self, burst, DEFAULT_BURST)
        _check("bandwidth", _members(self), "Bandwidth")


@dataclass(frozen=True)
class IPRange:
    """A block of addresses and the part of it to give out (capability ``ipRanges``).

    :param subnet: the block, such as ``"10.1.0.0/16"``.
    :param range_start: first address to give out.
    :param range_end: last address to give out.
    :param gateway: gateway of the block.
    :raises InvalidParameterError: if a value is not allowed.
    """

    subnet: str | object
    range_start: str | Address | None = None
    range_end: str | Address | None = None
    gateway: str | Address | None = None

    def __post_init__(self) -> None:
        _check("ipRanges", [[_members(self)]], "IPRange", skip=2)


@dataclass(frozen=True)
class DNS:
    """Name resolution that the runtime chose (capability ``dns``): name servers, search domains, resolver options.

    :raises InvalidParameterError: if a value is not a sequence of texts.
    """

    servers: Sequence[str] = ()
    searches: Sequence[str] = ()
    options: Sequence[str] = ()

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, _texts(f"DNS.{each.name}", getattr(self, each.name)))


@dataclass(frozen=True)
class Pod:
    """The Kubernetes pod that a container is part of; plugins get it in ``CNI_ARGS``, as ``K8S_POD_*``.

    :param infra_container_id: id of the container that holds the namespace; left out, that of the attachment.
    """

    namespace: str
    name: str
    uid: str = ""
    infra_container_id: str = ""

    def __post_init__(self) -> None:
        if not self.namespace or not self.name:
            raise InvalidParameterError("pod", (self.namespace, self.name), "a pod has a namespace and a name")
        format_args(self.args("none"))

    def args(self, container_id: str) -> tuple[tuple[str, str], ...]:
        """Return the pairs of ``CNI_ARGS``. A plugin that knows none of them is told that it may ignore them.

        >>> Pod("default", "web").args("box")[:2]
        (('IgnoreUnknown', '1'), ('K8S_POD_NAMESPACE', 'default'))
        """
        pairs = [
            ("IgnoreUnknown", "1"),
            ("K8S_POD_NAMESPACE", self.namespace),
            ("K8S_POD_NAME", self.name),
            ("K8S_POD_INFRA_CONTAINER_ID", self.infra_container_id or container_id),
        ]
        return (*pairs, ("K8S_POD_UID", self.uid)) if self.uid else tuple(pairs)


@dataclass(frozen=True, kw_only=True)
class ContainerOptions:
    """The options of one container, or of one of its networks.

    :param port_mappings: ports of the host that lead to the container.
    :param bandwidth: limits of the traffic.
    :param ip_ranges: address pools: one address is taken from each inner sequence.
    :param ips: addresses to assign, with or without a prefix length.
    :param mac: hardware address for the interface.
    :param dns: name resolution.
    :param aliases: names that lead to the container.
    :param cgroup_path: control group of the container.
    :param device_id: identifier of a device, such as its PCI address.
    :param infiniband_guid: InfiniBand GUID of eight octets.
    :param labels: go to every plugin as ``args.cni.labels`` of its configuration.
    :param cni_args: go to every plugin as further members of ``args.cni``: names and JSON values.
    :param pod: goes into ``CNI_ARGS``.
    :param args: further pairs of ``CNI_ARGS``, a mapping or pairs.
    :param capability_args: arguments of other capabilities, by capability.
    :param strict: whether an option that no plugin declares is an error; otherwise it is logged as a warning.
    :raises InvalidParameterError: if a value is not allowed; ``name`` is the field, as ``port_mappings[0].host_port``.
    """

    port_mappings: Sequence[PortMapping] = ()
    bandwidth: Bandwidth | None = None
    ip_ranges: Sequence[Sequence[IPRange]] = ()
    ips: Sequence[str | Address | InterfaceAddress] = ()
    mac: str = ""
    dns: DNS | None = None
    aliases: Sequence[str] = ()
    cgroup_path: str | PathLike[str] = ""
    device_id: str = ""
    infiniband_guid: str = ""
    labels: Mapping[str, str] = field(default_factory=FrozenDict)
    cni_args: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)
    pod: Pod | None = None
    args: Mapping[str, str] | Sequence[tuple[str, str]] = field(default=(), repr=False)
    capability_args: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)
    strict: bool = False

    def __post_init__(self) -> None:
        _check_kinds(self)
        put = object.__setattr__
        put(self, "port_mappings", tuple(self.port_mappings))
        put(self, "ip_ranges", tuple([tuple(pool) for pool in self.ip_ranges]))
        put(self, "ips", tuple([str(address) for address in self.ips]))
        put(self, "aliases", _texts("aliases", self.aliases))
        put(self, "cgroup_path", os.fspath(self.cgroup_path))
        put(self, "labels", freeze(dict(self.labels)))
        put(self, "cni_args", freeze(dict(self.cni_args)))
        pairs = self.args.items() if isinstance(self.args, Mapping) else self.args
        put(self, "args", check_pairs("args", pairs))
        put(self, "capability_args", freeze(dict(self.capability_args)))
        format_args(self.args_for("none"))
        for name, value in self.capability_arguments().items():
            _check(name, value)

    def capability_arguments(self) -> dict[str, Any]:
        """Return the arguments of all capabilities, encoded, by capability (CONVENTIONS.md).

        >>> ContainerOptions(port_mappings=[PortMapping(8080, 80)]).capability_arguments()
        {'portMappings': [{'hostPort': 8080, 'containerPort': 80, 'protocol': 'tcp'}]}
        """
        chosen = [(name, value) for name in CAPABILITY_FIELDS if (value := getattr(self, name)) not in (None, "", ())]
        found = {WIRE_NAMES.get(name, name): _encoded(value) for name, value in chosen}
        given = {name: value for name, value in found.items() if value not in (None, "", [])}
        for name, value in self.capability_args.items():
            if given.setdefault(name, value) is not value:
                reason = f"is given as {_FIELD_NAMES.get(name, name)}, too"
                raise InvalidParameterError("capability_args", name, reason)
        return given

    def args_for(self, container_id: str) -> tuple[tuple[str, str], ...]:
        """Return the pairs of ``CNI_ARGS``: those of the pod, then the others, which count where both have a key."""
        pairs = dict(self.pod.args(container_id)) if self.pod is not None else {}
        return tuple((pairs | dict(check_pairs("args", self.args))).items())


def _check_kinds(options: ContainerOptions) -> None:
    """Check what would be taken for something else: a flat list of ranges, a text in place of a sequence."""
    _check_sequences(options)
    _check_mappings(options)
    for name, kind in (("bandwidth", Bandwidth), ("dns", DNS), ("pod", Pod)):
        value = getattr(options, name)
        if value is not None and not isinstance(value, kind):
            raise InvalidParameterError(name, value, f"is no {kind.__name__}")
    for name, value in options.labels.items():
        if not is_text(name) or not is_text(value):
            raise InvalidParameterError("labels", name, "a label is a text, and its value another")
    _check_cni_args(options.cni_args)


def _check_mappings(options: ContainerOptions) -> None:
    for name in ("labels", "cni_args", "capability_args"):
        if not isinstance(getattr(options, name), Mapping):
            raise InvalidParameterError(name, type(getattr(options, name)).__name__, "is no mapping")


def _check_cni_args(members: Mapping[str, Any]) -> None:
    for name, value in members.items():
        if not is_text(name):
            raise InvalidParameterError("cni_args", name, "the name of a member is a text")
        try:
            dump(value)
        except DocumentError as error:
            raise InvalidParameterError("cni_args", name, f"its value is {error.msg}") from None


def _check_sequences(options: ContainerOptions) -> None:
    for name in ("port_mappings", "ip_ranges", "ips"):
        if not _is_sequence(getattr(options, name)):
            raise InvalidParameterError(name, getattr(options, name), "is not a sequence")
    _check_items("port_mappings", options.port_mappings, PortMapping)
    for index, pool in enumerate(options.ip_ranges):
        if not _is_sequence(pool):
            reason = "is not a sequence of ranges: one address is taken from each inner one, as in [[IPRange(…)]]"
            raise InvalidParameterError(f"ip_ranges[{index}]", pool, reason)
        _check_items(f"ip_ranges[{index}]", pool, IPRange)


def _check_items(name: str, items: Sequence[object], kind: type) -> None:
    for index, item in enumerate(items):
        if not isinstance(item, kind):
            raise InvalidParameterError(f"{name}[{index}]", item, f"is no {kind.__name__}")


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _texts(name: str, value: Sequence[str]) -> tuple[str, ...]:
    texts: Sequence[object] = value
    if not _is_sequence(texts):
        raise InvalidParameterError(name, value, "is not a sequence of texts")
    for index, item in enumerate(texts):
        if not is_text(item) or not item:
            raise InvalidParameterError(f"{name}[{index}]", item, "is not a text with something in it")
    return tuple(value)


def _members(item: PortMapping | Bandwidth | IPRange | DNS) -> dict[str, Any]:
    """Return the members of an object on the wire; what is not given is left out."""
    found = {WIRE_NAMES.get(each.name, each.name): _encoded(getattr(item, each.name)) for each in fields(item)}
    return {name: value for name, value in found.items() if value not in (None, "", [])}


def _encoded(value: object) -> object:
    if isinstance(value, PortMapping | Bandwidth | IPRange | DNS):
        return _members(value) or None
    if _is_sequence(value):
        return [_encoded(item) for item in value]
    return value if value is None or isinstance(value, int) else str(value)


def _check(capability: str, value: object, kind: str = "", *, skip: int = 0) -> None:
    """Check an encoded argument with the model of its capability; what has no model may have any form.

    :param kind: name of the class that the value is of, for the message.
    :param skip: how many steps of the path are those of the class' place in the argument.
    """
    problem = argument_problem(capability, value)
    if problem is not None:
        path, message = problem
        place = path[skip:] if kind else (capability, *path)
        raise InvalidParameterError(_place(kind, place), _at(value, path), message)


def argument_problem(capability: str, value: object) -> tuple[Path, str] | None:
    """Return what is wrong with an encoded argument, or ``None``; what has no model may have any form.

    :returns: the path of the member in the argument, and the reason.

    >>> argument_problem("ips", ["10.1.0.5", "10.1.0"])[0]
    (1,)
    """
    model = ARGUMENT_MODELS.get(capability)
    if model is None:
        return None
    try:
        validated(model, value)
    except ValidationError as error:
        problem = first_problem(error)
        return problem.path, problem.message
    return None


def _place(kind: str, path: Sequence[str | int]) -> str:
    """Return the name of a field in Python's spelling.

    >>> _place("", ("portMappings", 0, "hostPort"))
    'port_mappings[0].host_port'
    """
    text = kind
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{_FIELD_NAMES.get(step, step)}"
    return text.lstrip(".")


def _at(value: Any, path: Sequence[str | int]) -> object:  # noqa: ANN401 -- an argument of any form
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
