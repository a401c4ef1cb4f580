"""Documents that are nearly right: the values of a good one exchanged, and its bytes."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**64, 1e308, -0.0, "", "0", "\0", "\ud800", "eth0", "../x", "10.0.0.1", "::/0", "1.1.0",
    "9.9.9", "a" * 300, [], {}, [[]], [{}], {"": {}}, [None], ["1.0.0"], {"dst": "0.0.0.0/0"},
    {"address": "10.0.0.1/33"},
)  # fmt: skip
_TOKENS = (
    b"NaN", b"Infinity", b"-", b"1e999", b"\xff", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b'"', b"{", b"[", b"}", b"]",
    b",", b":", b"\0", b"[" * 200_000, b"7" * 5000, b'{"a":1,"a":2}', b"null", b"1.0",
)  # fmt: skip


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Return a document that differs from a good one in a value, a member or a few bytes."""
    if chance.random() < 0.6:
        document = json.loads(data)
        for _ in range(chance.randint(1, 3)):
            document = _exchanged(document, chance)
        return json.dumps(document).encode()
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(changed) + 1)
        length = chance.choice((0, 0, 1, 1, 4, 50))
        piece = chance.choice((b"", chance.choice(_TOKENS), chance.randbytes(1)))
        changed[place : place + length] = piece
    return bytes(changed)


def _exchanged(document: Any, chance: random.Random) -> Any:
    places = list(_places(document))
    if not places:
        return copy.deepcopy(chance.choice(_VALUES))
    container, key = chance.choice(places)
    what = chance.random()
    if what < 0.2:
        del container[key]
    elif what < 0.3 and isinstance(container, dict):
        container[chance.choice(("", "x", "cniVersion", key.upper()))] = container.pop(key)
    else:
        container[key] = copy.deepcopy(chance.choice(_VALUES))
    return document


def _places(value: Any) -> list[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]
