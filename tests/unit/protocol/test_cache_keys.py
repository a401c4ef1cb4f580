"""The keys of the cache file are those of its model."""

from __future__ import annotations

from libcni.protocol.cache_keys import CACHE_KEYS
from libcni.protocol.documents import CacheDocument


def test_cache_keys_are_the_members_of_the_model_in_order() -> None:
    assert tuple(CacheDocument.model_fields) == CACHE_KEYS
