"""Arguments that several verbs have, and how a shell completes them; what completes loads when a shell asks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "code_argument",
    "completed_by",
    "container_argument",
    "netns_argument",
    "network_argument",
    "network_option",
    "schema_argument",
]

F = TypeVar("F", bound="Callable[..., Any]")


def completed_by(name: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """Return the completion of that name."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        found: list[Any] = getattr(import_module("libcni.cli.completion"), name)(context, parameter, incomplete)
        return found

    return complete


def network_argument(*, required: bool = True) -> Callable[[F], F]:
    """Return the argument for the name of a network."""
    return click.argument("network", required=required, shell_complete=completed_by("complete_networks"))


def network_option(*spellings: str, help: str, multiple: bool = False) -> Callable[[F], F]:  # noqa: A002 -- as click
    """Return an option for the name of a network."""
    complete = completed_by("complete_networks")
    return click.option(*spellings, metavar="NAME", help=help, multiple=multiple, shell_complete=complete)


def netns_argument(*, required: bool = True) -> Callable[[F], F]:
    """Return the argument for the path of a namespace."""
    return click.argument("netns", required=required, shell_complete=completed_by("complete_netns"))


def container_argument(metavar: str) -> Callable[[F], F]:
    """Return the argument for the id of a container."""
    return click.argument("container", metavar=metavar, shell_complete=completed_by("complete_containers"))


def schema_argument() -> Callable[[F], F]:
    """Return the argument for the name of a schema."""
    return click.argument("name", required=False, shell_complete=completed_by("complete_schemas"))


def code_argument() -> Callable[[F], F]:
    """Return the argument for a code that can be explained."""
    return click.argument("code", required=False, shell_complete=completed_by("complete_codes"))
