"""Mending files: what lint can put right without a guess, as texts beside those that stand there now.

Nothing is written here but by :meth:`Mended.write`, which replaces a file as a whole.
"""

from __future__ import annotations

import difflib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.config.load import ALL_EXTENSIONS, LIST_EXTENSIONS, PLUGIN_EXTENSIONS, conf_files, read_conf
from libcni.errors import ConfigError
from libcni.jsontext.decode import decode_text, parse
from libcni.jsontext.frozen import is_object, object_of
from libcni.jsontext.scan import DocumentError
from libcni.lint.catalog import Catalog, catalog_of
from libcni.lint.edits import applied, edits_of_list, edits_of_plugin
from libcni.lint.extensions import extension_of
from libcni.lint.findings import Findings, Source
from libcni.lint.placed import plugin_at, plugins_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

__all__ = ["Mended", "mend_paths"]


_ROUNDS = 5
"""Rounds of edits: what one puts right, such as a key, lets the next see more."""


@dataclass(frozen=True, slots=True)
class Mended:
    """A file and its mended form: ``before`` and ``after``, and ``new_path`` where it gets another extension."""

    path: Path
    new_path: Path
    before: str
    after: str

    def diff(self) -> str:
        """Return what changes, as a unified diff."""
        before, after = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        head = "" if self.path == self.new_path else f"rename from {self.path}\nrename to {self.new_path}\n"
        body = "".join(difflib.unified_diff(before, after, str(self.path), str(self.new_path)))
        return head + body if body.endswith("\n") or not body else head + body + "\n"

    def write(self) -> None:
        """Put the mended form in place of the file, with the same permissions.

        :raises OSError: if the file cannot be written.
        """
        mode = stat.S_IMODE(self.path.stat().st_mode)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".libcni-mend-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.after.encode())
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(mode)
            Path(name).replace(self.new_path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        if self.new_path != self.path:
            self.path.unlink()


def mend_paths(
    paths: Iterable[str | PathLike[str]], *, schema_dirs: Sequence[str | PathLike[str]] = ()
) -> list[Mended]:
    """Return the files in which something unambiguous can be put right; nothing is written.

    That is: a comma before a closing bracket, the case of keys, ranges without their sets, host bits of a subnet of
    host-local or of an IPv4 route, and the extension of a list in a ``.conf`` or ``.json`` file.

    :param paths: files, and directories of which every configuration file is looked at.
    :param schema_dirs: directories with more schemas of plugins.
    """
    catalog = catalog_of(schema_dirs)
    files: list[Path] = []
    for path in map(Path, paths):
        files += conf_files(path, ALL_EXTENSIONS) if path.is_dir() else [path]
    found = [_mended(path, catalog) for path in files if extension_of(path) in ALL_EXTENSIONS]
    return [one for one in found if one is not None]


def _mended(path: Path, catalog: Catalog) -> Mended | None:
    try:
        before = decode_text(read_conf(path))
        after, document = _without_commas(before)
    except (OSError, ConfigError, DocumentError):
        return None  # a finding says why
    for _ in range(_ROUNDS):
        edited = _edited(path, after, catalog)
        if edited == after:
            break
        after = edited
    new_path = _new_path(path, document)
    return Mended(path, new_path, before, after) if (new_path, after) != (path, before) else None


def _without_commas(text: str) -> tuple[str, object]:
    """Return a text without the commas before closing brackets, and what it says.

    :raises DocumentError: if something else is wrong with it.
    """
    while True:
        try:
            return text, parse(text)
        except DocumentError as error:
            if error.kind != "comma":
                raise
            lines = text.split("\n")
            at = sum(len(line) + 1 for line in lines[: (error.line or 1) - 1]) + (error.column or 1) - 1
            text = text[:at] + text[at + 1 :]


def _edited(path: Path, text: str, catalog: Catalog) -> str:
    document = object_of(parse(text))
    source = Source(path, text, document, findings=Findings())
    if "plugins" not in document:
        return applied(text, edits_of_plugin(plugin_at(source, (), document, catalog=catalog)))
    edits = edits_of_list(source, document)
    for plugin in plugins_of(source, catalog):
        edits += edits_of_plugin(plugin)
    return applied(text, edits)


def _new_path(path: Path, document: object) -> Path:
    is_list = is_object(document) and "plugins" in document and "type" not in document
    new_path = path.with_name(path.name.removesuffix(extension_of(path)) + LIST_EXTENSIONS[0])
    is_wrong = is_list and extension_of(path) in PLUGIN_EXTENSIONS
    return new_path if is_wrong and not new_path.exists() else path
