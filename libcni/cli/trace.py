"""The verb that runs another verb and shows what it did: trace."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from libcni.api import CNIConfig
from libcni.cli.arguments import netns_argument, network_argument
from libcni.cli.commands import cnitool_command
from libcni.cli.failure import note_call
from libcni.cli.options import AttachmentOptions, attachment_options
from libcni.cli.output import echo_result
from libcni.cli.settings import TO_ATTACH, Settings, pass_settings
from libcni.cli.stored import load_for_attachment
from libcni.cli.traced import Trace, TracedVerb, stand_ins
from libcni.config.load import load_network_conf
from libcni.errors import CNIError
from libcni.jsontext.encode import dump
from libcni.protocol.attachment import AttachmentKey
from libcni.verbs.configured import DEFAULT_CACHE_DIR, DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libcni.cli.traced import TracedCall
    from libcni.config.model import NetworkConfigList
    from libcni.protocol.attachment import RuntimeConf

__all__ = ["trace_command"]

_VERBS = ("add", "check", "del")
_MEBIBYTE = 2**20


@click.command("trace")
@click.argument("verb", type=click.Choice(_VERBS, case_sensitive=False))
@network_argument()
@netns_argument()
@attachment_options
@click.option("--html", "page", metavar="FILE", help="Write a page with a timeline, which needs nothing else.")
@click.option("--brief", is_flag=True, help="Leave requests and answers out.")
@pass_settings(TO_ATTACH)
def trace_command(
    settings: Settings, *, verb: str, network: str, netns: str, page: str | None, brief: bool, **values: Any
) -> None:
    """Run add, check or del for real, and show each plugin call: request, answer, time, processor time and memory.

    Calls that a plugin makes of its IPAM plugin stand below it. Values that may be secrets are left out. The exit
    status is that of the verb.
    """
    options = AttachmentOptions.taken_from(values)
    rt = settings.runtime_conf(netns, args=options.args, capability_args=options.capability_args())
    note_call(command=verb.upper(), network=network, containerID=rt.container_id, ifname=rt.ifname)
    traced = _run(settings, verb, network, rt=rt)
    if page is not None:
        from libcni.cli.trace_page import page_text  # noqa: PLC0415 -- for those who want a page

        Path(page).write_text(page_text(traced), encoding="utf-8")
    text = dump(traced.document()) if settings.is_json else "\n".join(_lines(traced, is_brief=brief))
    if traced.command == "ADD" and traced.error is None:
        names = "--container-id", rt.container_id, "--ifname", rt.ifname
        echo_result(text, deletion=lambda: cnitool_command(settings, "del", network, rt.netns, *names))
    else:
        click.echo(text)
    if traced.error is not None and settings.is_json:
        click.echo(f"cnitool: {traced.error}", err=True)
        click.get_current_context().exit(1)
    if traced.error is not None:
        raise traced.error


def _run(settings: Settings, verb: str, network: str, *, rt: RuntimeConf) -> TracedVerb:
    loaded = _load(settings, verb, network, rt=rt)
    trace = Trace()
    error: CNIError | None = None
    with stand_ins(loaded, settings.plugin_directories) as inner:
        config = CNIConfig(
            [str(inner.bin), *settings.plugin_directories],
            cache_dir=settings.cache_dir or DEFAULT_CACHE_DIR,
            timeout=settings.timeout or DEFAULT_TIMEOUT,
            on_event=trace,
            runner=settings.runner(),
        )
        began, clock = time.time(), time.perf_counter()
        try:
            getattr(config, f"{verb}_network_list")(loaded, rt)
        except CNIError as raised:
            error = raised
        duration = time.perf_counter() - clock
        calls = trace.calls(began, list(inner.calls()))
    return TracedVerb(verb.upper(), loaded.name, rt, calls, duration, error)


def _load(settings: Settings, verb: str, network: str, *, rt: RuntimeConf) -> NetworkConfigList:
    if verb == "add":
        return load_network_conf(settings.directory, network)
    return load_for_attachment(settings, settings.store(), AttachmentKey(network, rt.container_id, rt.ifname))


def _lines(traced: TracedVerb, *, is_brief: bool) -> Iterator[str]:
    rt = traced.rt
    result = "failed" if traced.error is not None else "done"
    yield f"{traced.command} {traced.network} {rt.container_id}/{rt.ifname}: {result} in {traced.duration:.3f} s"
    yield from _branches(traced.calls, is_brief=is_brief)


def _branches(calls: Sequence[TracedCall], *, is_brief: bool) -> Iterator[str]:
    """Draw a tree of calls, with ASCII signs where the terminal has no others."""
    fork, last, trunk = ("├─ ", "└─ ", "│  ") if _has_lines() else ("|- ", "`- ", "|  ")
    for number, call in enumerate(calls, 1):
        is_last = number == len(calls)
        yield f"{last if is_last else fork}{_headline(call)}"
        below = "   " if is_last else trunk
        if not is_brief:
            bar = trunk if call.calls else "   "
            yield from (f"{below}{bar}{line}" for line in _details(call))
        yield from (f"{below}{line}" for line in _branches(call.calls, is_brief=is_brief))


def _has_lines() -> bool:
    try:
        "├─└│".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _headline(call: TracedCall) -> str:
    end = f"signal {call.signal}" if call.signal is not None else f"exit status {call.exit_status}"
    figures = [f"{call.duration:.3f} s"]
    if call.cpu_seconds is not None:
        figures.append(f"processor {call.cpu_seconds:.3f} s")
    if call.max_rss:
        figures.append(f"memory at most {call.max_rss / _MEBIBYTE:.1f} MiB")
    return f"{call.plugin} {call.verb}: {end}, {', '.join(figures)}"


def _details(call: TracedCall) -> Iterator[str]:
    for name, value in (("request", call.request), ("answer", call.answer)):
        if value is None:
            yield f"{name}: nothing"
            continue
        first, *others = json.dumps(value, indent=2, ensure_ascii=False).splitlines()
        yield f"{name}: {first}"
        yield from others
    if call.error:
        yield f"error: {call.error}"
