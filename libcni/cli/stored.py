"""Networks whose configuration file is gone or bad, taken as they were stored at ADD."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from libcni.errors import CNIError, ConfigError, InvalidParameterError
from libcni.identifiers import check_network_name
from libcni.loader import load_network_conf
from libcni.record import Record
from libcni.store import parse_stored
from libcni.verbs.stored import stored_network

if TYPE_CHECKING:
    from libcni.attachment import AttachmentKey
    from libcni.cli.settings import Settings
    from libcni.config import NetworkConfigList
    from libcni.store import Store

__all__ = ["load_for_attachment", "load_for_network"]


def load_for_attachment(settings: Settings, store: Store, key: AttachmentKey) -> NetworkConfigList:
    """Load a network, or take it as it is stored for an attachment, and say so on stderr.

    :raises ConfigError: if it cannot be loaded, and nothing of the attachment is stored.
    :raises OSError: if the directory cannot be read, and nothing of the attachment is stored.
    """
    try:
        return load_network_conf(settings.directory, key.network)
    except (ConfigError, OSError) as error:
        network = _stored_for(store, key, error)
        if network is None:
            raise
        _say(key.network, error)
        return network


def load_for_network(settings: Settings, store: Store, name: str) -> NetworkConfigList:
    """Load a network, or take it as it is stored for most of its attachments, and say so on stderr.

    :raises ConfigError: if it cannot be loaded, and it has nothing stored.
    :raises OSError: if the directory cannot be read, and it has nothing stored.
    """
    try:
        return load_network_conf(settings.directory, name)
    except (ConfigError, OSError) as error:
        network = _stored_of(store, name)
        if network is None:
            raise
        _say(name, error)
        return network


def _say(name: str, problem: Exception) -> None:
    click.echo(f"cnitool: network {name!r} is used as it was stored at ADD: {problem}", err=True)


def _stored_for(store: Store, key: AttachmentKey, error: Exception) -> NetworkConfigList | None:
    """Return the stored network of an attachment, or ``None``; what is damaged is noted on the error."""
    try:
        key.check()
    except InvalidParameterError:
        return None  # nothing can be stored under such a name
    known = store.known(key)
    network, damage = stored_network(known, None)
    for problem in (*known.problems, *([damage] if damage is not None else [])):
        error.add_note(f"what is stored cannot be used: {problem}")
    return network if network is not None and network.name == key.network else None


def _stored_of(store: Store, name: str) -> NetworkConfigList | None:
    """Return a network as most of its attachments have it; one that is damaged does not count."""
    try:
        check_network_name(name)
    except InvalidParameterError:
        return None
    documents = [item.config for item in store.cache.scan().known() if item.network == name]
    documents += [
        each.config for _, each in store.journal.scan() if isinstance(each, Record) and each.key.network == name
    ]
    for document, _ in Counter(documents).most_common():
        try:
            network = parse_stored(document)
        except CNIError:
            continue
        if network.name == name:
            return network
    return None
