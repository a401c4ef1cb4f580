"""Checks of how a plugin calls another. Source: SPEC 1.1.0, section 4, "Delegated plugin execution procedure"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.conformance.calls import is_object
from libcni.conformance.chain import address_result, interface_result
from libcni.conformance.delegates import DELEGATE_TYPE, Recorder
from libcni.conformance.expect import BlockedError, expect, expect_refusal
from libcni.conformance.subject import Kind

if TYPE_CHECKING:
    from libcni.conformance.calls import Answer, Request
    from libcni.conformance.delegates import RecordedCall
    from libcni.conformance.lab import Container, Lab
    from libcni.jsontext.scan import JSONObject

__all__ = [
    "absent_is_refused",
    "check_error_is_reported",
    "deleted_after_failure",
    "deleted_after_own_failure",
    "environment_is_handed_on",
    "error_is_reported",
    "input_is_complete",
    "path_is_searched",
    "verb_is_handed_on",
]

_REASON = "conformance delegate says no"
_CODE = 123


def _install(lab: Lab, *, is_second: bool = False) -> Recorder:
    """Put the recording plugin where the plugin has to find it."""
    found = lab.machine.tools / "bin"
    delegate = Recorder.make(found)
    version = lab.probe.newest
    delegate.answers("ADD", _interface(version, lab) if lab.subject.kind is Kind.META else address_result(version))
    first = lab.machine.tools / "empty"
    first.mkdir(exist_ok=True)
    lab.paths = [str(first), str(found)] if is_second else [str(found)]
    return delegate


def _error(lab: Lab) -> JSONObject:
    return {"cniVersion": lab.probe.newest, "code": _CODE, "msg": _REASON, "details": ""}


def _interface(version: str, lab: Lab) -> JSONObject:
    interfaces = [{"name": lab.subject.ifname, "mac": "02:cf:00:00:03:01", "sandbox": "/run/netns/ns-1"}]
    result: JSONObject = {
        "cniVersion": "1.1.0",
        "interfaces": interfaces,
        "ips": address_result("1.1.0")["ips"],
        "dns": {},
    }
    return interface_result(result, version)


def _request(lab: Lab, verb: str, container: Container, **members: Any) -> Request:
    request = lab.request(verb, container)
    name = lab.subject.delegate
    section = {**request.config.get(name, {}), "type": DELEGATE_TYPE, "example.org/kept": [1, "two"]}
    return request.with_config(**{name: section, **members})


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
    """Look at what the delegate reads."""
    _, _, answer, call = _added(lab)
    config = call.config
    expect(
        is_object(config),
        "a JSON object on the delegate's standard input",
        call.stdin.decode("utf-8", "replace"),
        answer,
    )
    for name in ("name", "cniVersion"):
        wanted = answer.request.config[name]
        expect(config.get(name) == wanted, f"{name} {wanted!r} for the delegate", config.get(name), answer)
    kept: object = config.get(lab.subject.delegate) if lab.subject.kind is not Kind.META else config
    said = kept.get("example.org/kept") if is_object(kept) else None
    expect(said == [1, "two"], "the delegate to get its configuration with every member", config, answer)


def environment_is_handed_on(lab: Lab) -> None:
    """Look at the delegate's variables."""
    _, _, answer, call = _added(lab)
    wanted = {name: value for name, value in answer.request.environment.items() if name.startswith("CNI_")}
    seen = {name: call.environment.get(name, "") for name in wanted}
    expect(seen == wanted, f"the delegate to get {wanted}", seen, answer)


def error_is_reported(lab: Lab) -> None:
    """Let the delegate fail."""
    delegate = _install(lab)
    delegate.fails("ADD", _error(lab))
    answer, _ = _send(lab, "ADD", lab.container(), delegate=delegate)
    expect_refusal(answer, "the delegate failed", naming=[_REASON])


def deleted_after_failure(lab: Lab) -> None:
    """Let the delegate fail, and see whether it gets a DEL."""
    delegate = _install(lab)
    delegate.fails("ADD", _error(lab))
    answer, calls = _send(lab, "ADD", lab.container(), delegate=delegate)
    verbs = [call.verb for call in calls]
    expect(verbs == ["ADD", "DEL"], "a failed ADD of the delegate to be followed by a DEL", verbs, answer)


def deleted_after_own_failure(lab: Lab) -> None:
    """Make the plugin itself fail after the delegate, for want of a namespace."""
    delegate = _install(lab)
    container = lab.container()
    request = _request(lab, "ADD", container)
    lab.ip(f"link add {container.ifname} type veth peer name foreign0\n", container)
    answer = lab.send(request)
    verbs = [call.verb for call in delegate.calls()]
    expect("ADD" not in verbs or "DEL" in verbs, "what the delegate gave to be given back by a DEL", verbs, answer)


def verb_is_handed_on(lab: Lab, verb: str) -> None:
    """Look whether the delegate gets a verb too."""
    container, delegate, _, _ = _added(lab)
    answer, calls = _send(lab, verb, container, delegate=delegate)
    verbs = [call.verb for call in calls]
    expect(verbs == [verb], f"{verb} to be handed on to the delegate", verbs or "it was not called", answer)


def check_error_is_reported(lab: Lab) -> None:
    """Let the delegate fail at CHECK."""
    container, delegate, _, _ = _added(lab)
    delegate.fails("CHECK", _error(lab))
    answer, _ = _send(lab, "CHECK", container, delegate=delegate)
    expect_refusal(answer, "the delegate's CHECK failed", naming=[_REASON])
