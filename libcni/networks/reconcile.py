"""Reconciliation: what is stored, against the containers that exist and the namespaces that exist.

Go counterpart: none. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering" and "Garbage-collecting a network".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from libcni.errors import CNIError, CNIErrorGroup, InvalidParameterError
from libcni.networks.expected import read_expected, read_once
from libcni.networks.stored import all_keys
from libcni.protocol.attachment import AttachmentKey
from libcni.storage.locks import setup_lock
from libcni.verbs.forget import forget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcni.config.model import NetworkConfigList
    from libcni.networks.expected import Expected, ExpectedAttachments
    from libcni.networks.operations import ContainerOperations
    from libcni.networks.snapshot import Snapshot
    from libcni.networks.stored import StoredAttachment

__all__ = ["Action", "Finding", "ReconcilePolicy", "ReconcileStep", "Reconciler"]

Finding: TypeAlias = Literal[
    "in order", "unexpected", "namespace gone", "check failed", "unfinished", "running", "missing"
]
Action: TypeAlias = Literal["none", "delete", "forget", "re-add"]

PARALLEL_CONTAINERS = 32
"""Containers that are worked on at once; the limit of plugin chains holds as well."""


@dataclass(frozen=True, kw_only=True)
class ReconcilePolicy:
    """The action for each finding: ``"none"``, ``"delete"`` (DEL), ``"forget"`` (no plugin runs) or ``"re-add"``.

    :param unexpected: for a container that does not exist.
    :param namespace_gone: for a container whose namespace is gone, after a reboot above all. ``"re-add"`` needs a new
        namespace at the same path; where there is none, it is a DEL.
    :param check_failed: for an attachment that is not as it was added.
    :param unfinished: for an ADD or DEL that was begun and not finished by a process that is gone.
    :param check: whether to run CHECK at all.
    :raises InvalidParameterError: if an action makes no sense.
    """

    unexpected: Action = "delete"
    namespace_gone: Action = "delete"
    check_failed: Action = "none"
    unfinished: Action = "delete"
    check: bool = True

    def __post_init__(self) -> None:
        for name in ("unexpected", "namespace_gone", "check_failed", "unfinished"):
            value = getattr(self, name)
            if value not in get_args(Action):
                raise InvalidParameterError(name, value, f"is none of {', '.join(get_args(Action))}")
        if self.unexpected == "re-add":
            raise InvalidParameterError("unexpected", self.unexpected, "there is no container to add")

    def action(self, finding: Finding) -> Action:
        """Return the action for a finding."""
        actions: dict[Finding, Action] = {
            "unexpected": self.unexpected,
            "namespace gone": self.namespace_gone,
            "check failed": self.check_failed,
            "unfinished": self.unfinished,
        }
        return actions.get(finding, "none")


DEFAULT_POLICY = ReconcilePolicy()


@dataclass(frozen=True, kw_only=True)
class ReconcileStep:
    """A finding, and what was done, or would be.

    ``"missing"``: the container is expected, and nothing is stored for it, or for the interface that was named.
    ``"running"``: another operation works on it. ``done`` is whether the action has succeeded; ``reason`` says more,
    and ``error`` is why CHECK or the action failed. ``network`` and ``ifname`` are empty where they are not known.
    """

    container_id: str
    network: str = ""
    ifname: str = ""
    finding: Finding
    action: Action = "none"
    done: bool = False
    reason: str = ""
    error: CNIError | None = None

    @property
    def key(self) -> AttachmentKey:
        """The three names of the attachment."""
        return AttachmentKey(self.network, self.container_id, self.ifname)


class Reconciler:
    """One reconciliation.

    :param timeout: seconds for each plugin.
    """

    def __init__(self, operations: ContainerOperations, snapshot: Snapshot, *, timeout: float | None) -> None:
        self._operations = operations
        self._context = operations.context
        self._runner = self._context.runner
        self._snapshot = snapshot
        self._timeout = timeout

    async def run(self, expected: Expected, policy: ReconcilePolicy, *, dry_run: bool) -> list[ReconcileStep]:
        """Return the steps, sorted; in a dry run nothing is changed, and CHECK is not run."""
        expected = read_once(expected)
        unexpected = await self._unexpected(expected, policy, dry_run=dry_run)
        there = await read_expected(expected)
        keys = await self._runner.call(functools.partial(all_keys, self._context.store))
        known = {key.container_id for key in keys if there.has(key)}
        container = functools.partial(self._container, known=there, expected=expected, policy=policy, dry_run=dry_run)
        jobs = [functools.partial(container, each) for each in sorted(known)]
        found = await self._runner.gather(jobs, limit=PARALLEL_CONTAINERS)
        steps = [*unexpected, *(step for steps in found for step in steps), *_missing(there, keys)]
        return sorted(steps, key=lambda step: (step.container_id, step.network, step.ifname))

    async def _unexpected(self, expected: Expected, policy: ReconcilePolicy, *, dry_run: bool) -> list[ReconcileStep]:
        """Collect the attachments of containers that do not exist; the list is read under the locks."""
        action = policy.unexpected
        problems: list[CNIError] = []
        is_dry = dry_run or action != "delete"
        try:
            stale = await self._operations.collect(self._snapshot, expected, dry_run=is_dry, timeout=self._timeout)
            keys = [item.key for item in stale]
        except CNIErrorGroup as error:
            problems = [each for each in error.exceptions if isinstance(each, CNIError)]
            keys = [AttachmentKey(*names) for names in error.deleted]
        steps = [_step(key, "unexpected", action, done=action == "delete" and not dry_run) for key in keys]
        if action == "forget" and not dry_run:
            steps = [await self._forget(step) for step in steps]
        return steps + [_problem(problem, action) for problem in problems]

    async def _container(
        self,
        container_id: str,
        *,
        known: ExpectedAttachments,
        expected: Expected,
        policy: ReconcilePolicy,
        dry_run: bool,
    ) -> list[ReconcileStep]:
        """Reconcile one container that exists.

        :param known: what existed when the list was read last.
        """
        lock = setup_lock(container_id)
        busy = await self._runner.call(functools.partial(self._context.store.locks.holders, [lock]))
        if lock in busy:
            return [ReconcileStep(container_id=container_id, finding="running", reason=f"by process {busy[lock]}")]
        try:
            async with self._operations.alone(container_id):
                stored = await self._operations.stored_of(container_id)
                mine = [item for item in stored if item.owner == self._context.owner]
                steps = [await self._finding(item, policy, dry_run=dry_run) for item in mine]
                if all(step.action == "none" for step in steps):
                    return [step for step in steps if known.has(step.key)]
                there = await read_expected(expected)  # again: now nothing else works on the container
                work = [(step, item) for step, item in zip(steps, mine, strict=True) if there.has(item.key)]
                return [await self._done(step, item, dry_run=dry_run) for step, item in work]
        except CNIError as error:
            return [ReconcileStep(container_id=container_id, finding="running", error=error)]

    async def _finding(self, item: StoredAttachment, policy: ReconcilePolicy, *, dry_run: bool) -> ReconcileStep:
        finding, problem = await self._find(item, policy, dry_run=dry_run)
        step = replace(_step(item.key, finding, policy.action(finding)), error=problem)
        if step.action == "re-add" and item.is_namespace_gone() and not item.has_namespace():
            step = replace(step, action="delete", reason="there is no namespace to add it to")
        return step

    async def _done(self, step: ReconcileStep, item: StoredAttachment, *, dry_run: bool) -> ReconcileStep:
        if dry_run or step.action == "none":
            return step
        try:
            await self._act(step, item)
        except CNIError as error:
            return replace(step, error=error)
        return replace(step, done=True)

    async def _find(
        self, item: StoredAttachment, policy: ReconcilePolicy, *, dry_run: bool
    ) -> tuple[Finding, CNIError | None]:
        if item.is_unfinished:
            return "unfinished", None
        if await self._runner.call(item.is_namespace_gone):
            return "namespace gone", None
        if dry_run or not policy.check:
            return "in order", None
        async with self._operations.gate.turn():
            problem = await self._operations.check_one(item, self._timeout)
        return ("in order", None) if problem is None else ("check failed", problem)

    async def _act(self, step: ReconcileStep, item: StoredAttachment) -> None:
        if step.action == "forget":
            await forget(self._context, item.key.container_id, ifname=item.key.ifname, network=item.key.network)
            return
        network, rt = item.network() or self._named(item.key.network), item.runtime_conf
        async with self._operations.gate.turn() as turn:
            await self._operations.delete_one(item.key, rt, given=network, timeout=self._timeout, turn=turn)
            if step.action == "re-add" and network is not None:
                await self._operations.add_one(network, rt, self._timeout, turn=turn)

    def _named(self, name: str) -> NetworkConfigList | None:
        return next((network for network in self._snapshot.networks if network.name == name), None)

    async def _forget(self, step: ReconcileStep) -> ReconcileStep:
        try:
            await forget(self._context, step.container_id, ifname=step.ifname, network=step.network)
        except CNIError as error:
            return replace(step, error=error)
        return replace(step, done=True)


def _step(key: AttachmentKey, finding: Finding, action: Action, *, done: bool = False) -> ReconcileStep:
    return ReconcileStep(
        container_id=key.container_id, network=key.network, ifname=key.ifname, finding=finding, action=action, done=done
    )


def _problem(error: CNIError, action: Action) -> ReconcileStep:
    """Return the step of garbage collection that failed; the error names the attachment where there is one."""
    names = [str(getattr(error, name, "") or "") for name in ("container_id", "network", "ifname")]
    return ReconcileStep(
        container_id=names[0], network=names[1], ifname=names[2], finding="unexpected", action=action, error=error
    )


def _missing(expected: ExpectedAttachments, keys: Iterable[AttachmentKey]) -> list[ReconcileStep]:
    containers = expected.containers - {key.container_id for key in keys}
    pairs = expected.pairs - {key[1:] for key in keys}
    steps = [ReconcileStep(container_id=container_id, finding="missing") for container_id in containers]
    return steps + [
        ReconcileStep(container_id=container_id, ifname=ifname, finding="missing") for container_id, ifname in pairs
    ]
