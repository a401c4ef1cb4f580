"""Extensions of the files of a configuration directory: those that runtimes read, and what to do about others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.config.load import ALL_EXTENSIONS
from libcni.lint.keys import similar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["EXPECTED_EXTENSIONS", "extension_of", "hint_at_extension"]

EXPECTED_EXTENSIONS = frozenset({*ALL_EXTENSIONS, ".kubeconfig", ".lock", ""})
"""Extensions of the files that runtimes read, and of those that other programs keep beside them."""

_BACKUPS = frozenset(
    {
        ".bak",
        ".backup",
        ".old",
        ".orig",
        ".save",
        ".disabled",
        ".off",
        ".rpmsave",
        ".rpmnew",
        ".rpmorig",
        ".swp",
        ".tmp",
    }
) | {
    ".dpkg-old",
    ".dpkg-new",
    ".dpkg-dist",
    ".inactive",
    ".ignore",
    ".copy",
    ".prev",
    ".unused",
    ".example",
    ".template",
}
"""Extensions of copies and of files that are switched off."""


def extension_of(path: Path) -> str:
    """Return the extension of a file with its dot, or ``""``."""
    # As the loader has it: ".conf" is all extension, which runtimes load.
    _, dot, extension = path.name.rpartition(".")
    return dot + extension if dot else ""


def hint_at_extension(extension: str, known: Sequence[str]) -> str:
    """Return what to do about a file that no runtime reads; a copy that somebody switched off stays off."""
    if extension.endswith("~") or extension.lower() in _BACKUPS:
        return "it may stay as a copy that is switched off, or move elsewhere"
    meant = similar(extension, known)
    return (
        f"did you mean {meant!r}?" if meant else f"move it elsewhere; what runtimes read ends in {' or '.join(known)}"
    )
