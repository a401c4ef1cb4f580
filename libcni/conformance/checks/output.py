"""Checks of what a plugin prints. Source: SPEC 1.1.0, section 2, "Execution protocol", and section 5."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

from libcni.conformance.expect import (
    NotApplicableError,
    UnstatedError,
    error_document,
    expect,
    expect_refusal,
    expect_valid,
    is_text_alone,
    result_schema,
    unstated,
)
from libcni.conformance.kernel import canonical
from libcni.conformance.lab import members
from libcni.conformance.subject import Kind
from libcni.jsontext.decode import parse_object
from libcni.jsontext.scan import DocumentError
from libcni.protocol.versions import is_at_least

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from libcni.conformance.calls import Answer
    from libcni.conformance.lab import Lab
    from libcni.jsontext.scan import JSONObject

__all__ = [
    "add_prints_json",
    "addresses_are_cidr",
    "error_has_version",
    "error_is_complete",
    "error_is_json",
    "error_sets_status",
    "gateways_are_addresses",
    "index_is_in_range",
    "interface_is_requested",
    "names_no_interface",
    "others_print_nothing",
    "previous_dns_is_kept",
    "previous_is_kept",
    "previous_is_needed",
    "previous_wrong",
    "result_fits_schema",
    "result_has_version",
    "sandbox_is_namespace",
]


def _strictly_json(answer: Answer) -> None:
    try:
        parse_object(answer.output.stdout)
    except DocumentError as error:
        expect(
            condition=False,
            expected="one JSON object on standard output and nothing else",
            seen=str(error),
            answer=answer,
        )


def add_prints_json(lab: Lab) -> None:
    """Read everything that ADD prints."""
    _strictly_json(lab.add(lab.container()))


def others_print_nothing(lab: Lab) -> None:
    """Read everything that the other verbs print."""
    container = lab.container()
    lab.add(container)
    verbs = ["CHECK", "DEL"] if lab.supports("0.4.0") else ["DEL"]
    for verb in verbs:
        answer = lab.send(lab.request(verb, container))
        if answer.is_success and answer.output.stdout.strip():
            _strictly_json(answer)


def _refused(lab: Lab) -> Answer:
    """Provoke an error that every plugin has to give, without touching anything."""
    answer = lab.send(lab.request("ADD", lab.container()).with_config(name=None))
    if error_document(answer) is None and answer.is_success and not is_text_alone(answer):
        raise NotApplicableError("the plugin accepts a configuration without a name: see name-missing")
    return answer


def error_is_json(lab: Lab) -> None:
    """Read everything that a refused ADD prints."""
    answer = _refused(lab)
    if is_text_alone(answer):
        raise UnstatedError("an error object on standard output", unstated(answer), answer)
    expect(error_document(answer) is not None, "an error object on standard output", unstated(answer), answer)
    _strictly_json(answer)


def error_sets_status(lab: Lab) -> None:
    """Look at the exit status of a refused ADD."""
    answer = _refused(lab)
    expect(answer.output.exit_status != 0, "an exit status other than 0 with an error", answer.summary, answer)


def error_has_version(lab: Lab) -> None:
    """Look at the version of an error."""
    answer = _refused(lab)
    said = _stated(answer).get("cniVersion")
    expect(said == lab.probe.newest, f"an error with cniVersion {lab.probe.newest}, as in the request", said, answer)


def _stated(answer: Answer) -> Mapping[str, Any]:
    document = error_document(answer)
    if document is None:
        raise UnstatedError("an error object on standard output", unstated(answer), answer)
    return document


def error_is_complete(lab: Lab) -> None:
    """Look at the other members of an error."""
    answer = _refused(lab)
    document = {"cniVersion": lab.probe.newest, **_stated(answer)}
    missing = [name for name in ("code", "msg") if not document.get(name)]
    expect(not missing, "an error with code and msg", f"{' and '.join(missing)} missing: {answer.summary}", answer)
    expect_valid("error", document, answer)


# -------------------------------------------------------------------------------------------------------------- results


def _results(lab: Lab) -> Iterator[tuple[str, JSONObject, Answer]]:
    newest, _ = _newest(lab)
    for version in lab.probe.versions:
        is_chain = lab.subject.kind is Kind.CHAINED
        if (is_chain or not members(newest, "ips")) and not is_at_least(version, "0.3.0"):
            continue  # there was no prevResult, and so no chain; and a result had addresses, or could not be said
        container = lab.container()
        answer = lab.add(container, version)
        yield version, lab.result(container), answer


def result_has_version(lab: Lab) -> None:
    """ADD in every version."""
    for version, result, answer in _results(lab):
        said = result.get("cniVersion")
        expect(said == version, f"a result with cniVersion {version}, as in the request", said, answer)


def result_fits_schema(lab: Lab) -> None:
    """ADD in every version, and hold the result against the schema of that version."""
    for version, result, answer in _results(lab):
        expect_valid(result_schema(version), {**result, "cniVersion": version}, answer)


def _newest(lab: Lab) -> tuple[JSONObject, Answer]:
    container = lab.container()
    answer = lab.add(container)
    return lab.result(container), answer


def addresses_are_cidr(lab: Lab) -> None:
    """Look at each address."""
    result, answer = _newest(lab)
    for entry in members(result, "ips"):
        address = entry.get("address")
        is_cidr = isinstance(address, str) and "/" in address and _is_network(address)
        expect(is_cidr, "an address with its prefix length, like 10.1.2.3/24", address, answer)


def gateways_are_addresses(lab: Lab) -> None:
    """Look at each gateway."""
    result, answer = _newest(lab)
    given: list[Any] = [entry.get("gateway") for entry in members(result, "ips")]
    given += [entry.get("gw") for entry in members(result, "routes")]
    for gateway in filter(None, given):
        is_address = isinstance(gateway, str) and "/" not in gateway and _is_network(gateway)
        expect(is_address, "a gateway that is an address without a prefix length", gateway, answer)


def _is_network(text: str) -> bool:
    try:
        return bool(ipaddress.ip_interface(text))
    except ValueError:
        return False


def index_is_in_range(lab: Lab) -> None:
    """Look at the interface that each address refers to."""
    result, answer = _newest(lab)
    count = len(members(result, "interfaces"))
    for entry in members(result, "ips"):
        index = entry.get("interface")
        if index is not None:
            is_index = isinstance(index, int) and 0 <= index < count
            expect(is_index, f"an index into the {count} interfaces of the result", index, answer)


def sandbox_is_namespace(lab: Lab) -> None:
    """Look at the namespace of each interface."""
    container = lab.container()
    answer = lab.add(container)
    for interface in members(lab.result(container), "interfaces"):
        sandbox = interface.get("sandbox")
        if sandbox:
            expect(sandbox == str(container.netns), f"sandbox {container.netns}, as CNI_NETNS", sandbox, answer)


def interface_is_requested(lab: Lab) -> None:
    """Look for the interface that the runtime asked for."""
    container = lab.container()
    answer = lab.add(container)
    names = [entry.get("name") for entry in members(lab.result(container), "interfaces") if entry.get("sandbox")]
    expect(container.ifname in names, f"an interface {container.ifname} in the container, as CNI_IFNAME", names, answer)


def names_no_interface(lab: Lab) -> None:
    """Look for interfaces in the result of an IPAM plugin."""
    result, answer = _newest(lab)
    expect(
        not result.get("interfaces"),
        "no interfaces: the plugin that delegates makes them",
        result.get("interfaces"),
        answer,
    )
    numbered = [entry for entry in members(result, "ips") if entry.get("interface") is not None]
    expect(not numbered, "addresses without an interface index", numbered, answer)


# --------------------------------------------------------------------------------------------------------------- chains


_IDENTITIES = {"interfaces": ("name", "sandbox"), "ips": ("address",), "routes": ("dst",)}


def previous_is_kept(lab: Lab) -> None:
    """Look in the result of a chained plugin for every entry of the result before it, and for every member of each."""
    container = lab.container()
    answer = lab.add(container)
    before, after = container.before or {}, lab.result(container)
    for name, identity in _IDENTITIES.items():
        kept = {_key(entry, identity): entry for entry in members(after, name)}
        for entry in members(before, name):
            found = kept.get(_key(entry, identity))
            told = " ".join(str(entry.get(key) or "") for key in identity).strip()
            expect(found is not None, f"{told} among the {name}, as in the previous result", "it is missing", answer)
            lost = [key for key, value in entry.items() if value and (found or {}).get(key) in {None, ""}]
            expect(not lost, f"{told} among the {name} with all of its members", f"lost: {', '.join(lost)}", answer)
    _expect_same_places(before, after, answer)


def _key(entry: JSONObject, identity: Sequence[str]) -> tuple[str, ...]:
    return tuple(canonical(entry.get(key) or "") for key in identity)


def _expect_same_places(before: JSONObject, after: JSONObject, answer: Answer) -> None:
    """Expect each address on the interface that it was on."""
    places = _places(after)
    for address, place in _places(before).items():
        expect(places.get(address, place) == place, f"{address} on {place}", places.get(address), answer)


def _places(result: JSONObject) -> dict[str, str]:
    """Return the name of the interface of each address."""
    names = [str(entry.get("name")) for entry in members(result, "interfaces")]
    return {
        canonical(entry.get("address")): names[entry["interface"]]
        for entry in members(result, "ips")
        if isinstance(entry.get("interface"), int) and 0 <= entry["interface"] < len(names)
    }


def previous_dns_is_kept(lab: Lab) -> None:
    """Compare the name servers with those before."""
    container = lab.container()
    answer = lab.add(container)
    before: JSONObject = (container.before or {}).get("dns", {})
    after: JSONObject = lab.result(container).get("dns") or {}
    lost = [key for key, value in before.items() if after.get(key) != value]
    expect(not lost, f"the dns settings of the previous result, {json.dumps(before)}", after, answer)


def previous_is_needed(lab: Lab) -> None:
    """ADD as the first of a chain."""
    answer = lab.send(lab.request("ADD", lab.container()).with_config(prevResult=None))
    if not answer.is_success:
        _stated(answer)
        return
    expect(answer.document is not None, "a result or an error", answer.summary, answer)


def previous_wrong(lab: Lab) -> None:
    """ADD with a previous result that is none."""
    answer = lab.send(lab.request("ADD", lab.container()).with_config(prevResult={"ips": "none"}))
    expect_refusal(answer, "prevResult is no result")
