"""The end of a verb: its parameters, and the document of a failure for programs.

One document goes to stdout for each call. That of a failure is the specification's error document with more members:
where it happened, in the spelling of the wire, and what the verb has done all the same. Source: SPEC 1.1.0, section 5,
"Error".
"""

from __future__ import annotations

import click

from libcni.errors import CNIError, CNIErrorGroup
from libcni.jsontext.encode import dump

__all__ = ["echo_failure", "error_document", "note_call", "note_members", "noted_command"]

_MEMBERS = "libcni.cli.members"
"""Key of the members of a failure in click's context."""


def note_members(**members: object) -> dict[str, object]:
    """Note what the document of the running verb says beside an error, and return all that is noted."""
    noted: dict[str, object] = click.get_current_context().meta.setdefault(_MEMBERS, {})
    noted.update(members)
    return noted


def note_call(**members: str) -> dict[str, str]:
    """Note what the running verb is called with, spelled as on the wire, and return that; what is empty is left out."""
    call = {name: value for name, value in members.items() if value}
    note_members(**call)
    return call


def noted_command(context: click.Context) -> str:
    """Return the command of the plugins that the running verb stands for, if it has noted one."""
    noted: dict[str, object] = context.meta.get(_MEMBERS, {})
    return str(noted.get("command", ""))


def error_document(error: CNIError) -> dict[str, object]:
    """Return the document of an error: the specification's, where it happened, its notes, and the errors in a group."""
    document = {**error.to_dict(), **error.subject()}
    notes: list[str] = getattr(error, "__notes__", [])
    if notes:
        document["notes"] = notes
    if isinstance(error, CNIErrorGroup):
        document["errors"] = [error_document(each) for each in error.exceptions if isinstance(each, CNIError)]
    return document


def echo_failure(error: CNIError, context: click.Context) -> None:
    """Write the document of a failure to stdout, with what the verb has noted."""
    noted: dict[str, object] = context.meta.get(_MEMBERS, {})
    document = error_document(error)
    click.echo(dump(document | {name: value for name, value in noted.items() if name not in document}))
