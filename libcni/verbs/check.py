"""CHECK: whether an attachment is as its ADD has made it.

Go counterpart: ``CheckNetworkList``. Source: SPEC 1.1.0, section 3, "Checking an attachment".
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from libcni.errors import AttachmentNotFoundError, CheckNotSupportedError
from libcni.protocol.versions import CHECK_SINCE, is_at_least
from libcni.storage.namespace import is_same_namespace
from libcni.verbs.chain import Job, Limits, warn_of_undeclared
from libcni.verbs.context import check_network
from libcni.verbs.stored import prev_result

if TYPE_CHECKING:
    from libcni.config.model import NetworkConfigList
    from libcni.protocol.attachment import AttachmentKey, RuntimeConf
    from libcni.storage.store import Store
    from libcni.verbs.context import VerbContext

__all__ = ["check", "check_namespace"]


async def check(  # noqa: PLR0917 -- all verbs take these four
    context: VerbContext, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None
) -> None:
    """Check an attachment; nothing is checked where the network has that disabled."""
    work = _check(context, network, rt, timeout)
    await context.observed(work, "CHECK", network=network.name, container_id=rt.container_id, ifname=rt.ifname)


async def _check(  # noqa: PLR0917 -- as above
    context: VerbContext, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None
) -> None:
    key = rt.check(network.name)
    check_network(network)
    if network.disable_check:
        return
    if not is_at_least(network.cni_version, CHECK_SINCE):
        raise CheckNotSupportedError(network.cni_version)
    warn_of_undeclared(network, rt)
    async with context.waiter.locked(key.network, key.container_id):
        entry = await context.entry(key)
        if entry is None:
            raise AttachmentNotFoundError(*key)
        await context.runner.call(functools.partial(check_namespace, context.store, key, rt))
        stored = prev_result(entry, network.cni_version)
        await context.caller.check(Job(network, rt, Limits(timeout), prev_result=stored))


def check_namespace(store: Store, key: AttachmentKey, rt: RuntimeConf) -> None:
    """Check that the namespace is that of the ADD, by the same knowledge as DEL.

    :raises AttachmentNotFoundError: if another one has its path, or none.
    """
    with store.journal.open(key) as opened:
        record = store.known(key, opened).recorded
    if record is None or record.identity is None or is_same_namespace(rt.netns, record.identity):
        return
    error = AttachmentNotFoundError(*key)
    error.add_note(f"{rt.netns} is not the network namespace of the ADD: that one is gone, or has another path")
    raise error
