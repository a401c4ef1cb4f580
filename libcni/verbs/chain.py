"""Running the plugins of one network, one after the other: order, requests and answers; no storage.

Go counterpart: the loops of ``AddNetworkList``, ``CheckNetworkList`` and ``DelNetworkList``. Source: SPEC 1.1.0,
section 3, "Attachment Parameters", "Adding an attachment", "Deleting an attachment", "Checking an attachment",
"Garbage-collecting a network" and "Checking a network for readiness".
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from libcni.errors import CNIError, PluginNotFoundError, PluginTimeoutError
from libcni.invoke.environment import (
    CurrentEnvironment,
    attachment_environment,
    network_environment,
    probe_environment,
)
from libcni.invoke.output import Invocation, PrevResult, check_success, read_result, read_version, start_error
from libcni.invoke.runner import HookedCall, PluginCall, do_steps, runs_hooks
from libcni.log import Log
from libcni.protocol.attachment import AttachmentKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from libcni.config.model import NetworkConfigList, PluginConfig
    from libcni.invoke.environment import PluginEnvironment
    from libcni.invoke.events import Watcher
    from libcni.invoke.runner import PluginOutput, Runner
    from libcni.invoke.steps import Steps
    from libcni.protocol.attachment import GCAttachment, RuntimeConf
    from libcni.protocol.versions import PluginInfo
    from libcni.storage.journal import OpenRecord

__all__ = [
    "Caller",
    "Job",
    "Limits",
    "Request",
    "attachment_request",
    "in_order",
    "undeclared_capabilities",
    "warn_of_undeclared",
]

T = TypeVar("T")

_log = Log("libcni")
_plugin_log = Log("libcni.plugin")

_current_environment = CurrentEnvironment()

VERSION_REQUEST = b'{"cniVersion":"1.1.0"}'


# A named tuple takes 0.13 ms to make at import, a frozen dataclass 0.45: that is for what users see.


class Limits(NamedTuple):
    """How long plugins may take, in seconds: each one, and all together until a point of the monotonic clock."""

    timeout: float | None
    deadline: float | None = None

    def left(self) -> float | None:
        """Return how long the next plugin may take."""
        if self.deadline is None:
            return self.timeout
        left = max(self.deadline - time.monotonic(), 0.0)
        return left if self.timeout is None else min(left, self.timeout)


class Job(NamedTuple):
    """One verb on one attachment: what every plugin of the chain is called with."""

    network: NetworkConfigList
    rt: RuntimeConf
    limits: Limits
    record: OpenRecord | None = None
    prev_result: str = ""
    """Encoded ``prevResult``, empty when there is none."""

    @property
    def key(self) -> AttachmentKey:
        """The three names that identify the attachment."""
        return AttachmentKey(self.network.name, self.rt.container_id, self.rt.ifname)


class Request(NamedTuple):
    """The path, request and environment of one plugin call."""

    invocation: Invocation
    stdin: bytes
    environment: PluginEnvironment

    def call(self, timeout: float | None, record: OpenRecord | None, before: Steps[None] | None) -> PluginCall:
        """Return the execution of it.

        :param record: gets the process id of a plugin that takes its time.
        :param before: is done while the plugin starts, and must succeed before it gets its request.
        """
        fields = self.invocation.path, self.stdin, self.environment, timeout, self._log_line
        if record is None:
            return PluginCall(*fields)
        return HookedCall(*fields, on_slow=record.note_plugin, before=before)

    def _log_line(self, line: str) -> None:
        place = self.invocation
        _plugin_log.info("%s %s %s/%s: %s", place.plugin, place.command, place.network, place.container_id, line)


class Caller(NamedTuple):
    """The caller of plugins: a runner, the plugin directories, the base environment, and who is told of the calls."""

    runner: Runner
    paths: Sequence[str]
    environ: Mapping[str, str] | None
    watcher: Watcher | None = None
    """Tells the observer of the calls, where there is one."""

    def _base(self) -> Mapping[str, str]:
        return _current_environment() if self.environ is None else self.environ

    def locate(self, command: str, network: NetworkConfigList, rt: RuntimeConf | None = None) -> list[Invocation]:
        """Find every plugin of a network before the first one runs.

        :raises PluginNotFoundError: if one is missing.
        """
        return [self._locate(command, plugin.type, network=network.name, rt=rt) for plugin in network.plugins]

    def _locate(self, command: str, plugin: str, *, network: str = "", rt: RuntimeConf | None = None) -> Invocation:
        container_id, ifname = (rt.container_id, rt.ifname) if rt is not None else ("", "")
        try:
            path = self.runner.find(plugin, self.paths)
        except PluginNotFoundError as error:
            place = Invocation(plugin, "", command, network, container_id, ifname)
            raise place.error(PluginNotFoundError, error.msg, paths=self.paths) from None
        return Invocation(plugin, path, command, network, container_id, ifname)

    async def add(
        self,
        job: Job,
        invocation: Invocation,
        plugin: PluginConfig,
        *,
        previous: PrevResult,
        environment: PluginEnvironment,
        before: Steps[None] | None = None,
    ) -> PrevResult:
        """Run ADD of one plugin with the result of the one before, and return its answer.

        :param before: file work that must succeed before the plugin gets its request.
        """

        def read(output: PluginOutput, timeout: float | None) -> PrevResult:
            check_success(invocation, output, timeout)
            return read_result(invocation, output, job.network.cni_version, before=previous)

        request = Request(invocation, attachment_request(plugin, job, previous.text), environment)
        return await self._answer(request, job.limits, job.record, before=before, read=read)

    async def check(self, job: Job) -> None:
        """Run CHECK along the chain, and stop at the first error."""
        environment = self.environment("CHECK", job)
        invocations = self.locate("CHECK", job.network, job.rt)
        for invocation, plugin in zip(invocations, job.network.plugins, strict=True):
            request = Request(invocation, attachment_request(plugin, job, job.prev_result), environment)
            await self._call(request, job.limits)

    async def delete(self, job: Job, *, before: Steps[None] | None = None) -> None:
        """Run DEL along the chain in reverse, and stop at the first error.

        :param before: as for :meth:`add`.
        """
        environment = self.environment("DEL", job)
        for plugin in in_order("DEL", job.network):
            await self._delete_one(job, plugin, environment, before=before)
            before = None

    async def delete_all(self, job: Job) -> list[CNIError]:
        """Run DEL along the chain in reverse, go on after errors, and return them."""
        errors: list[CNIError] = []
        environment = self.environment("DEL", job)
        for plugin in in_order("DEL", job.network):
            try:
                await self._delete_one(job, plugin, environment)
            except CNIError as error:
                errors.append(error)
        return errors

    async def _delete_one(
        self,
        job: Job,
        plugin: PluginConfig,
        environment: PluginEnvironment,
        *,
        before: Steps[None] | None = None,
    ) -> None:
        # Looked up at its turn: one that is gone must not keep those that come first from being deleted.
        invocation = self._locate("DEL", plugin.type, network=job.network.name, rt=job.rt)
        request = Request(invocation, attachment_request(plugin, job, job.prev_result), environment)
        await self._call(request, job.limits, job.record, before=before)

    def environment(self, command: str, job: Job) -> PluginEnvironment:
        """Return the environment of a whole chain: it is the same for each of its plugins."""
        return attachment_environment(self._base(), command, paths=self.paths, rt=job.rt)

    async def _call(
        self,
        request: Request,
        limits: Limits,
        record: OpenRecord | None = None,
        *,
        before: Steps[None] | None = None,
    ) -> None:
        read = functools.partial(check_success, request.invocation)
        await self._answer(request, limits, record, before=before, read=read)

    async def collect(self, network: NetworkConfigList, keep: Iterable[GCAttachment], limits: Limits) -> list[CNIError]:
        """Run GC on each plugin, go on after errors, and return them."""
        errors: list[CNIError] = []
        keep = tuple(keep)
        for plugin in network.plugins:
            stdin = plugin.gc_request(network.name, network.cni_version, keep)
            try:
                await self._call_network("GC", network, plugin, stdin=stdin, limits=limits)
            except CNIError as error:
                errors.append(error)
        return errors

    async def status(self, network: NetworkConfigList, limits: Limits) -> None:
        """Run STATUS on each plugin, and stop at the first that is not ready."""
        for plugin in network.plugins:
            stdin = plugin.request(network.name, network.cni_version)
            await self._call_network("STATUS", network, plugin, stdin=stdin, limits=limits)

    async def _call_network(
        self,
        command: str,
        network: NetworkConfigList,
        plugin: PluginConfig,
        *,
        stdin: bytes,
        limits: Limits,
    ) -> None:
        invocation = self._locate(command, plugin.type, network=network.name)
        environment = network_environment(self._base(), command, self.paths)
        await self._call(Request(invocation, stdin, environment), limits)

    async def version(self, plugin: str, limits: Limits) -> PluginInfo:
        """Ask a plugin which versions it supports.

        :raises PluginError: if it cannot be found, fails, or answers something else.
        """
        invocation = self._locate("VERSION", plugin)
        environment = probe_environment(self._base(), self.paths)
        request = Request(invocation, VERSION_REQUEST, environment)
        return await self._answer(request, limits, read=functools.partial(read_version, invocation))

    async def _answer(
        self,
        request: Request,
        limits: Limits,
        record: OpenRecord | None = None,
        *,
        read: Callable[[PluginOutput, float | None], T],
        before: Steps[None] | None = None,
    ) -> T:
        """Execute one plugin, and return what is read from its output; an observer is told of it."""
        if self.watcher is None:
            return read(*await self._execute(request, limits, record, before=before))
        with self.watcher.call(request.invocation, request.stdin) as call:
            request = request._replace(environment=call.environment(request.environment))
            call.output, timeout = await self._execute(request, limits, record, before=before)
            return read(call.output, timeout)

    async def _execute(
        self,
        request: Request,
        limits: Limits,
        record: OpenRecord | None = None,
        *,
        before: Steps[None] | None = None,
    ) -> tuple[PluginOutput, float | None]:
        """Execute one plugin, and return how many seconds it had."""
        timeout = limits.left()
        if timeout is not None and timeout <= 0 and limits.deadline is not None:
            raise request.invocation.error(PluginTimeoutError, "was not started: no time is left", timeout=0.0)
        if before is not None and not runs_hooks(self.runner):
            await do_steps(self.runner, before)
            before = None
        try:
            return await self.runner.run(request.call(timeout, record, before)), timeout
        except PluginTimeoutError:
            raise
        except OSError as error:
            raise start_error(request.invocation, error) from error


def in_order(command: str, network: NetworkConfigList) -> Sequence[PluginConfig]:
    """Return the plugins of a network in the order of a verb (SPEC 1.1.0, section 3: DEL runs in reverse)."""
    return network.plugins[::-1] if command == "DEL" else network.plugins


def undeclared_capabilities(network: NetworkConfigList, rt: RuntimeConf) -> list[str]:
    """Return the capability arguments that reach no plugin, as none of the chain declares the capability, sorted."""
    if not rt.capability_args:
        return []
    declared = {name for plugin in network.plugins for name in plugin.used_capabilities}
    return sorted(rt.capability_args.keys() - declared)


def warn_of_undeclared(network: NetworkConfigList, rt: RuntimeConf) -> None:
    """Log each capability argument that reaches no plugin; its value may be a secret, and is left out."""
    for name in undeclared_capabilities(network, rt):
        _log.warning("network %s: no plugin declares the capability %r, its argument is not used", network.name, name)


def attachment_request(plugin: PluginConfig, job: Job, prev_result: str) -> bytes:
    """Build what goes to one plugin's stdin for ADD, CHECK or DEL."""
    inserted = plugin.runtime_config(job.rt.capability_args)
    if prev_result:
        inserted["prevResult"] = prev_result
    return plugin.request(job.network.name, job.network.cni_version, **inserted)
