"""One stored attachment: the text of its file, what that says, and how it comes about.

Go counterpart: ``cachedInfo`` in ``libcni/api.go``. Source: SPEC 1.1.0, section 3, "Caching".
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from libcni.errors import DamagedFileError, ResultError
from libcni.jsontext.encode import dump, encode_base64
from libcni.jsontext.scan import find_member
from libcni.protocol import cache_keys as keys
from libcni.protocol.attachment import AttachmentKey, RuntimeConf
from libcni.results.check import CheckedResult, check_result
from libcni.results.result import Result
from libcni.storage.attachment import NetworkAttachment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcni.jsontext.scan import JSONObject

__all__ = ["CacheEntry", "members_of"]

_CLOCKS_DIFFER = 2.0
"""Seconds: how much the wall clock and that of the boot may drift apart between an ADD and its DEL."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The content of one cache file: its ``text``, and the decoded result in it.

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
            self._result.append(self.text if self.config is None else find_member(self.text, keys.RESULT))
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

    def is_written_after(self, since_boot: float) -> bool:
        """Return whether its file was written clearly later than a time, in seconds since boot."""
        try:
            written = os.stat(self.path).st_mtime  # noqa: PTH116 -- on the way of every DEL
        except OSError:
            return False
        return written > time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot + _CLOCKS_DIFFER

    def listed(self) -> NetworkAttachment:
        """Return it in its public form, as :meth:`attachment`; its result is checked now, and decoded when it is read.

        :raises ResultError: if the stored result is not one.
        """
        if self.decoded_result is None:
            return self.attachment()
        check_result(self.decoded_result)
        return NetworkAttachment.listed(
            *(self.key, self.config or b"", self.text),
            netns=self.netns,
            args=self.args,
            caps=self.capability_args or {},
        )

    def runtime_conf(self, given: RuntimeConf) -> RuntimeConf:
        """Return what the ADD was called with; what is not stored is taken from ``given``."""
        if self.config is None:
            return given
        key = self.key
        return RuntimeConf(key.container_id, self.netns, key.ifname, self.args, self.capability_args or {})


def members_of(key: AttachmentKey, rt: RuntimeConf, config: bytes) -> list[tuple[str, str]]:
    """Return the encoded members of an entry but for its result."""
    members = [
        (keys.KIND, dump(keys.CACHE_KIND)),
        (keys.CONTAINER_ID, dump(key.container_id)),
        (keys.CONFIG, f'"{encode_base64(config)}"'),
        (keys.IF_NAME, dump(key.ifname)),
        (keys.NETWORK_NAME, dump(key.network)),
    ]
    members += [(keys.NETNS, dump(rt.netns))] if rt.netns else []
    members += [(keys.CNI_ARGS, dump(rt.args))] if rt.args else []
    members += [(keys.CAPABILITY_ARGS, dump(rt.capability_args))] if rt.capability_args else []
    return members
