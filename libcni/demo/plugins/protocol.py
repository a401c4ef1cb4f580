"""The part that all plugins share: read the request, look for the verb, print the answer or the error.

Owns the plugin side of the execution protocol, as far as the demo plugins need it. Go counterpart: ``skel.PluginMain``.
Source: SPEC 1.1.0, sections 2 (execution protocol) and 5 (result types).
"""

from __future__ import annotations

import json
import os
import string
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TextIO

    Handler = Callable[["Request"], dict[str, Any] | None]

__all__ = [
    "DECODING_FAILURE",
    "INCOMPATIBLE_VERSION",
    "INVALID_CONFIG",
    "INVALID_ENVIRONMENT",
    "IO_FAILURE",
    "NOT_AVAILABLE",
    "SUPPORTED_VERSIONS",
    "ProtocolError",
    "Request",
    "run_plugin",
]

SUPPORTED_VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Every version whose results carry a list ``ips``; what came before has another shape."""

INCOMPATIBLE_VERSION = 1
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_CONFIG = 7
NOT_AVAILABLE = 50

# SPEC 2, "Parameters": what each verb needs, and the version that introduced the verb.
REQUIRED_VARIABLES = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "GC": ("CNI_PATH",),
    "STATUS": (),
}
INTRODUCED = {"ADD": "0.3.0", "DEL": "0.3.0", "CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}


_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "_.-")


class ProtocolError(Exception):
    """The error of the specification: a number, a short text and a longer one."""

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.details = details


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a plugin: the configuration from stdin, and the parameters from the environment."""

    config: Mapping[str, Any]
    container_id: str
    ifname: str

    @property
    def version(self) -> str:
        """Return the version of the specification that the runtime speaks."""
        version = self.config.get("cniVersion", "0.1.0")
        return version if isinstance(version, str) else repr(version)

    @property
    def network(self) -> str:
        """Return the name of the network.

        :raises ProtocolError: if there is none, or none that can be part of a file name.
        """
        name = self.config.get("name")
        if not isinstance(name, str) or not name or not name[0].isalnum() or not set(name) <= _NAME_CHARACTERS:
            raise ProtocolError(INVALID_CONFIG, f"invalid network name {name!r}")
        return name

    @property
    def previous(self) -> dict[str, Any]:
        """Return the result of the plugins before this one, or of the ADD.

        :raises ProtocolError: if the runtime handed none over.
        """
        result = self.config.get("prevResult")
        if not _is_object(result):
            raise ProtocolError(
                INVALID_CONFIG, "prevResult is missing", "this verb needs the result of what ran before it"
            )
        return result

    @property
    def previous_addresses(self) -> set[str]:
        """Return the addresses of :attr:`previous`, without their prefix lengths.

        :raises ProtocolError: if there is no result, or none that can be read.
        """
        try:
            return {entry["address"].partition("/")[0] for entry in self.previous.get("ips", [])}
        except (AttributeError, KeyError, TypeError) as error:
            raise ProtocolError(INVALID_CONFIG, "prevResult.ips cannot be read", repr(error)) from error

    @property
    def valid_attachments(self) -> set[tuple[str, str]]:
        """Return container id and interface name of every attachment that a GC must keep.

        :raises ProtocolError: if the runtime names none at all: an absent list is no permission to drop everything.
        """
        try:
            return {(entry["containerID"], entry["ifname"]) for entry in self.config["cni.dev/valid-attachments"]}
        except (KeyError, TypeError) as error:
            raise ProtocolError(INVALID_CONFIG, "cni.dev/valid-attachments cannot be used", repr(error)) from error


def run_plugin(
    handlers: Mapping[str, Handler],
    *,
    environ: Mapping[str, str] = os.environ,
    stdin: TextIO = sys.stdin,
    stdout: TextIO = sys.stdout,
) -> int:
    """Answer one call and return the exit status.

    :param handlers: one function per verb; it returns what the plugin prints, ``None`` for nothing.
    """
    config: Mapping[str, Any] = {}
    try:
        config = _read_config(stdin)
        answer = _dispatch(handlers, config, environ)
    except ProtocolError as failure:
        version = config.get("cniVersion", SUPPORTED_VERSIONS[-1])
        error = {"cniVersion": version, "code": failure.code, "msg": failure.msg, "details": failure.details}
        print(json.dumps(error), file=stdout)
        return 1
    if answer is not None:
        print(json.dumps(answer), file=stdout)
    return 0


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _read_config(stdin: TextIO) -> dict[str, Any]:
    try:
        config: object = json.load(stdin)
    except ValueError as error:
        raise ProtocolError(DECODING_FAILURE, "the configuration on stdin is not JSON", str(error)) from error
    if not _is_object(config):
        raise ProtocolError(DECODING_FAILURE, "the configuration on stdin is not a JSON object")
    return config


def _dispatch(
    handlers: Mapping[str, Handler], config: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, Any] | None:
    verb = environ.get("CNI_COMMAND", "")
    request = Request(config, environ.get("CNI_CONTAINERID", ""), environ.get("CNI_IFNAME", ""))
    if verb == "VERSION":
        version = request.version if request.version in SUPPORTED_VERSIONS else SUPPORTED_VERSIONS[-1]
        return {"cniVersion": version, "supportedVersions": list(SUPPORTED_VERSIONS)}
    if verb not in REQUIRED_VARIABLES:
        raise ProtocolError(INVALID_ENVIRONMENT, f"unknown CNI_COMMAND: {verb}")
    missing = [name for name in REQUIRED_VARIABLES[verb] if not environ.get(name)]
    if missing:
        raise ProtocolError(INVALID_ENVIRONMENT, f"required variables are missing: {', '.join(missing)}")
    _check_version(verb, request.version)
    return handlers[verb](request)


def _check_version(verb: str, version: str) -> None:
    if version not in SUPPORTED_VERSIONS:
        known = ", ".join(SUPPORTED_VERSIONS)
        raise ProtocolError(INCOMPATIBLE_VERSION, f"version {version} is not supported", f"supported are {known}")
    if SUPPORTED_VERSIONS.index(version) < SUPPORTED_VERSIONS.index(INTRODUCED[verb]):
        raise ProtocolError(INCOMPATIBLE_VERSION, f"version {version} has no verb {verb}")
