"""Checks of what a plugin does with wrong parameters. Source: SPEC 1.1.0, section 2 ("Parameters") and 5 ("Error")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from libcni.conformance.expect import expect_refusal, expect_success
from libcni.invoke.environment import CNI_COMMAND, CNI_NETNS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from libcni.conformance.calls import Answer, Request
    from libcni.conformance.lab import Lab

__all__ = [
    "command_unknown",
    "name_bad",
    "name_missing",
    "namespace_absent",
    "stdin_huge",
    "stdin_wrong",
    "unaffected_by_environment",
    "value_bad",
    "value_bad_is_named",
    "variable_missing",
]

_CODE = {4}
_PADDING = 2 * 1024 * 1024


def _request(lab: Lab, verb: str) -> Request:
    return lab.request(verb, lab.container())


def variable_missing(lab: Lab, verb: str, variable: str) -> None:
    """Leave a required variable out, then send it empty."""
    request = _request(lab, verb)
    for value in (None, ""):
        answer = lab.send(request.with_environment(**{variable: value}))
        expect_refusal(
            answer, f"{variable} is {'missing' if value is None else 'empty'}", codes=_CODE, naming=[variable]
        )


def command_unknown(lab: Lab) -> None:
    """Send a verb that no version has."""
    answer = lab.send(_request(lab, "ADD").with_environment(CNI_COMMAND="FROBNICATE"))
    expect_refusal(answer, "there is no such verb", codes=_CODE, naming=[CNI_COMMAND, "FROBNICATE"])


def value_bad(lab: Lab, variable: str, values: Collection[str]) -> None:
    """Send values that the specification forbids, with each verb that has the variable."""
    container = lab.container()
    for verb in ("ADD", "DEL", *(["CHECK"] if lab.supports("0.4.0") else [])):
        request = lab.request(verb, container)
        for value in values:
            answer = lab.send(request.with_environment(**{variable: value}))
            expect_refusal(answer, f"{variable} {json.dumps(value)} is not allowed", codes=_CODE)


def value_bad_is_named(lab: Lab, values: dict[str, str]) -> None:
    """Look at the text of the error for a forbidden value."""
    request = _request(lab, "ADD")
    for variable, value in values.items():
        answer = lab.send(request.with_environment(**{variable: value}))
        expect_refusal(answer, f"{variable} {json.dumps(value)} is not allowed", naming=[variable])


def namespace_absent(lab: Lab) -> None:
    """ADD to a namespace that does not exist."""
    container = lab.container()
    absent = f"{container.netns}-absent"
    answer = lab.send(lab.request("ADD", container).with_environment(**{CNI_NETNS: absent}))
    expect_refusal(answer, f"{absent} does not exist")


_WRONG_STDIN: Mapping[str, Callable[[Request], list[bytes]]] = {
    "empty": lambda _request: [b""],
    "truncated": lambda request: [request.stdin[: len(request.stdin) // 2], request.stdin[:-1]],
    "not-object": lambda _request: [b"[]", b'"text"', b"7"],
    "not-json": lambda _request: [b"name: conformance\n"],
    "not-utf8": lambda request: [request.stdin[:-1] + b', "note": "\xff\xfe\xfa"}'],
}


def stdin_wrong(lab: Lab, what: str, codes: list[int]) -> None:
    """Send something else than a configuration."""
    request = _request(lab, "ADD")
    for data in _WRONG_STDIN[what](request):
        answer = lab.send(request.with_stdin(data))
        expect_refusal(answer, "standard input holds no configuration", codes=codes)


def stdin_huge(lab: Lab) -> None:
    """ADD with a configuration of two million bytes, nearly all of it in ``args`` for another program."""
    container = lab.container()
    answer = lab.send(lab.request("ADD", container).with_config(args={"example.org": "x" * _PADDING}))
    expect_success(answer, "with a configuration of 2 MiB")


def name_missing(lab: Lab) -> None:
    """Leave the network's name out, then send it empty."""
    request = _request(lab, "ADD")
    for name in (None, ""):
        answer = lab.send(request.with_config(name=name))
        expect_refusal(answer, "the network has no name", codes={7})


def name_bad(lab: Lab, values: Collection[object], codes: list[int]) -> None:
    """Send names that the specification forbids."""
    request = _request(lab, "ADD")
    for value in values:
        answer: Answer = lab.send(request.with_config(name=value))
        expect_refusal(answer, f"the network's name must not be {json.dumps(value)}", codes=codes)


def unaffected_by_environment(lab: Lab) -> None:
    """ADD with a variable of another program, and one of the protocol's family that no version has."""
    container = lab.container()
    answer = lab.send(lab.request("ADD", container).with_environment(CNI_EXAMPLE="1", HOME="/nonexistent"))
    expect_success(answer, "whatever else is in the environment")
