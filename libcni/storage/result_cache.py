"""Results on disk, in the format and the folder of Go libcni.

``<cache_dir>/results/<network>-<container id>-<ifname>`` holds one attachment. That name is ambiguous, as a hyphen may
stand in all three parts, so the names inside a file are compared on every read: a file of another attachment is never
used, overwritten or removed, and the newcomer gets a name with ``@`` in place of the hyphens. Go counterpart:
``cacheAdd``, ``getCachedResult`` and ``getCachedConfig`` in ``libcni/api.go``. Source: SPEC 1.1.0, section 3,
"Caching".
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from libcni.errors import CacheError, CNIError, DamagedFileError, InvalidParameterError
from libcni.jsontext.decode import decode_text, parse_object
from libcni.jsontext.encode import join_object
from libcni.jsontext.scan import DocumentError, format_path
from libcni.log import Log
from libcni.protocol import cache_keys
from libcni.protocol.attachment import AttachmentKey, RuntimeConf
from libcni.protocol.documents.core import ValidationError
from libcni.protocol.documents.core_schemas import validated
from libcni.protocol.documents.problems import first_problem
from libcni.protocol.versions import FIRST_VERSION
from libcni.results.result import Result
from libcni.storage.attachment import NetworkAttachment
from libcni.storage.cache_entry import CacheEntry, members_of
from libcni.storage.memo import Listing, stamp_of
from libcni.storage.name_index import NameIndex
from libcni.storage.open_file import is_name_too_long, is_temporary, read_error, read_file, write_error
from libcni.storage.recent import Recent
from libcni.storage.sync import finish

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcni.protocol.documents.cache_file import CacheDocument
    from libcni.storage.folder import Folder
    from libcni.storage.operations import OpenFolder
    from libcni.storage.sync import Steps

__all__ = ["Contents", "Damaged", "ResultCache"]

_log = Log("libcni.cache")

_SETTLED = 2_000_000_000
"""Nanoseconds: a file that was changed more recently may change again without its times telling so."""


class Damaged(NamedTuple):
    """A file that is damaged; where only its result is, ``attachment`` is what else it says."""

    name: str
    problem: CacheError
    attachment: NetworkAttachment | None = None


class Contents(NamedTuple):
    """The attachments in the files, in the order of their names, and the damaged files."""

    attachments: list[NetworkAttachment]
    damaged: list[Damaged]

    def known(self) -> Iterator[NetworkAttachment]:
        """Go through all attachments of which there is a file, be their results damaged."""
        yield from self.attachments
        yield from (item.attachment for item in self.damaged if item.attachment is not None)


class ResultCache:
    """The stored attachments of one cache directory."""

    def __init__(self, folder: Folder, damaged: Folder) -> None:
        self.folder = folder
        self.damaged = damaged
        self._recent: Recent[CacheEntry] = Recent()
        self._listing: Listing[NetworkAttachment] = Listing()
        self._names = NameIndex()

    def check_name(self, key: AttachmentKey) -> None:
        """Refuse names that together do not fit into a file name, before anything runs.

        :raises InvalidParameterError: if they do not.
        """
        if is_name_too_long(_unambiguous_name(key)):
            text = "-".join(key)
            raise InvalidParameterError("container_id", key.container_id, f"{text[:60]!r}… is too long for a file name")

    def find(self, key: AttachmentKey) -> CacheEntry | None:
        """Return the entry of an attachment, or ``None``.

        :raises CacheError: if a file that may be it cannot be read or is damaged.
        """
        found = self._find(key)
        return None if found is None else found[1]

    def has_file(self, key: AttachmentKey) -> bool:
        """Return whether there is a file for an attachment, be it damaged or one that cannot be read.

        :raises CacheError: if the folder cannot be read.
        """
        try:
            return self.find(key) is not None
        except CacheError as error:
            if error.path == self.folder.path(""):
                raise
            return True

    def _find(self, key: AttachmentKey) -> tuple[str, CacheEntry] | None:
        try:
            folder = self.folder.open()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable("", error) from error
        for name in (_plain_name(key), _unambiguous_name(key)):
            data = self._read(name, folder)
            if data is None:
                continue
            entry = self._recent.get(name, data)
            if entry is None:
                entry = self._decode(name, data, key)
                if entry.config is not None:  # the names of a legacy file are those of the attachment asked for
                    self._recent.keep(name, data, entry)
            if entry.key == key:
                return name, entry
        return None

    def _read(self, name: str, folder: OpenFolder) -> bytes | None:
        try:
            return read_file(name, folder.descriptor)
        except OSError as error:
            raise self._unreadable(name, error) from error

    def _unreadable(self, name: str, error: OSError) -> CacheError:
        return read_error(error, self.folder.path(name))

    def written_at(self, key: AttachmentKey) -> float | None:
        """Return when the file of an attachment was written, in seconds since the epoch; ``None`` if it is unknown."""
        with suppress(OSError, CacheError):
            found = self._find(key)
            if found is not None:
                status = os.stat(found[0], dir_fd=self.folder.open().descriptor, follow_symlinks=False)
                return status.st_mtime
        return None

    def store(self, key: AttachmentKey, rt: RuntimeConf, *, config: bytes, result: str) -> None:
        """Write the entry of an attachment, as :meth:`storing`."""
        finish(self.storing(key, rt, config=config, result=result))

    def storing(self, key: AttachmentKey, rt: RuntimeConf, *, config: bytes, result: str) -> Steps[None]:
        """Write the entry of an attachment, durably when the cache is.

        :param result: encoded; empty when there is none.
        :raises CacheError: if it cannot be written.
        """
        members = members_of(key, rt, config)
        data = join_object([*members, (cache_keys.RESULT, result)] if result else members).encode()
        name = _plain_name(key)
        try:
            try:
                yield from self.folder.creating(name, data)
            except FileExistsError:
                # The file of another attachment, or one that another program has just written for this one.
                name = _unambiguous_name(key) if self._is_taken(key) else name
                yield from self.folder.replacing(name, data)
        except OSError as error:
            raise write_error(error, self.folder.path(name), "written") from error
        self._names.note_added(name)

    def _is_taken(self, key: AttachmentKey) -> bool:
        """Return whether the file of another attachment has the plain name."""
        name = _plain_name(key)
        data = self._read(name, self.folder.open())
        try:
            return data is not None and self._decode(name, data, key).key != key
        except DamagedFileError:
            return False

    def removing(self, key: AttachmentKey) -> Steps[None]:
        """Remove the entry of an attachment, whatever state it is in; that of another one stays.

        :raises CacheError: if it cannot be removed.
        """
        try:
            found = self._find(key)
            name = None if found is None else found[0]
        except DamagedFileError as error:
            name = PurePath(error.path).name  # the other name may be that of another attachment
        if name is not None:
            yield from self._removing(name)

    def removing_own(self, key: AttachmentKey) -> Steps[bool]:
        """Remove the file whose name only this attachment can have, and say whether it was there.

        :raises CacheError: if it cannot be removed.
        """
        return (yield from self._removing(_unambiguous_name(key)))

    def _removing(self, name: str) -> Steps[bool]:
        try:
            was_there = yield from self.folder.removing(name, durable=True)
            self._recent.forget(name)
            self._listing.forget(name)
            self._names.note_removed(name)
        except IsADirectoryError:
            self.set_aside(name)
            return True
        except OSError as error:
            raise write_error(error, self.folder.path(name), "removed") from error
        return was_there

    def attachments(self, container_id: str | None = None) -> list[NetworkAttachment]:
        """Return every stored attachment, or those of one container; a damaged file is left out and logged.

        :raises CacheError: if the folder cannot be read.
        """
        contents = self.scan(container_id)
        for item in contents.damaged:
            _log.warning("damaged cache file left out: %s", item.problem)
        return contents.attachments

    def scan(self, container_id: str | None = None, *, ifname: str = "", is_quick: bool = False) -> Contents:
        """Read the files; legacy files, which have no names in them, are left out.

        A file that is the same as in an earlier scan is not read again.

        :param container_id: read the files of that container only.
        :param ifname: read the files of that interface of the container only.
        :param is_quick: whether a file that another program has just written may be missing, as
            :class:`libcni.storage.name_index.NameIndex` says.
        :raises CacheError: if the folder cannot be read.
        """
        try:
            folder = self.folder.open()
            names = self._listed(folder, container_id, is_quick=is_quick)
        except FileNotFoundError:
            return Contents([], [])
        except OSError as error:
            raise self._unreadable("", error) from error
        if container_id is None:
            self._listing.forget_others(names)
        elif ifname:
            names = [name for name in names if name.endswith((f"-{ifname}", f"@{ifname}"))]
        wanted = sorted([name for name in names if not is_temporary(name)])
        found = list(self._read_all(wanted, folder))
        attachments = [item for item in found if isinstance(item, NetworkAttachment)]
        damaged = [item for item in found if isinstance(item, Damaged)]
        if container_id is not None:
            attachments = [item for item in attachments if item.container_id == container_id]
            damaged = [
                item for item in damaged if item.attachment is None or item.attachment.container_id == container_id
            ]
        return Contents(attachments, damaged)

    def _listed(self, folder: OpenFolder, container_id: str | None, *, is_quick: bool) -> list[str]:
        """Return the names in the folder, or those that may be of a container: the others need not be looked at."""
        if container_id is None:
            return folder.list()
        if is_quick:
            return self._names.of_container(folder, container_id)
        parts = f"-{container_id}-", f"@{container_id}@"
        return [name for name in folder.list() if any(part in name for part in parts)]

    def of_interface(self, container_id: str, ifname: str) -> list[NetworkAttachment]:
        """Return the stored attachments of an interface of a container, to whatever network.

        :raises CacheError: if the folder cannot be read.
        """
        found = self.scan(container_id, ifname=ifname, is_quick=True)
        return [item for item in found.known() if item.ifname == ifname]

    def _read_all(self, names: list[str], folder: OpenFolder) -> Iterable[NetworkAttachment | Damaged | None]:
        settled = time.time_ns() - _SETTLED
        for name in names:
            known = self._listing.get(name, folder)
            yield self._read_one(name, folder, settled) if known is None else known

    def _read_one(self, name: str, folder: OpenFolder, settled: int) -> NetworkAttachment | Damaged | None:
        stamp = stamp_of(name, folder)
        try:
            data = read_file(name, folder.descriptor)
            if data is None:
                return None
            entry = self._decode(name, data, None)
        except OSError as error:
            return Damaged(name, self._unreadable(name, error))
        except CacheError as error:
            return Damaged(name, error)
        if entry.config is None:
            return None
        try:
            attachment = entry.listed()
        except CNIError as error:
            without = replace(entry, decoded_result=None)
            return Damaged(name, CacheError(self.folder.path(name), str(error)), without.attachment())
        if stamp is not None and stamp[-1] < settled:
            self._listing.keep(name, stamp, attachment)
        return attachment

    def set_aside_of(self, key: AttachmentKey) -> None:
        """Move the damaged files that have a name of an attachment to ``<cache_dir>/damaged``.

        :raises CacheError: if that fails.
        """
        while (name := self._damaged_name(key)) is not None:
            self.set_aside(name)

    def _damaged_name(self, key: AttachmentKey) -> str | None:
        try:
            self._find(key)
        except DamagedFileError as error:
            return PurePath(error.path).name
        return None

    def set_aside(self, name: str) -> None:
        """Move a damaged file to ``<cache_dir>/damaged``, where it blocks nothing.

        :raises CacheError: if that fails.
        """
        if self.folder.set_aside(name, self.damaged):
            _log.warning("damaged cache file %s moved to %s", self.folder.path(name), self.damaged.path(""))

    def _decode(self, name: str, data: bytes, legacy_key: AttachmentKey | None) -> CacheEntry:
        """Decode a file; a bare result counts as ``legacy_key``'s, whose file name it has."""
        try:
            text = decode_text(data)
            document = parse_object(text)
        except DocumentError as error:
            raise DamagedFileError(self.folder.path(name), f"damaged: {error}") from None
        if "kind" not in document:
            return self._legacy_entry(name, text, legacy_key)
        try:
            model: CacheDocument = validated("CacheDocument", document)
        except ValidationError as error:
            problem = first_problem(error)
            reason = f"damaged: {format_path(problem.path)}: {problem.message}"
            raise DamagedFileError(self.folder.path(name), reason) from None
        args = tuple([(pair[0], pair[1]) for pair in model.cniArgs or ()])
        try:
            # Also what no plugin could be called with: a DEL would fail on it for ever.
            key = RuntimeConf(model.containerId, model.netns or "", model.ifName, args).check(model.networkName)
        except InvalidParameterError as error:
            raise DamagedFileError(self.folder.path(name), f"damaged: {error}") from None
        return CacheEntry(
            key=key,
            config=model.config,
            text=text,
            decoded_result=model.result,
            netns=model.netns or "",
            args=args,
            capability_args=model.capabilityArgs or {},
            path=self.folder.path(name),
        )

    def _legacy_entry(self, name: str, text: str, key: AttachmentKey | None) -> CacheEntry:
        try:
            result = parse_object(text)
            if not result.get("cniVersion"):  # whatever it holds: Go reads it so
                result = {**result, "cniVersion": FIRST_VERSION}
            Result.from_dict(result)
        except CNIError as error:
            raise DamagedFileError(self.folder.path(name), f"damaged: {error}") from None
        key = key or AttachmentKey("", "", "")
        return CacheEntry(key, config=None, text=text, decoded_result=result, path=self.folder.path(name))


def _plain_name(key: AttachmentKey) -> str:
    return f"{key.network}-{key.container_id}-{key.ifname}"


def _unambiguous_name(key: AttachmentKey) -> str:
    # '@' is not allowed in the first two parts.
    return "@".join(key)
