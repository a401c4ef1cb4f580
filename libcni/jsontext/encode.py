"""JSON out: compact, as ASCII, and objects joined from members that are encoded already.

Go counterpart: ``json.Marshal``. Source: RFC 8259.
"""

from __future__ import annotations

import base64
import functools
import json
from typing import TYPE_CHECKING, Any

from libcni.jsontext.scan import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["canonical", "dump", "encode_base64", "join_object"]


def dump(value: Any) -> str:
    """Encode a JSON value compactly, as ASCII.

    :raises DocumentError: if it holds something that JSON has no form for.

    >>> dump({"a": [1, 2.0, None]})
    '{"a":[1,2.0,null]}'
    """
    if isinstance(value, str):
        return _encode_text(value)
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentError(f"not a JSON value: {error}") from None


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_encode_text = json.encoder.encode_basestring_ascii


@functools.lru_cache(64)
def encode_base64(data: bytes) -> str:
    """Encode bytes as text: the configuration of a network, which is stored with each of its attachments."""
    return base64.b64encode(data).decode()


def canonical(value: Any) -> str:
    """Encode a JSON value so that equal documents give equal texts, whatever the order of their members.

    >>> canonical({"b": 1, "a": True})
    '{"a":true,"b":1}'
    """
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def join_object(members: Iterable[tuple[str, str]]) -> str:
    """Return the text of an object whose members are given as key and encoded value.

    >>> join_object([("a", "1.0"), ("b", "[]")])
    '{"a":1.0,"b":[]}'
    """
    return "{" + ",".join([f"{_encode_text(key)}:{text}" for key, text in members]) + "}"
