"""A dry run of a verb: each plugin call of ADD, CHECK or DEL, with binary, environment and request.

The requests are built by the functions that the verbs themselves use. Nothing is run, locked or written. Go libcni has
no counterpart. Source: SPEC 1.1.0, section 3.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from libcni.errors import (
    AttachmentExistsError,
    AttachmentNotFoundError,
    CheckNotSupportedError,
    CNIError,
    InvalidParameterError,
    PluginNotFoundError,
)
from libcni.invoke.environment import attachment_environment
from libcni.invoke.find import find_in_path
from libcni.jsontext.decode import decode_text
from libcni.jsontext.encode import dump
from libcni.jsontext.scan import split_array, split_object
from libcni.protocol.versions import CHECK_SINCE, is_at_least
from libcni.storage.journal_record import State
from libcni.storage.store import Known, Store
from libcni.verbs.admission import look_first
from libcni.verbs.chain import Job, Limits, attachment_request, in_order, undeclared_capabilities
from libcni.verbs.check import check_namespace
from libcni.verbs.context import check_network
from libcni.verbs.stored import prev_result, prev_result_for_delete, stored_network, stored_runtime_conf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from libcni.config.model import NetworkConfigList, PluginConfig
    from libcni.protocol.attachment import AttachmentKey, RuntimeConf

__all__ = ["COMMANDS", "Command", "Plan", "PlannedCall", "Planner"]

Command: TypeAlias = Literal["ADD", "CHECK", "DEL"]
COMMANDS: tuple[Command, ...] = ("ADD", "CHECK", "DEL")

_NO_LIMIT = Limits(None)
_NOTHING = Known(None, None)
_PROTOCOL_PREFIX = "CNI_"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One plugin call that would be made.

    ``path`` is the binary, ``""`` when no directory has it. ``request`` is the document for stdin. ``unknown_result``
    names the plugin whose result would be ``prevResult``; a text in angle brackets stands there instead.
    """

    plugin: str
    path: str
    environment: Mapping[str, str]
    request: bytes
    unknown_result: str = ""

    def protocol_environment(self) -> dict[str, str]:
        """Return the variables of the protocol, without those that are passed through."""
        return {name: value for name, value in self.environment.items() if name.startswith(_PROTOCOL_PREFIX)}

    def pretty_request(self) -> str:
        """Return the request with line breaks; numbers stand as they were written."""
        return _pretty(decode_text(self.request), "")


@dataclass(frozen=True, slots=True)
class Plan:
    """The plugin calls that a verb would make, in their order.

    ``problems`` are the errors with which it would be refused before anything runs; ``notes`` are worth knowing.
    """

    command: Command
    network: str
    calls: Sequence[PlannedCall]
    problems: Sequence[CNIError] = ()
    notes: Sequence[str] = ()


class Planner:
    """Plans verbs.

    :param paths: plugin directories, in order of preference.
    :param cache_dir: where results are kept; without it, plans are made as if nothing was stored.
    :param environ: base environment of the plugins; the current one when left out.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        cache_dir: str | PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._paths = tuple(paths)
        self._store = None if cache_dir is None else Store(os.fspath(cache_dir), durable=False)
        self._environ = os.environ if environ is None else environ

    def plan(self, command: Command, network: NetworkConfigList, rt: RuntimeConf) -> Plan:
        """Return the plan of ADD, CHECK or DEL; that of DEL is made from the stored attachment, if there is one.

        :raises InvalidParameterError: if a name or an argument is not allowed, or ``command`` is none of the three.
        :raises VersionError: if the version of the network is not supported.
        :raises ConfigError: if the network has no plugins.
        :raises CNIError: if the stored result is damaged, which CHECK needs.
        """
        if command not in COMMANDS:
            raise InvalidParameterError("command", command, f"must be one of {', '.join(COMMANDS)}")
        key = rt.check(network.name)
        check_network(network)
        if command == "CHECK" and network.disable_check:
            return Plan(command, network.name, (), notes=("disableCheck is set: nothing is run",))
        known = self._known(key)
        problems, notes = _refusals(command, network, known, key=key)
        problems += self._conflicts(command, key, rt)
        job = Job(network, rt, _NO_LIMIT)
        if command == "DEL":
            job, more = _stored_job(job, known)
            notes += more
        notes += [
            f"no plugin declares the capability {name!r}, its argument is not used"
            for name in undeclared_capabilities(job.network, job.rt)
        ]
        calls = self._calls(command, _with_result(command, job, known))
        problems += [_not_found(call, self._paths) for call in calls if not call.path]
        return Plan(command, network.name, calls, problems, notes)

    def _conflicts(self, command: Command, key: AttachmentKey, rt: RuntimeConf) -> list[CNIError]:
        """Return the errors with which the namespace, as it is now, refuses a verb."""
        try:
            if self._store is not None and command == "ADD":
                look_first(self._store, key, rt)
            elif self._store is not None and command == "CHECK":
                check_namespace(self._store, key, rt)
        except CNIError as error:
            return [error]
        return []

    def diff(self, command: Command, network: NetworkConfigList, rt: RuntimeConf) -> list[str]:
        """Return how the calls with what is given differ from those with what was stored at ADD, as a unified diff.

        :raises AttachmentNotFoundError: if nothing is stored of the attachment.
        :raises CNIError: if what is stored is damaged, or what is given is not allowed.
        """
        key = rt.check(network.name)
        check_network(network)
        known = self._known(key)
        stored, problem = stored_network(known, None)
        if stored is None:
            raise problem or next(iter(known.problems), None) or AttachmentNotFoundError(*key)
        before = Job(stored, stored_runtime_conf(known, replace(rt, netns="")), _NO_LIMIT)
        then, now = (
            _lines(self._calls(command, _with_result(command, job, known)))
            for job in (before, Job(network, rt, _NO_LIMIT))
        )
        return list(difflib.unified_diff(then, now, "stored at ADD", "now", lineterm=""))

    def _known(self, key: AttachmentKey) -> Known:
        return _NOTHING if self._store is None else self._store.known(key)

    def _calls(self, command: Command, job: Job) -> list[PlannedCall]:
        calls: list[PlannedCall] = []
        unknown = ""
        for plugin in in_order(command, job.network):
            calls.append(self._call(command, plugin, job, unknown=unknown))
            # What a plugin answers to ADD is known only when it has run; CHECK and DEL get the stored result.
            unknown = plugin.type if command == "ADD" else ""
        return calls

    def _call(self, command: Command, plugin: PluginConfig, job: Job, *, unknown: str) -> PlannedCall:
        try:
            path = find_in_path(plugin.type, self._paths)
        except PluginNotFoundError:
            path = ""
        environment = attachment_environment(self._environ, command, paths=self._paths, rt=job.rt)
        result = dump(f"<result of {unknown}>") if unknown else job.prev_result
        return PlannedCall(plugin.type, path, environment, attachment_request(plugin, job, result), unknown)


def _refusals(
    command: Command, network: NetworkConfigList, known: Known, *, key: AttachmentKey
) -> tuple[list[CNIError], list[str]]:
    """Return the errors with which the stored state refuses a verb, and the notes on it."""
    damage = [str(problem) for problem in known.problems]
    if command == "DEL":
        return [], damage
    if command == "ADD":
        exists, notes = _in_the_way(known, key)
        return exists, damage + notes
    if not is_at_least(network.cni_version, CHECK_SINCE):
        return [CheckNotSupportedError(network.cni_version)], damage
    if known.entry is None:
        return [*known.problems] or [AttachmentNotFoundError(*key)], []
    return [], damage


def _in_the_way(known: Known, key: AttachmentKey) -> tuple[list[CNIError], list[str]]:
    """Return the errors with which the stored state refuses an ADD, and the notes on what it does first."""
    record = known.record
    if record is not None and record.is_unfinished(has_result=known.has_file):
        return [], [
            "an earlier ADD or DEL of it is unfinished: it is deleted first, and when that fails nothing is run"
        ]
    # Without a result, what was added has been deleted by another program.
    is_recorded = record is not None and (known.has_file or record.state is not State.ADDED)
    return [AttachmentExistsError(*key)] if is_recorded or known.entry is not None else [], []


def _stored_job(job: Job, known: Known) -> tuple[Job, list[str]]:
    """Return the job of a DEL, with the configuration and the arguments of the ADD."""
    network, problem = stored_network(known, job.network)
    if known.entry is None and known.record is None:
        return job, ["nothing is stored of this attachment: DEL works from the given configuration"]
    notes = [] if problem is None else [f"the stored configuration is damaged, so the given one is used: {problem}"]
    if network not in {None, job.network}:
        notes.append("the stored configuration differs from the file, and is the one that counts")
    return job._replace(network=network or job.network, rt=stored_runtime_conf(known, job.rt)), notes


def _with_result(command: Command, job: Job, known: Known) -> Job:
    """Return the job with the stored result, which CHECK and DEL pass on."""
    version = job.network.cni_version
    if command == "DEL":
        return job._replace(prev_result=prev_result_for_delete(known.entry, version))
    if command == "CHECK" and known.entry is not None:
        return job._replace(prev_result=prev_result(known.entry, version))
    return job


def _not_found(call: PlannedCall, paths: Sequence[str]) -> PluginNotFoundError:
    return PluginNotFoundError(f"not found in {', '.join(paths)}", plugin=call.plugin, paths=paths)


def _pretty(text: str, indent: str) -> str:
    """Write a document with line breaks, and every number and text in it as it was.

    >>> print(_pretty('{"mtu":1.50}', ""))
    {
      "mtu": 1.50
    }
    """
    inner = indent + "  "
    text = text.strip()
    if text[0] == "{":
        items = [f"{inner}{dump(key)}: {_pretty(value, inner)}" for key, value in split_object(text).items()]
    elif text[0] == "[":
        items = [inner + _pretty(value, inner) for value in split_array(text)]
    else:
        return text
    return text[0] + "\n" + ",\n".join(items) + "\n" + indent + text[-1] if items else text[0] + text[-1]


def _lines(calls: Sequence[PlannedCall]) -> list[str]:
    lines: list[str] = []
    for call in calls:
        lines.append(f"{call.plugin}: {call.path or 'not found'}")
        lines += [f"  {name}={value}" for name, value in call.protocol_environment().items()]
        lines += [f"  {line}" for line in call.pretty_request().split("\n")]
    return lines
