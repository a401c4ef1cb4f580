"""Checks of what a runtime sends to plugins. Source: SPEC 1.1.0, section 3, "Deriving request configuration"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcni.conformance.calls import is_object
from libcni.conformance.expect import BlockedError, expect, told
from libcni.conformance.runtimes.session import NETWORK, PORTS
from libcni.errors import InvalidParameterError
from libcni.protocol.names import check_container_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.conformance.delegates import RecordedCall
    from libcni.conformance.runtimes.session import RuntimeLab

__all__ = [
    "capability_is_not_sent",
    "capability_is_sent",
    "container_is_named",
    "domain_is_the_hosts",
    "environment_is_stable",
    "first_gets_no_result",
    "highest_version_is_chosen",
    "input_is_object",
    "list_keys_are_not_sent",
    "members_are_kept",
    "members_stay_apart",
    "name_is_inserted",
    "next_gets_result",
    "old_delete_gets_no_result",
    "other_capability_is_not_sent",
    "runtime_keys_are_removed",
    "variable_is_sent",
    "verb_gets_final_result",
    "version_is_inserted",
]

_ATTACHMENT_VARIABLES = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH")


def _all_calls(lab: RuntimeLab) -> list[RecordedCall]:
    """Add, check and delete; return every call."""
    calls = lab.attached()
    for verb in ("check", "del"):
        calls += lab.run(verb)[1]
    if not calls:
        raise BlockedError("the plugins to be called", "no call")
    return calls


def _told(call: RecordedCall) -> str:
    return f"{call.verb} of {call.plugin} with {call.stdin.decode('utf-8', 'replace')}"


def name_is_inserted(lab: RuntimeLab) -> None:
    """Look for the network's name in each request."""
    lab.configure()
    for call in _all_calls(lab):
        expect(call.config.get("name") == NETWORK, f"name {NETWORK} in every request", _told(call))


def version_is_inserted(lab: RuntimeLab) -> None:
    """Look for the version in each request."""
    lab.configure("0.4.0")
    for call in _all_calls(lab):
        expect(call.config.get("cniVersion") == "0.4.0", "cniVersion 0.4.0 in every request", _told(call))


def highest_version_is_chosen(lab: RuntimeLab) -> None:
    """Add a network that lists several versions."""
    lab.configure("1.0.0", cniVersions=["0.4.0", "1.0.0", "1.1.0"])
    for call in lab.attached():
        said = call.config.get("cniVersion")
        expect(said == "1.1.0", "cniVersion 1.1.0, the highest that is listed", _told(call))


def members_are_kept(lab: RuntimeLab) -> None:
    """Look for the plugin's own members."""
    own = {"level": 3, "deep": {"list": [1, None, "x"]}, "big": 9007199254740993, "dns": {"nameservers": ["192.0.2.1"]}}
    lab.configure(plugins=[own, {}, {}])
    for call in _all_calls(lab):
        if call.plugin == "first":
            seen = {name: call.config.get(name) for name in own}
            expect(seen == own, f"the members {json.dumps(own)}, unchanged", _told(call))


def members_stay_apart(lab: RuntimeLab) -> None:
    """Look for members of one plugin in the request of another."""
    lab.configure(plugins=[{"level": 3}, {}, {}])
    for call in _all_calls(lab):
        expect(call.plugin == "first" or "level" not in call.config, "each plugin to get its own members", _told(call))


def runtime_keys_are_removed(lab: RuntimeLab, key: str, value: Any) -> None:
    """Look for members that are for the runtime alone."""
    lab.configure(plugins=[{key: value}, {}, {}])
    for call in _all_calls(lab):
        if call.plugin == "first":
            expect(call.config.get(key) != value, f"{key} of the configuration not to be sent", _told(call))


def list_keys_are_not_sent(lab: RuntimeLab) -> None:
    """Look for members of the list in the requests."""
    lab.configure(disableCheck=False)
    for call in _all_calls(lab):
        found = {"plugins", "disableCheck", "cniVersions"} & set(call.config)
        expect(not found, "no member of the list beside name and cniVersion", _told(call))


# --------------------------------------------------------------------------------------------------------- prevResult


def first_gets_no_result(lab: RuntimeLab) -> None:
    """Look for a previous result in the first ADD."""
    lab.configure()
    for call in lab.attached()[:1]:
        expect("prevResult" not in call.config, "no prevResult for the first plugin", _told(call))


def next_gets_result(lab: RuntimeLab) -> None:
    """Compare prevResult with what the plugin before answered."""
    lab.configure()
    for number, call in enumerate(lab.attached()):
        if number:
            wanted = lab.result_of(number - 1)
            expect(_same(call, wanted), f"prevResult {json.dumps(wanted)}", _told(call))


def verb_gets_final_result(lab: RuntimeLab, verb: str) -> None:
    """Compare prevResult with the result of the ADD."""
    lab.configure()
    lab.attached()
    wanted = lab.result_of(2)
    calls = lab.run(verb.lower())[1]
    expect(calls, f"{verb} of the plugins", "no call")
    for call in calls:
        expect(_same(call, wanted), f"prevResult {json.dumps(wanted)} for every plugin", _told(call))


def old_delete_gets_no_result(lab: RuntimeLab) -> None:
    """Delete in a version that has no prevResult for it."""
    lab.configure("0.3.1")
    lab.attached()
    calls = lab.run("del")[1]
    expect(calls, "DEL of the plugins", "no call")
    for call in calls:
        expect("prevResult" not in call.config, "no prevResult for DEL below 0.4.0", _told(call))


def _same(call: RecordedCall, wanted: dict[str, Any]) -> bool:
    previous: dict[str, Any] = call.config.get("prevResult") or {}
    # An empty dns may be written or left out.
    names = ("cniVersion", "interfaces", "ips", "routes")
    return all(previous.get(name) == wanted.get(name) for name in names)


# ------------------------------------------------------------------------------------------------------- capabilities


def _with_capabilities(lab: RuntimeLab) -> Iterator[RecordedCall]:
    lab.configure(plugins=[{}, {"capabilities": {"portMappings": True}}, {"capabilities": {"portMappings": False}}])
    lab.variables["CAP_ARGS"] = json.dumps(PORTS | {"other": [1]})
    yield from _all_calls(lab)


def _argument(call: RecordedCall, name: str) -> object:
    runtime: object = call.config.get("runtimeConfig")
    return runtime.get(name) if is_object(runtime) else None


def capability_is_sent(lab: RuntimeLab) -> None:
    """Look at the plugin that declares a capability."""
    for call in _with_capabilities(lab):
        if call.plugin == "second":
            seen = _argument(call, "portMappings")
            expect(
                seen == PORTS["portMappings"], f"runtimeConfig {json.dumps(PORTS)} where it is declared", _told(call)
            )


def capability_is_not_sent(lab: RuntimeLab, plugin: str) -> None:
    """Look at a plugin that does not declare the capability, or declares that it has it not."""
    for call in _with_capabilities(lab):
        if call.plugin == plugin:
            seen = _argument(call, "portMappings")
            expect(seen is None, "no runtimeConfig.portMappings where it is not declared", _told(call))


def other_capability_is_not_sent(lab: RuntimeLab) -> None:
    """Look for an argument that no plugin declares."""
    for call in _with_capabilities(lab):
        seen = _argument(call, "other")
        expect(seen is None, "nothing in runtimeConfig that is not declared", _told(call))


# -------------------------------------------------------------------------------------------------------- environment


def variable_is_sent(lab: RuntimeLab, variable: str) -> None:
    """Compare a variable of every call with what the tool was given."""
    lab.configure()
    lab.ifname = "net7"
    lab.variables["CNI_ARGS"] = "IgnoreUnknown=1;EXAMPLE=web"
    given = {
        "CNI_NETNS": lab.namespace,
        "CNI_IFNAME": "net7",
        "CNI_ARGS": "IgnoreUnknown=1;EXAMPLE=web",
        "CNI_PATH": str(lab.bin_dir),
    }
    for call in _all_calls(lab):
        seen = call.environment.get(variable)
        expect(seen == given[variable], f"{variable}={given[variable]} in every call", f"{call.verb}: {told(seen)}")


def container_is_named(lab: RuntimeLab) -> None:
    """Look at the container id of every call."""
    lab.configure()
    seen = {call.environment.get("CNI_CONTAINERID", "") for call in _all_calls(lab)}
    expect(len(seen) == 1 and all(seen), "one container id in every call of a container", ", ".join(sorted(seen)))
    for text in seen:
        expect(_is_container_id(text), "a container id of letters, digits, underscores, dots and hyphens", text)


def _is_container_id(text: str) -> bool:
    try:
        check_container_id(text)
    except InvalidParameterError:
        return False
    return True


def environment_is_stable(lab: RuntimeLab) -> None:
    """Compare the variables of DEL with those of ADD."""
    lab.configure()
    calls = _all_calls(lab)
    chosen = [{name: call.environment.get(name, "") for name in _ATTACHMENT_VARIABLES} for call in calls]
    for call, variables in zip(calls, chosen, strict=True):
        expected = f"the variables of ADD, {told(chosen[0])}, in every call"
        expect(variables == chosen[0], expected, f"{call.verb}: {told(variables)}")


def domain_is_the_hosts(lab: RuntimeLab) -> None:
    """Look at the network namespace that the plugins run in."""
    lab.configure()
    calls = _all_calls(lab)
    wanted = str(Path("/proc/thread-self/ns/net").readlink())
    for call in calls:
        expect(call.domain == wanted, "every plugin to run in the namespace of the runtime", f"{call.verb}: another")


def input_is_object(lab: RuntimeLab) -> None:
    """Look at standard input of every call."""
    lab.configure()
    for call in _all_calls(lab):
        expect(is_object(call.document), "a JSON object on standard input", _told(call))
