"""The documents of the protocol as models: one definition for validation and for the published JSON Schemas.

Owns what a valid configuration, result, error, version information and cache file look like on the wire, for every
version of the specification. Unknown members are allowed everywhere, as the specification has it. A model takes 0.2 to
0.5 ms to make, and an ADD needs nine of nineteen, so names load when they are first used, with the others of the same
document. Go counterpart: the structs of ``pkg/types``. Source: SPEC 1.1.0, sections 1 and 5, and the same of the older
versions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libcni.protocol.documents.base import DNSDocument, Document
    from libcni.protocol.documents.cache_file import CacheDocument
    from libcni.protocol.documents.configuration import IPAMDocument, NetworkDocument, PluginDocument
    from libcni.protocol.documents.error_and_version import ErrorDocument, VersionDocument
    from libcni.protocol.documents.problems import Problem, first_problem
    from libcni.protocol.documents.results01 import IPDocument01, ResultDocument01
    from libcni.protocol.documents.results03 import IPDocument03, ResultDocument03
    from libcni.protocol.documents.results10 import InterfaceDocument, IPDocument, ResultDocument10, RouteDocument
    from libcni.protocol.documents.results11 import InterfaceDocument11, ResultDocument11, RouteDocument11

__all__ = [
    "CacheDocument",
    "DNSDocument",
    "Document",
    "ErrorDocument",
    "IPAMDocument",
    "IPDocument",
    "IPDocument01",
    "IPDocument03",
    "InterfaceDocument",
    "InterfaceDocument11",
    "NetworkDocument",
    "PluginDocument",
    "Problem",
    "ResultDocument01",
    "ResultDocument03",
    "ResultDocument10",
    "ResultDocument11",
    "RouteDocument",
    "RouteDocument11",
    "VersionDocument",
    "first_problem",
]

_MODULES = {
    "error_and_version": {"ErrorDocument", "VersionDocument"},
    "problems": {"Problem", "first_problem"},
    "configuration": {"IPAMDocument", "NetworkDocument", "PluginDocument"},
    "results01": {"IPDocument01", "ResultDocument01"},
    "results03": {"IPDocument03", "ResultDocument03"},
    "results10": {"IPDocument", "InterfaceDocument", "ResultDocument10", "RouteDocument"},
    "results11": {"InterfaceDocument11", "ResultDocument11", "RouteDocument11"},
    "cache_file": {"CacheDocument"},
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _MODULES.items() if name in names), "base")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
