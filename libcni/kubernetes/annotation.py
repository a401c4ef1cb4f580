"""The annotation with which a pod selects networks, in both of its forms.

Go counterpart: ``ParseNetworkAnnotation``, which ignores members that it does not know. Source: the multi-network
convention, section 4.1.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from libcni.capabilities import Bandwidth, PortMapping, argument_problem
from libcni.config.fields import error_at
from libcni.errors import ConfigError, InvalidParameterError
from libcni.jsontext.decode import parse
from libcni.jsontext.frozen import is_array, is_object
from libcni.jsontext.scan import DocumentError, format_path, kind_of
from libcni.kubernetes.selection import NetworkSelection, name_problem, namespace_problem, second_of_an_interface
from libcni.protocol.addresses import parse_address
from libcni.protocol.names import interface_name_problem, is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from libcni.jsontext.scan import Path

__all__ = ["parse_networks_annotation"]

# None of them can be in the other form, so that a JSON text that begins wrongly is reported as JSON.
_IN_JSON = re.compile(r'[\[{"]')
_NAMED = re.compile(r"(?:(?P<namespace>[^/@]*)/)?(?P<name>[^/@]*)(?:@(?P<interface>[^/@]*))?")


class _MistakeError(Exception):
    """A mistake in one selection: the path of the member, and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


def parse_networks_annotation(text: str, namespace: str) -> list[NetworkSelection]:
    """Decode the annotation ``k8s.v1.cni.cncf.io/networks``.

    :param text: names with commas between them, each ``[namespace/]name[@interface]``, or a JSON list of objects.
    :param namespace: of the pod, for what names none.
    :returns: the selections in their order; none for an empty text.
    :raises ConfigError: if the text is not one of both, or a value is not allowed; ``field`` is the place, such as
        ``[1].interface``. A member that is not known is an error, unless its name has a period.
    :raises InvalidParameterError: if ``namespace`` cannot be the name of a namespace, or ``text`` is no text.

    >>> [str(each) for each in parse_networks_annotation("net-a, other/net-b@north", "default")]
    ['default/net-a', 'other/net-b@north']
    """
    if not is_text(text):
        raise InvalidParameterError("text", text, "is no text")
    problem = namespace_problem(namespace) if is_text(namespace) else "is no text"
    if problem is not None:
        raise InvalidParameterError("namespace", namespace, problem)
    selections = _from_json(text, namespace) if _IN_JSON.search(text) else _from_names(text, namespace)
    second = second_of_an_interface(selections)
    if second is not None:
        index, first = second
        reason = f"{selections[index].interface!r} is asked for by [{first}], too"
        raise ConfigError(reason, field=f"[{index}].interface")
    return selections


def _from_names(text: str, namespace: str) -> list[NetworkSelection]:
    """Decode the form with commas."""
    selections: list[NetworkSelection] = []
    for index, item in enumerate(text.split(",") if text.strip() else []):
        match = _NAMED.fullmatch(item.strip())
        if match is None:
            raise ConfigError(f"{item.strip()!r} is not of the form [namespace/]name[@interface]", field=f"[{index}]")
        given = {name: value.strip() for name, value in match.groupdict().items() if value is not None}
        for name, value in given.items():
            problem = _PROBLEMS[name](value)
            if problem is not None:
                raise ConfigError(_quoted(value, problem), field=f"[{index}].{name}")
        interface = given.get("interface", "")
        selections.append(NetworkSelection(given["name"], given.get("namespace", namespace), interface=interface))
    return selections


def _from_json(text: str, namespace: str) -> list[NetworkSelection]:
    """Decode the form of a JSON list."""
    try:
        items = parse(text)
    except DocumentError as error:
        place = format_path(error.path)
        raise ConfigError(error.msg, field=place, line=error.line, column=error.column) from None
    if not is_array(items):
        raise error_at(text, (), f"expected an array of objects, found {kind_of(items)}", source=None)
    selections: list[NetworkSelection] = []
    for index, item in enumerate(items):
        try:
            selections.append(_selection(item, namespace))
        except _MistakeError as mistake:
            raise error_at(text, (index, *mistake.path), mistake.reason, source=None) from None
    return selections


def _selection(item: object, namespace: str) -> NetworkSelection:
    if not is_object(item):
        raise _MistakeError((), f"expected an object, found {kind_of(item)}")
    extra = {key: value for key, value in item.items() if "." in key}
    _check_members(item, {*_MEMBERS, *extra}, "members that others add have a period in their name")
    given: dict[str, Any] = {"namespace": namespace}
    for key, (name, read) in _MEMBERS.items():
        value = item.get(key)
        if value is None or (value == "" and key in _TEXTS):
            continue
        try:
            given[name] = read(value)
        except _MistakeError as mistake:
            raise _MistakeError((key, *mistake.path), mistake.reason) from None
    if "name" not in given:
        raise _MistakeError(("name",), "is required")
    return NetworkSelection(**given, extra=extra)


def _check_members(item: Mapping[str, object], known: Collection[str], note: str = "") -> None:
    for key in item:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else note
            reason = f"{key!r} is not a member that the convention knows"
            raise _MistakeError((key,), f"{reason}; {hint}" if hint else reason)


def _quoted(value: str, problem: str) -> str:
    return f"{value[:100]!r} {problem}" if value else problem


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _MistakeError((), f"expected a string, found {kind_of(value)}")
    return value


def _name_by(problem_of: Callable[[str], str | None]) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = _text(value)
        problem = problem_of(text)
        if problem is not None:
            raise _MistakeError((), _quoted(text, problem))
        return text

    return read


def _argument(capability: str) -> Callable[[object], Any]:
    def read(value: object) -> Any:  # noqa: ANN401 -- the argument's own form
        problem = argument_problem(capability, value)
        if problem is not None:
            raise _MistakeError(*problem)
        return value

    return read


def _ips(value: object) -> list[str]:
    addresses: list[str] = _argument("ips")(value)
    if not addresses:
        raise _MistakeError((), "must not be empty")
    return addresses


def _port_mappings(value: object) -> list[PortMapping]:
    return [_port_mapping(index, item) for index, item in enumerate(_argument("portMappings")(value))]


def _port_mapping(index: int, item: Mapping[str, Any]) -> PortMapping:
    try:
        _check_members(item, ("hostPort", "containerPort", "protocol", "hostIP"))
    except _MistakeError as mistake:
        raise _MistakeError((index, *mistake.path), mistake.reason) from None
    return PortMapping(
        item["hostPort"], item["containerPort"], item.get("protocol") or "tcp", host_ip=item.get("hostIP") or ""
    )


def _bandwidth(value: object) -> Bandwidth:
    item = _argument("bandwidth")(value)
    names = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
    _check_members(item, names)
    return Bandwidth(*[item.get(name) for name in names])


def _object(value: object) -> dict[str, Any]:
    if not is_object(value):
        raise _MistakeError((), f"expected an object, found {kind_of(value)}")
    return value


def _addresses(value: object) -> list[str]:
    if not is_array(value):
        raise _MistakeError((), f"expected an array, found {kind_of(value)}")
    for index, item in enumerate(value):
        try:
            parse_address(_text(item))
        except ValueError as error:
            raise _MistakeError((index,), str(error)) from None
        except _MistakeError as mistake:
            raise _MistakeError((index,), mistake.reason) from None
    return value


_PROBLEMS = {"name": name_problem, "namespace": namespace_problem, "interface": interface_name_problem}

_MEMBERS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "name": ("name", _name_by(name_problem)),
    "namespace": ("namespace", _name_by(namespace_problem)),
    "interface": ("interface", _name_by(interface_name_problem)),
    "ips": ("ips", _ips),
    "mac": ("mac", _argument("mac")),
    "infiniband-guid": ("infiniband_guid", _argument("infinibandGUID")),
    "portMappings": ("port_mappings", _port_mappings),
    "bandwidth": ("bandwidth", _bandwidth),
    "cni-args": ("cni_args", _object),
    "deviceID": ("device_id", _argument("deviceID")),
    "default-route": ("default_route", _addresses),
    "ipam-claim-reference": ("ipam_claim_reference", _text),
}
"""The members of a selection: the field that each is, and how its value is read."""

_TEXTS = frozenset({"name", "namespace", "interface", "mac", "infiniband-guid", "deviceID", "ipam-claim-reference"})
"""Members that say nothing when they are empty: Go writes an absent text so."""
