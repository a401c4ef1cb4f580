"""Mending files: what lint can put right without a guess, as texts beside those that stand there now.

Nothing is written here but by :meth:`Mended.write`, which replaces a file as a whole.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.config.load import (
    ALL_EXTENSIONS,
    DROP_IN_EXTENSIONS,
    LIST_EXTENSIONS,
    PLUGIN_EXTENSIONS,
    conf_files,
    read_conf,
)
from libcni.errors import ConfigError
from libcni.jsontext.decode import decode_text, parse
from libcni.jsontext.frozen import is_object, object_of
from libcni.jsontext.scan import DocumentError
from libcni.lint.catalog import Catalog, catalog_of
from libcni.lint.edits import applied, edits_of_list, edits_of_plugin
from libcni.lint.extensions import extension_of
from libcni.lint.findings import Findings, Source
from libcni.lint.placed import plugin_at, plugins_of
from libcni.protocol.names import network_name_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

__all__ = ["Mended", "mend_paths"]


_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]++|\\.)*+"|(,)(?=[ \t\r\n]*[}\]])', re.DOTALL)
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
        """Put the mended form in place of the file, or of the file that a link leads to, with the same permissions.

        Its owner and group stay where this process may say so, as root may.

        :raises OSError: if the file cannot be written.
        """
        status = self.path.stat()
        target = self.new_path if self.new_path != self.path else self.path.resolve()
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".libcni-mend-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.after.encode())
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(PermissionError, AttributeError):  # which Windows does not have
                os.chown(name, status.st_uid, status.st_gid)
            Path(name).chmod(stat.S_IMODE(status.st_mode))  # after the owner, whose change can take bits away
            Path(name).replace(target)
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

    :param paths: files, and directories of which every configuration file is looked at, and those in the folders of
        their networks.
    :param schema_dirs: directories with more schemas of plugins.
    """
    catalog = catalog_of(schema_dirs)
    found: list[Mended | None] = []
    for path in map(Path, paths):
        files = conf_files(path, ALL_EXTENSIONS) if path.is_dir() else [path]
        found += [_mended(file, catalog) for file in files if extension_of(file) in ALL_EXTENSIONS]
        if path.is_dir():
            found += [_mended(file, catalog, is_drop_in=True) for file in _drop_ins(path, files)]
    return [one for one in found if one is not None]


def _drop_ins(directory: Path, files: Sequence[Path]) -> list[Path]:
    """Return the files in the folders of the networks of a directory."""
    folders: dict[Path, None] = {}
    for path in files:
        with contextlib.suppress(OSError, ConfigError, DocumentError):
            name = object_of(_without_commas(decode_text(read_conf(path)))[1]).get("name")
            if isinstance(name, str) and network_name_problem(name) is None:
                folders[directory / name] = None
    found: list[Path] = []
    for folder in folders:
        with contextlib.suppress(OSError):
            found += conf_files(folder, DROP_IN_EXTENSIONS)
    return found


def _mended(path: Path, catalog: Catalog, *, is_drop_in: bool = False) -> Mended | None:
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
    new_path = path if is_drop_in else _new_path(path, document)
    return Mended(path, new_path, before, after) if (new_path, after) != (path, before) else None


def _without_commas(text: str) -> tuple[str, object]:
    """Return a text without the commas before closing brackets, and what it says.

    :raises DocumentError: if something else is wrong with it.
    """
    try:
        return text, parse(text)
    except DocumentError as error:
        if error.kind != "comma":
            raise
    parts: list[str] = []
    position = 0
    for match in _STRING_OR_COMMA.finditer(text):
        if match[1] and _follows_a_value(text, match.start()):
            parts.append(text[position : match.start()])
            position = match.end()
    mended = "".join([*parts, text[position:]])
    return mended, parse(mended)


def _follows_a_value(text: str, position: int) -> bool:
    while position and text[position - 1] in " \t\r\n":
        position -= 1
    return text[position - 1] not in "[{,:"


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
