"""One stored attachment: the text of its file, what that says, and how it comes about.

Go counterpart: ``cachedInfo`` in ``libcni/api.go``. Source: SPEC 1.1.0, section 3, "Caching".
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from libcni.attachment import AttachmentKey, NetworkAttachment, RuntimeConf
from libcni.document import dump, encode_base64, find_member, join_object
from libcni.errors import CacheError, DamagedFileError, ResultError
from libcni.results import CheckedResult, Result, check_result
from libcni.storage import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from libcni.disk import OpenFolder
    from libcni.document import JSONObject
    from libcni.steps import Steps
    from libcni.storage import Folder

__all__ = ["CACHE_KIND", "CacheEntry", "NewEntry", "members_of"]

CACHE_KIND = "cniCacheV1"
"""What a file of this format, which is Go libcni's, calls itself."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What one file says: its ``text``, and the decoded result in it.

    A legacy file holds a bare result: then ``config`` is ``None`` and nothing else is known.
    """

    key: AttachmentKey
    config: bytes | None
    text: str
    decoded_result: JSONObject | None
    netns: str = ""
    args: Sequence[tuple[str, str]] = field(default=(), repr=False)
    capability_args: Mapping[str, Any] | None = field(default=None, repr=False)
    path: str = field(default="", compare=False)
    _checked: dict[str, CheckedResult] = field(
        default_factory=dict[str, CheckedResult], init=False, repr=False, compare=False
    )
    _result: list[str] = field(default_factory=list[str], init=False, repr=False, compare=False)

    def checked_result(self, version: str) -> CheckedResult:
        """Check the result, which there must be.

        :param version: of a result that names none.
        :raises CacheError: if it is damaged.
        """
        checked = self._checked.get(version)
        if checked is None:
            try:
                checked = self._checked[version] = check_result(self.decoded_result, version)
            except ResultError as error:
                raise DamagedFileError(self.path, f"damaged result: {error}") from None
        return checked

    @property
    def result(self) -> str:
        """The encoded result as it was stored, ``""`` when there is none."""
        if self.decoded_result is None:
            return ""
        if not self._result:
            self._result.append(self.text if self.config is None else find_member(self.text, "result"))
        return self._result[0]

    def attachment(self) -> NetworkAttachment:
        """Return it in its public form.

        :raises ResultError: if the stored result is not one.
        """
        return NetworkAttachment(
            container_id=self.key.container_id,
            network=self.key.network,
            ifname=self.key.ifname,
            config=self.config or b"",
            netns=self.netns,
            cni_args=self.args,
            capability_args=self.capability_args or {},
            result=None if self.decoded_result is None else Result.from_dict(self.decoded_result),
        )

    def runtime_conf(self, given: RuntimeConf) -> RuntimeConf:
        """Return what the ADD was called with; what is not stored is taken from ``given``."""
        if self.config is None:
            return given
        key = self.key
        return RuntimeConf(key.container_id, self.netns, key.ifname, self.args, self.capability_args or {})


class NewEntry:
    """An entry that lacks its result; what takes time is done before that is there."""

    def __init__(
        self,
        members: Sequence[tuple[str, str]],
        folder: Folder,
        write: Callable[[bytes, Draft | None], Steps[None]],
    ) -> None:
        self._members = members
        self._folder = folder
        self._place: OpenFolder | None = None
        self._write = write
        self._draft: Draft | None = None
        self._made: tuple[str | None, bytes] = None, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._draft is not None:
            self._draft.close()

    def place(self) -> int | None:
        """Return the descriptor of the folder in which :meth:`prepare` makes the file, ``None`` if only that may."""
        with contextlib.suppress(OSError, CacheError):
            self._place = self._folder.place_of_draft()
        return None if self._place is None else self._place.descriptor

    def prepare(self, descriptor: int | None = None) -> None:
        """Make the file, if that can be done in advance; what fails now will fail again, and be an error then.

        :param descriptor: one that was made in :meth:`place`, and belongs to this entry from now on.
        """
        if descriptor is not None and self._place is not None:
            self._draft = Draft(descriptor, self._place)
            return
        with contextlib.suppress(OSError, CacheError):
            self._draft = self._folder.draft()

    @property
    def expecting(self) -> Callable[[str], Steps[None]] | None:
        """What brings it to the disk in advance, with a result that is likely; ``None`` if that would save nothing."""
        return self._expecting if self._folder.durable else None

    def _expecting(self, result: str) -> Steps[None]:
        if self._draft is not None:
            yield from self._folder.expecting(self._draft, self._content(result))

    def storing(self, result: str) -> Steps[None]:
        """Write it, durably when the cache is.

        :param result: encoded; empty when there is none.
        :raises CacheError: if it cannot be written.
        """
        yield from self._write(self._content(result), self._draft)

    def _content(self, result: str) -> bytes:
        if self._made[0] != result:
            members = [*self._members, ("result", result)] if result else self._members
            self._made = result, join_object(members).encode()
        return self._made[1]


def members_of(key: AttachmentKey, rt: RuntimeConf, config: bytes) -> list[tuple[str, str]]:
    """Return the encoded members of an entry but for its result."""
    members = [
        ("kind", dump(CACHE_KIND)),
        ("containerId", dump(key.container_id)),
        ("config", f'"{encode_base64(config)}"'),
        ("ifName", dump(key.ifname)),
        ("networkName", dump(key.network)),
    ]
    members += [("netns", dump(rt.netns))] if rt.netns else []
    members += [("cniArgs", dump(rt.args))] if rt.args else []
    members += [("capabilityArgs", dump(rt.capability_args))] if rt.capability_args else []
    return members
