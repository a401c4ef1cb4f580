"""Checks of VERSION and of versions in requests. Source: SPEC 1.1.0, section 2, "VERSION", and section 5, "Error"."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from libcni.conformance.expect import error_document, expect, expect_refusal, expect_success, expect_valid
from libcni.conformance.lab import elements
from libcni.errors import VersionError
from libcni.invoke.environment import CNI_ARGS, CNI_CONTAINERID, CNI_IFNAME, CNI_NETNS, CNI_PATH
from libcni.protocol.versions import CURRENT_VERSION, parse_version

if TYPE_CHECKING:
    from libcni.conformance.lab import Lab

__all__ = [
    "answers",
    "answers_empty_stdin",
    "answers_unknown_version",
    "answers_without_variables",
    "echoes_version",
    "lists_versions",
    "refuses_before_acting",
    "refuses_unsupported",
]

_NO_SUCH_VERSION = "9.9.9"


def answers(lab: Lab) -> None:
    """Ask as runtimes do."""
    answer = lab.send(lab.version_request())
    expect_success(answer)
    expect_valid("version", answer.document, answer)


def answers_without_variables(lab: Lab) -> None:
    """Ask with nothing but ``CNI_COMMAND``."""
    names = (CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS, CNI_PATH)
    answer = lab.send(lab.version_request().with_environment(**dict.fromkeys(names)))
    expect_success(answer, "without a container, a namespace and an interface")


def echoes_version(lab: Lab) -> None:
    """Ask in every version that is listed."""
    for version in dict.fromkeys([*lab.probe.versions, CURRENT_VERSION]):
        answer = lab.send(lab.version_request(version))
        expect_success(answer)
        said = (answer.document or {}).get("cniVersion")
        expect(said == version, f"cniVersion {version}, as in the request", said, answer)


def lists_versions(lab: Lab) -> None:
    """Look at the list itself."""
    answer = lab.send(lab.version_request())
    expect_success(answer)
    said = (answer.document or {}).get("supportedVersions")
    listed = elements(said)
    expect(listed, "a list of versions", said, answer)
    wrong = [version for version in listed if not _is_version(version)]
    expect(not wrong, "versions of the form major.minor.patch", wrong, answer)
    repeated = [version for version, count in Counter(listed).items() if count > 1]
    expect(not repeated, "each version once", repeated, answer)


def _is_version(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(parse_version(text))
    except VersionError:
        return False


def answers_empty_stdin(lab: Lab) -> None:
    """Ask with nothing on standard input."""
    answer = lab.send(lab.version_request().with_stdin(b""))
    expect_success(answer, "with nothing on standard input")


def answers_unknown_version(lab: Lab) -> None:
    """Ask in a version that does not exist."""
    answer = lab.send(lab.version_request(_NO_SUCH_VERSION))
    expect_success(answer, f"for a runtime of version {_NO_SUCH_VERSION}")
    listed = (answer.document or {}).get("supportedVersions")
    expect(listed, "the versions that the plugin supports", answer.summary, answer)


def refuses_unsupported(lab: Lab, verb: str) -> None:
    """Send a verb in a version that does not exist."""
    container = lab.container()
    answer = lab.send(lab.request(verb, container).with_config(cniVersion=_NO_SUCH_VERSION))
    expect_refusal(answer, f"no version {_NO_SUCH_VERSION} is supported", codes={1})


def refuses_before_acting(lab: Lab) -> None:
    """Send an ADD in a version that does not exist, and look at the container."""
    container = lab.container()
    before = lab.look(container)
    answer = lab.send(lab.request("ADD", container).with_config(cniVersion=_NO_SUCH_VERSION))
    if error_document(answer) is not None:
        changes = before.differences(lab.look(container))
        expect(not changes, "a refused request to change nothing", "; ".join(changes), answer)
