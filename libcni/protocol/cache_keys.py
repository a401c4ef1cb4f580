"""The keys of the file of a stored attachment, for those that write it; its model is ``CacheDocument``.

Go counterpart: ``cachedInfo`` in ``libcni/api.go``. Source: SPEC 1.1.0, section 3, "Caching".
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

__all__ = ["CACHE_KEYS", "CACHE_KIND", "CacheKind"]

CacheKind: TypeAlias = Literal["cniCacheV1"]
CACHE_KIND: CacheKind = get_args(CacheKind)[0]
"""The kind of a file of this format, which is Go libcni's."""

CACHE_KEYS = (
    KIND := "kind",
    CONTAINER_ID := "containerId",
    CONFIG := "config",
    IF_NAME := "ifName",
    NETWORK_NAME := "networkName",
    NETNS := "netns",
    CNI_ARGS := "cniArgs",
    CAPABILITY_ARGS := "capabilityArgs",
    RESULT := "result",
)
"""All keys, in the order of the file."""
