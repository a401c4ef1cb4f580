"""The verb that shows everything that is stored about attachments: inspect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from libcni.cli.advice import closest
from libcni.cli.arguments import container_argument, network_option
from libcni.cli.failure import note_call
from libcni.cli.settings import Settings, default_container_id, pass_settings
from libcni.errors import CNIError, ErrorCode
from libcni.jsontext.decode import parse
from libcni.jsontext.encode import dump
from libcni.jsontext.frozen import thaw
from libcni.jsontext.scan import DocumentError
from libcni.jsontext.secrets import HIDDEN, is_secret, without_secrets
from libcni.storage.namespace import is_same_namespace
from libcni.verbs.configured import DEFAULT_CACHE_DIR

if TYPE_CHECKING:
    from libcni.api import CNIConfig
    from libcni.storage.attachment import NetworkAttachment
    from libcni.storage.store import Store

__all__ = ["inspect_command"]


@click.command("inspect")
@container_argument("CONTAINER_ID|NETNS")
@network_option("--network", help="Only of this network. [all]")
@pass_settings(("cache_dir", "ifname", "output"))
def inspect_command(settings: Settings, *, container: str, network: str | None) -> None:
    """Show what is stored about the attachments of a container: state, arguments, result and configuration.

    A path, with a slash in it, stands for the container id that add makes of it. Values that may be secrets are left
    out.
    """
    container_id = default_container_id(settings.absolute(container)) if "/" in container else container
    note_call(network=network or "", containerID=container_id, ifname=settings.ifname or "")
    config = settings.config()
    stored = config.get_cached_attachments(container_id)
    known = {item.key for item in stored}
    found = [*stored, *[item for item in config.pending() if item.key not in known]]
    found = [item for item in found if _is_asked_for(item, container_id, network, ifname=settings.ifname)]
    if not found:
        place = settings.cache_dir or DEFAULT_CACHE_DIR
        message = f"nothing is stored about container {container_id!r} in {place}"
        raise _with_hint(CNIError(message, code=ErrorCode.UNKNOWN_CONTAINER), container_id, config)
    store = settings.store()
    documents = [_document(item, store) for item in found]
    click.echo(dump(documents) if settings.is_json else "\n\n".join(map(_text, documents)))


def _with_hint(error: CNIError, container_id: str, config: CNIConfig) -> CNIError:
    """Note on an error which container was probably meant."""
    near = closest(container_id, [item.container_id for item in config.get_cached_attachments()])
    if near is not None and near != container_id:
        error.add_note(f"did you mean {near!r}?")
    return error


def _is_asked_for(item: NetworkAttachment, container_id: str, network: str | None, *, ifname: str | None) -> bool:
    return item.container_id == container_id and network in {None, item.network} and ifname in {None, item.ifname}


def _document(item: NetworkAttachment, store: Store) -> dict[str, Any]:
    return {
        "network": item.network,
        "containerID": item.container_id,
        "ifname": item.ifname,
        "netns": item.netns,
        "netnsState": _state_of_namespace(item, store),
        "state": item.state,
        "pid": item.pid,
        "args": {key: HIDDEN if is_secret(key) else value for key, value in item.cni_args},
        "capabilityArgs": without_secrets(thaw(item.capability_args)),
        "result": item.result and item.result.to_dict(),
        "config": _config(item.config),
    }


def _state_of_namespace(item: NetworkAttachment, store: Store) -> str:
    """Return ``present``, ``gone`` (also when another one has its path), or ``unknown``."""
    with store.journal.open(item.key) as opened:
        record = store.known(item.key, opened).recorded
    if not item.netns or record is None or record.identity is None:
        return "unknown"
    return "present" if is_same_namespace(item.netns, record.identity) else "gone"


def _config(config: bytes) -> object:
    try:
        return without_secrets(parse(config))
    except DocumentError:
        return None


def _text(document: dict[str, Any]) -> str:
    state = document["state"] + (f" (process {document['pid']})" if document["pid"] is not None else "")
    args = ", ".join(f"{key}={value}" for key, value in document["args"].items())
    lines = [
        f"network        {document['network']}",
        f"container      {document['containerID']}",
        f"interface      {document['ifname']}",
        f"namespace      {document['netns'] or 'none'} ({document['netnsState']})",
        f"state          {state}",
        f"arguments      {args or 'none'}",
        *_block("capabilities", document["capabilityArgs"]),
        *_block("result", document["result"]),
        *_block("configuration", document["config"]),
    ]
    return "\n".join(lines)


def _block(title: str, value: object) -> list[str]:
    if not value:
        return [f"{title.ljust(15)}none"]
    return [title, *[f"  {line}" for line in json.dumps(value, indent=2, ensure_ascii=False).splitlines()]]
