"""The group of all verbs, and how an error leaves the program.

Verbs load when they are called: ``cnitool add`` stands in the path of every container start.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from libcni import __version__
from libcni.cli.failure import echo_failure, noted_command
from libcni.cli.output import die_of_closed_pipe, drop_output, settle_output
from libcni.cli.settings import TO_ATTACH, Settings, common_options
from libcni.cli.signals import OF_SIGNAL, received
from libcni.errors import CNIError, ErrorCode, InvalidParameterError
from libcni.log import prepare

if TYPE_CHECKING:
    import signal

__all__ = ["cnitool", "verb_groups"]

_VERB_WIDTH = 11
_GROUPS = {
    "Attach and detach": {
        "add": ("libcni.cli.attach", "Attach a network namespace to a network."),
        "check": ("libcni.cli.attach", "Check that an attachment is as it was made."),
        "del": ("libcni.cli.attach", "Detach a network namespace from a network."),
        "status": ("libcni.cli.attach", "Ask whether a network is ready."),
        "run": ("libcni.cli.run", "Run a command on a network, and clean up."),
    },
    "Look": {
        "networks": ("libcni.cli.networks", "Show the networks of the configuration directory, or create one."),
        "attachments": ("libcni.cli.attachments", "Show what is stored about attachments."),
        "inspect": ("libcni.cli.inspect", "Show everything that is stored about a container."),
        "plugins": ("libcni.cli.show", "Show the plugins and the versions they support."),
        "trace": ("libcni.cli.trace", "Run a verb, and show each plugin call with request, answer and time."),
        "explain": ("libcni.cli.explain", "Explain the code of an error or of a finding."),
    },
    "Before anything runs": {
        "lint": ("libcni.cli.lint", "Check network configurations before a plugin runs."),
        "plan": ("libcni.cli.plan", "Show what a verb would run, without running it."),
        "schema": ("libcni.cli.show", "Print a JSON Schema, or the names of all."),
        "conformance": ("libcni.cli.conformance", "Check plugins, or a runtime, against the specification."),
        "demo": ("libcni.cli.demo", "Show everything at work, without root or plugins."),
    },
    "Clean up": {
        "gc": ("libcni.cli.collect", "Delete every attachment of a network that is not kept."),
        "recover": ("libcni.cli.collect", "Finish what was begun and interrupted."),
        "forget": ("libcni.cli.forget", "Give up what is stored about a container, without a plugin run."),
    },
    "The tool itself": {
        "completion": ("libcni.cli.completion", "Print a script for the completion of a shell."),
    },
}
"""The verbs by what they are for: module and help of each."""

_VERBS = {name: verb for verbs in _GROUPS.values() for name, verb in verbs.items()}


def verb_groups() -> dict[str, list[str]]:
    """Return the names of the verbs, in groups with a title."""
    return {title: list(verbs) for title, verbs in _GROUPS.items()}


_REPEATABLE = frozenset({"DEL", "GC", "RECOVER"})
"""Commands that go on where they were interrupted."""


class _Verbs(click.Group):
    """Finds a verb's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_VERBS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(_VERBS[cmd_name][0]), f"{cmd_name}_command")
        if not gc.isenabled():
            # From here on there may be garbage, but not in what has been loaded.
            gc.freeze()
            gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, in any case: Go's tool has been called with ADD as well; or say which one was meant."""
        name = args[0]
        if name.lower() in _VERBS:
            return super().resolve_command(ctx, [name.lower(), *args[1:]])
        if not ctx.resilient_parsing and not name.startswith("-"):
            from libcni.cli.advice import closest  # noqa: PLC0415 -- loaded when something has failed

            near = closest(name, _VERBS)
            hint = f"did you mean {near!r}?" if near else "see: cnitool --help"
            raise click.UsageError(f"there is no verb {name!r}: {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        for title, verbs in _GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(_VERB_WIDTH), text) for name, (_, text) in verbs.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            # click writes it to stderr and exits with 2.
            if _is_json(ctx) or (error.ctx is not None and error.ctx.params.get("output") == "json"):
                document = CNIError(error.format_message(), code=ErrorCode.INVALID_ENVIRONMENT_VARIABLES)
                _echo_document(document, ctx)
            raise
        except BrokenPipeError:  # the reader of the output has had enough of it
            die_of_closed_pipe()
        except KeyboardInterrupt as error:
            number = received()
            _report(_interrupted(error, number, ctx), ctx)
            ctx.exit(OF_SIGNAL + number)
        except (CNIError, OSError) as error:
            _report(error, ctx)
            settle_output()
            ctx.exit(2 if isinstance(error, InvalidParameterError) else 1)


def _is_json(context: click.Context) -> bool:
    return isinstance(context.obj, Settings) and context.obj.is_json


def _report(error: CNIError | OSError, context: click.Context) -> None:
    """Write an error to stderr, and for programs its document to stdout."""
    wrapped = error if isinstance(error, CNIError) else _wrapped(error)
    steps = _next_steps(error)
    if _is_json(context):
        _echo_document(wrapped, context)
    lines = [str(wrapped), *getattr(wrapped, "__notes__", ()), *steps]
    click.echo("\n".join([f"cnitool: {lines[0]}", *[f"  {line}" for line in lines[1:]]]), err=True)


def _echo_document(error: CNIError, context: click.Context) -> None:
    """Write the document of a failure; where it cannot be written, the words on stderr have to do."""
    try:
        echo_failure(error, context)
    except OSError:
        drop_output()


def _next_steps(error: CNIError | OSError) -> list[str]:
    """Return what to do after an error, unless its notes say it."""
    if any("cnitool " in note for note in getattr(error, "__notes__", ())):
        return []
    from libcni.cli.advice import next_steps  # noqa: PLC0415 -- loaded when something has failed

    return next_steps(error)


def _interrupted(error: KeyboardInterrupt, number: signal.Signals, context: click.Context) -> CNIError:
    """Return the error for a verb that a signal has ended; its notes say what became of its work."""
    interrupted = CNIError(f"interrupted by {number.name}")
    if noted_command(context) in _REPEATABLE:
        interrupted.add_note("what is not deleted yet is on record: call it again")
    for note in getattr(error, "__notes__", ()):
        interrupted.add_note(note)
    return interrupted


def _wrapped(error: OSError) -> CNIError:
    place = "" if error.filename is None else f": {error.filename}"
    wrapped = CNIError(str(error) if error.strerror is None else f"{error.strerror}{place}")
    for note in getattr(error, "__notes__", ()):
        wrapped.add_note(note)
    return wrapped


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cnitool")
@common_options(TO_ATTACH)
@click.pass_context
def cnitool(context: click.Context, /, **values: Any) -> None:
    """Run CNI plugins for a network namespace, and look at networks, plugins and attachments."""
    context.obj = Settings.taken_from(values)
    prepare(_write_log_to_stderr)


def _write_log_to_stderr() -> None:
    """Let the lines of the library, and of the plugins' stderr, be written as they are."""
    import logging  # noqa: PLC0415 -- loaded when there is something to log

    log = logging.getLogger("libcni")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
