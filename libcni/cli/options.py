"""Options of an attachment: ports, addresses, bandwidth and other arguments, as a person writes them.

``CNI_ARGS`` and ``CAP_ARGS`` say the same for programs; an option counts where both do. Source: CONVENTIONS.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from libcni.errors import InvalidParameterError
from libcni.jsontext.decode import parse
from libcni.jsontext.scan import DocumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcni.capabilities import Bandwidth, ContainerOptions, PortMapping

__all__ = ["AttachmentOptions", "attachment_options", "check_declared"]

F = TypeVar("F", bound="Callable[..., Any]")

_PORT = r"(?:(?P<ip>\[[0-9A-Fa-f:.]+\]|[0-9.]+):)?(?P<host>[0-9]+):(?P<inside>[0-9]+)(?:/(?P<protocol>\w+))?"
_RATE = r"([0-9]+)([KMG]?)"
_FACTOR = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_RATES = {"ingress": "ingress_rate", "egress": "egress_rate"}

_OPTION_OF = {"portMappings": "--publish", "ips": "--ip", "mac": "--mac", "bandwidth": "--bandwidth"}


class AttachmentOptions(NamedTuple):
    """The options as they were given, before they are checked."""

    publish: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    mac: str | None = None
    bandwidth: str | None = None
    arg: tuple[str, ...] = ()
    capability: tuple[str, ...] = ()

    @classmethod
    def taken_from(cls, values: dict[str, Any]) -> AttachmentOptions:
        """Take the options out of the parameters of a command."""
        return cls(**{name: values.pop(name) for name in cls._fields})

    @property
    def args(self) -> list[tuple[str, str]]:
        """The pairs of ``--arg``."""
        return [_pair("--arg", text, "KEY=VALUE") for text in self.arg]

    def container_options(self, *, args: Mapping[str, str] | None = None) -> ContainerOptions:
        """Return the typed options.

        :param args: the pairs of ``CNI_ARGS``; those of ``--arg`` when left out.
        :raises click.BadParameter: if a text has not the form of its option.
        :raises InvalidParameterError: if a value is not allowed.
        """
        from libcni.capabilities import ContainerOptions  # noqa: PLC0415 -- loaded for those who give options

        return ContainerOptions(
            port_mappings=[_port_mapping(text) for text in self.publish],
            ips=self.ips,
            mac=self.mac or "",
            bandwidth=None if self.bandwidth is None else _bandwidth(self.bandwidth),
            args=dict(self.args) if args is None else args,
            capability_args=dict(_capability(text) for text in self.capability),
        )

    def capability_args(self) -> dict[str, Any]:
        """Return the capability arguments; without an option, none."""
        if self == AttachmentOptions(arg=self.arg):
            return {}
        return self.container_options(args={}).capability_arguments()


def _port_mapping(text: str) -> PortMapping:
    from libcni.capabilities import PortMapping  # noqa: PLC0415 -- as above

    match = re.fullmatch(_PORT, text)
    if match is None:
        raise click.BadParameter(
            f"{text!r} is not [IP:]HOST:CONTAINER[/PROTO], such as 8080:80", param_hint="--publish"
        )
    return PortMapping(
        int(match["host"]),
        int(match["inside"]),
        protocol=match["protocol"] or "tcp",
        host_ip=(match["ip"] or "").strip("[]"),
    )


def _bandwidth(text: str) -> Bandwidth:
    from libcni.capabilities import Bandwidth  # noqa: PLC0415 -- as above

    if "=" not in text:
        return Bandwidth(ingress_rate=_rate(text), egress_rate=_rate(text))
    given: dict[str, int] = {}
    for part in text.split(","):
        direction, _, rate = part.partition("=")
        if direction not in _RATES:
            raise click.BadParameter(f"{direction!r} is not ingress or egress", param_hint="--bandwidth")
        given[_RATES[direction]] = _rate(rate)
    return Bandwidth(**given)


def _rate(text: str) -> int:
    match = re.fullmatch(_RATE, text)
    if match is None:
        raise click.BadParameter(
            f"{text!r} is no number of bits per second, such as 10M; K, M and G are thousands", param_hint="--bandwidth"
        )
    return int(match[1]) * _FACTOR[match[2]]


def _pair(option: str, text: str, form: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        # The value may be a secret: without a name before it, it is all that there is.
        raise click.BadParameter(f"expected {form}", param_hint=option)
    return key, value


def _capability(text: str) -> tuple[str, Any]:
    name, value = _pair("--capability", text, "NAME=JSON")
    try:
        return name, parse(value)
    except DocumentError as error:
        raise click.BadParameter(f"the value of {name} is not JSON: {error}", param_hint="--capability") from None


_OPTIONS = (
    click.option(
        "-p",
        "--publish",
        multiple=True,
        metavar="[IP:]HOST:CONTAINER[/PROTO]",
        help="A port of the host that leads to one of the container; may be repeated.",
    ),
    click.option("--ip", "ips", multiple=True, metavar="ADDRESS", help="An address to take; may be repeated."),
    click.option("--mac", metavar="MAC", help="Hardware address of the interface."),
    click.option(
        "--bandwidth",
        metavar="RATE | ingress=RATE,egress=RATE",
        help="Limit in bits per second, such as 10M.",
    ),
    click.option(
        "--arg",
        multiple=True,
        metavar="KEY=VALUE",
        help="A pair for plugins; may be repeated. [$CNI_ARGS, K=V;K=V]",
    ),
    click.option(
        "--capability",
        multiple=True,
        metavar="NAME=JSON",
        help="Argument of any capability; may be repeated. [$CAP_ARGS, one JSON object]",
    ),
)


def attachment_options(function: F) -> F:
    """Give a command the options of an attachment."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def check_declared(given: Mapping[str, Any], undeclared: list[str], networks: str) -> None:
    """Refuse an option that reaches no plugin.

    :param undeclared: capabilities that no plugin declares.
    :raises InvalidParameterError: with the option, and what the configuration lacks.
    """
    for name in undeclared:
        if name in given:
            lacking = f'"capabilities": {{"{name}": true}} in the configuration of one that can'
            option = _OPTION_OF.get(name, "--capability")
            raise InvalidParameterError(option, name, f"no plugin of {networks} takes it; it needs {lacking}")
