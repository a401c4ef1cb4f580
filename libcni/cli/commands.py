"""Calls of ``cnitool`` as a person types them, for advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libcni.cli.settings import Settings

__all__ = ["cnitool_command"]


def cnitool_command(settings: Settings, verb: str, *arguments: str) -> str:
    """Return a call of ``cnitool`` on the same cache directory."""
    import shlex  # noqa: PLC0415 -- a millisecond that only advice needs

    place = () if settings.cache_dir is None else ("--cache-dir", settings.cache_dir)
    return shlex.join(["cnitool", *place, verb, *arguments])
