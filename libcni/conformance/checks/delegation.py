"""Checks of how a plugin calls another. Source: SPEC 1.1.0, section 4, "Delegated plugin execution procedure"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.conformance.calls import is_object
from libcni.conformance.chain import address_result, interface_result
from libcni.conformance.delegates import DELEGATE_TYPE, Recorder
from libcni.conformance.expect import BlockedError, NotApplicableError, expect, expect_refusal, listed
from libcni.conformance.lab import elements
from libcni.conformance.subject import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcni.conformance.calls import Answer, Request
    from libcni.conformance.delegates import RecordedCall
    from libcni.conformance.lab import Container, Lab
    from libcni.jsontext.scan import JSONObject

__all__ = [
    "absent_is_refused",
    "deleted_after_failure",
    "deleted_after_own_failure",
    "environment_is_handed_on",
    "error_is_reported",
    "error_is_told",
    "failure_leaves_nothing",
    "input_is_complete",
    "log_is_handed_on",
    "path_is_searched",
    "verb_error_is_reported",
    "verb_is_handed_on",
]

_REASON = "conformance delegate says no"
_KEPT = {"example.org/kept": [1, "two"]}
"""A member that the delegate's section has, to find again in what the delegate reads."""

_CODE = 123


def _install(lab: Lab, *, is_second: bool = False) -> Recorder:
    """Put the recording plugin where the plugin has to find it."""
    found = lab.machine.tools / "bin"
    delegate = Recorder.make(found, note=lab.note)
    lab.shows[delegate.showing] = None
    version = lab.probe.newest
    given = address_result(version, lab.subject.families)
    delegate.answers("ADD", _interface(version, lab) if lab.subject.kind is Kind.META else given)
    first = lab.machine.tools / "empty"
    first.mkdir(exist_ok=True)
    lab.note(f"mkdir -p {first}")
    lab.paths = [str(first), str(found)] if is_second else [str(found)]
    return delegate


def _error(lab: Lab) -> JSONObject:
    return {"cniVersion": lab.probe.newest, "code": _CODE, "msg": _REASON, "details": ""}


def _interface(version: str, lab: Lab) -> JSONObject:
    interfaces = [{"name": lab.subject.ifname, "mac": "02:cf:00:00:03:01", "sandbox": "/run/netns/ns-1"}]
    result: JSONObject = {
        "cniVersion": "1.1.0",
        "interfaces": interfaces,
        "ips": address_result("1.1.0", lab.subject.families)["ips"],
        "dns": {},
    }
    return interface_result(result, version)


def _request(lab: Lab, verb: str, container: Container, **members: Any) -> Request:
    request = lab.request(verb, container)
    config = _with_recorder(request.config, lab.subject.delegate.split("."))
    return request.with_config(**config, **members)


def _with_recorder(value: Any, path: Sequence[str]) -> Any:
    """Return a configuration with the recording plugin in place of the delegate, of an array in place of all."""
    if isinstance(value, list):
        return [_with_recorder(value[0] if value else {}, path)]
    if not path:
        return {**value, "type": DELEGATE_TYPE, **_KEPT}
    return {**value, path[0]: _with_recorder(value.get(path[0], {}), path[1:])}


def _send(lab: Lab, verb: str, container: Container, *, delegate: Recorder) -> tuple[Answer, list[RecordedCall]]:
    """Send a verb and return the calls that the delegate got from it."""
    before = len(delegate.calls())
    answer = lab.send(_request(lab, verb, container))
    return answer, delegate.calls()[before:]


def _added(lab: Lab, *, is_second: bool = False) -> tuple[Container, Recorder, Answer, RecordedCall]:
    delegate = _install(lab, is_second=is_second)
    container = lab.container()
    answer, calls = _send(lab, "ADD", container, delegate=delegate)
    adds = [call for call in calls if call.verb == "ADD"]
    if not adds:
        raise BlockedError("the delegate to be called with ADD", answer.summary, answer)
    if answer.is_success:
        lab.add_known(container, answer)
    return container, delegate, answer, adds[0]


def path_is_searched(lab: Lab) -> None:
    """ADD with the delegate in the second directory of CNI_PATH."""
    delegate = _install(lab, is_second=True)
    answer, calls = _send(lab, "ADD", lab.container(), delegate=delegate)
    expect(calls, "the delegate in the second directory of CNI_PATH to be called", answer.summary, answer)


def absent_is_refused(lab: Lab) -> None:
    """ADD with a delegate that is in no directory of CNI_PATH."""
    container = lab.container()
    lab.paths = [str(lab.machine.tools)]
    expect_refusal(lab.send(_request(lab, "ADD", container)), f"{DELEGATE_TYPE} is in no directory of CNI_PATH")


def input_is_complete(lab: Lab) -> None:
    """Look at what the delegate reads: the whole configuration of the plugin, or its own section made complete."""
    _, _, answer, call = _added(lab)
    config = call.config
    text = call.stdin.decode("utf-8", "replace")
    expect(is_object(config), "a JSON object on the delegate's standard input", text, answer)
    for name in ("name", "cniVersion"):
        wanted = answer.request.config[name]
        said = config.get(name)
        expect(
            said == wanted or _holds({name: said}, lab.subject.config),
            f"{name} {wanted} for the delegate",
            text,
            answer,
        )
    expect(_holds(_KEPT, config), "the delegate to get its configuration with every member", text, answer)


def _holds(wanted: Mapping[str, object], value: object) -> bool:
    """Return whether a member stands somewhere in a document."""
    if is_object(value):
        is_here = all(name in value and value[name] == item for name, item in wanted.items())
        return is_here or any(_holds(wanted, item) for item in value.values())
    return any(_holds(wanted, item) for item in elements(value))


def environment_is_handed_on(lab: Lab) -> None:
    """Look at the delegate's variables."""
    _, _, answer, call = _added(lab)
    wanted = {name: value for name, value in answer.request.environment.items() if name.startswith("CNI_")}
    seen = {name: call.environment.get(name, "") for name in wanted}
    lost = [name for name in wanted if seen[name] != wanted[name]]
    expected = f"the delegate to get {' '.join(f'{name}={wanted[name]}' for name in lost)}"
    expect(not lost, expected, " ".join(f"{name}={seen[name]}" for name in lost), answer)


def _failed(lab: Lab) -> tuple[Answer, list[str]]:
    """Let the delegate fail at ADD; return the answer, and the verbs that the delegate got."""
    delegate = _install(lab)
    delegate.fails("ADD", _error(lab))
    answer, calls = _send(lab, "ADD", lab.container(), delegate=delegate)
    if not calls:
        raise BlockedError("the delegate to be called with ADD", answer.summary, answer)
    return answer, [call.verb for call in calls]


def error_is_reported(lab: Lab) -> None:
    """Let the delegate fail."""
    answer, _ = _failed(lab)
    expect_refusal(answer, "the delegate failed")


def error_is_told(lab: Lab) -> None:
    """Let the delegate fail, and look for its words in the error."""
    answer, _ = _failed(lab)
    if answer.is_success:
        raise NotApplicableError("ADD succeeds although the delegate failed: see delegate-error")
    expect_refusal(answer, "the delegate failed", naming=[_REASON])


def deleted_after_failure(lab: Lab) -> None:
    """Let the delegate fail, and see whether it gets a DEL."""
    answer, verbs = _failed(lab)
    if answer.is_success:
        raise NotApplicableError("ADD succeeds although the delegate failed: see delegate-error")
    is_undone = "DEL" in verbs[verbs.index("ADD") :]
    expect(is_undone, "a failed ADD of the delegate to be followed by a DEL", ", ".join(verbs), answer)


def failure_leaves_nothing(lab: Lab) -> None:
    """Let the delegate fail at ADD, and look at the host and the container."""
    delegate = _install(lab)
    lab.send(_request(lab, "ADD", lab.container()))  # what all containers share is there afterwards
    delegate.fails("ADD", _error(lab))
    container = lab.container()
    before, inside = lab.state(), lab.state(container)
    answer = lab.send(_request(lab, "ADD", container))
    if answer.is_success:
        raise NotApplicableError("ADD succeeds although the delegate failed: see delegate-error")
    left = lab.left_on_host(before) + inside.additions(lab.state(container))
    expect(not left, "nothing of an ADD whose delegate failed", listed(left), answer)


def deleted_after_own_failure(lab: Lab) -> None:
    """Make the plugin itself fail after the delegate, with an interface that is in its way."""
    delegate = _install(lab)
    container = lab.container()
    request = _request(lab, "ADD", container)
    lab.ip(f"link add {container.ifname} type veth peer name foreign0\n", container)
    answer = lab.send(request)
    if answer.is_success:
        raise NotApplicableError("ADD succeeds although the interface is there: see add-foreign-interface")
    verbs = [call.verb for call in delegate.calls()]
    is_undone = "ADD" not in verbs or "DEL" in verbs
    expect(is_undone, "what the delegate gave to be given back by a DEL", ", ".join(verbs), answer)


def verb_is_handed_on(lab: Lab, verb: str) -> None:
    """Look whether the delegate gets a verb too."""
    container, delegate, _, _ = _added(lab)
    answer, calls = _send(lab, verb, container, delegate=delegate)
    verbs = [call.verb for call in calls]
    seen = ", ".join(verbs) or "it was not called"
    expect(verb in verbs, f"{verb} to be handed on to the delegate", seen, answer)


def verb_error_is_reported(lab: Lab, verb: str) -> None:
    """Let the delegate fail at a verb."""
    container, delegate, _, _ = _added(lab)
    delegate.fails(verb, _error(lab))
    answer, calls = _send(lab, verb, container, delegate=delegate)
    if verb not in [call.verb for call in calls]:
        raise NotApplicableError(f"{verb} is not handed on: see delegate-{verb.lower()}")
    expect_refusal(answer, f"the delegate's {verb} failed")


def log_is_handed_on(lab: Lab) -> None:
    """Look for what the delegate writes to standard error."""
    _, _, answer, _ = _added(lab)
    text = answer.output.stderr.decode("utf-8", "replace")
    expect(f"log of {DELEGATE_TYPE}" in text, "what the delegate wrote on standard error", text or "nothing", answer)
