"""Documents as Hypothesis makes them: valid ones, nearly valid ones, and JSON of any shape."""

from __future__ import annotations

import base64
from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st

from libcni.protocol.versions import SUPPORTED_VERSIONS

Documents: TypeAlias = st.SearchStrategy[dict[str, Any]]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

# What stands where something else should: each rule of the models and schemas is somewhere in here.
odd = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 1.0, 1.5, 2**31, 2**32 - 1, 2**32, 2**64, "", " ", "x", "\n", "\0", [], {}),
        *([None], [""], ["x"], [1], {"": 1}, {"type": "x"}, {"mac": True}, "true", "FALSE", "True\n", "yes"),
        *("1.0.0", "1.1.0", "0.4.0", "0.1.0", "9.0.0", "1.0", "1.0.0\n", "01.0.0", "1.0.0-rc1", ["1.0.0"], ["9.0.0"]),
        *("10.0.0.1/8", "10.0.0.1", "10.0.0.1/33", "10.0.0.1/8\n", "fd00::1/64", "fd00::1", "fe80::1%e/64", "::/0"),
        *(
            "10.0.0.1/255.0.0.0",
            "a/b",
            "..",
            ".",
            "..\n",
            ".x",
            "-x",
            "x\n",
            "a b",
            "4",
            "6",
            "Zm9v",
            "Zm9",
            "*",
            "cniCacheV1",
        ),
    ]
)

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,10}", fullmatch=True)
versions = st.sampled_from(SUPPORTED_VERSIONS)
cidrs = st.builds(lambda ip, bits: f"{ip}/{bits}", st.ip_addresses(v=4), st.integers(0, 32)) | st.builds(
    lambda ip, bits: f"{ip}/{bits}", st.ip_addresses(v=6), st.integers(0, 128)
)
addresses = st.ip_addresses().map(str)
uint32 = st.integers(0, 2**32 - 1)
texts = st.lists(st.text(max_size=5), max_size=2)
extra = st.dictionaries(st.sampled_from(["own", "x-y", "vendor.io/a"]), json_values, max_size=1)


def _object(required: dict[str, Any], optional: dict[str, Any]) -> Documents:
    return st.builds(lambda known, more: more | known, st.fixed_dictionaries(required, optional=optional), extra)


dns = _object({}, {"nameservers": texts, "domain": st.text(max_size=5), "search": texts, "options": texts})


def _routes(version: str) -> st.SearchStrategy[list[Any]]:
    attributes = dict.fromkeys(("mtu", "advmss", "priority", "table", "scope"), uint32) if version == "1.1.0" else {}
    return st.lists(_object({"dst": cidrs}, {"gw": addresses} | attributes), max_size=3)


def _families(version: str) -> Documents:
    def one(kind: Any, bits: int, family: Literal[4, 6]) -> Documents:
        address = st.builds(lambda ip, length: f"{ip}/{length}", st.ip_addresses(v=family), st.integers(0, bits))
        route = _object({"dst": address}, {"gw": addresses})
        return _object({"ip": kind}, {"gateway": addresses, "routes": st.lists(route, max_size=2)})

    four = st.builds(lambda ip, bits: f"{ip}/{bits}", st.ip_addresses(v=4), st.integers(0, 32))
    six = st.builds(lambda ip, bits: f"{ip}/{bits}", st.ip_addresses(v=6), st.integers(0, 128))
    return _object({"cniVersion": st.just(version)}, {"ip4": one(four, 32, 4), "ip6": one(six, 128, 6), "dns": dns})


def result_of(version: str) -> Documents:
    """Return valid results of a version."""
    if version in {"0.1.0", "0.2.0"}:
        return _families(version)
    mtu = {"mtu": uint32, "socketPath": st.text(max_size=5), "pciID": st.text(max_size=5)}
    interface = _object(
        {"name": st.text(max_size=5)},
        {"mac": st.text(max_size=5), "sandbox": st.text(max_size=5)} | (mtu if version == "1.1.0" else {}),
    )
    ip = _object({"address": cidrs}, {"gateway": addresses, "interface": uint32})
    if version < "1.0.0":
        ip = ip.map(lambda item: {"version": "6" if ":" in item["address"] else "4"} | item)
    return _object(
        {"cniVersion": st.just(version)},
        {
            "interfaces": st.lists(interface, max_size=3),
            "ips": st.lists(ip, max_size=3),
            "routes": _routes(version),
            "dns": dns,
        },
    )


results = versions.flatmap(result_of)

plugins = _object(
    {"type": st.from_regex(r"[a-z][a-z\-]{0,8}", fullmatch=True)},
    {
        "cniVersion": versions,
        "name": names,
        "capabilities": st.dictionaries(st.sampled_from(["mac", "ips", "portMappings"]), st.booleans(), max_size=2),
        "args": st.dictionaries(st.text(max_size=3), json_values, max_size=1),
        "ipam": _object({"type": st.text(max_size=5)}, {}),
        "dns": dns,
    },
)
networks = _object(
    {"name": names, "plugins": st.lists(plugins, min_size=1, max_size=3)},
    {
        "cniVersion": versions,
        "cniVersions": st.lists(versions, max_size=3),
        "disableCheck": st.booleans() | st.sampled_from(["true", "FALSE"]),
        "disableGC": st.booleans(),
        "loadOnlyInlinedPlugins": st.booleans(),
    },
)
error_documents = _object({"code": uint32, "msg": st.text(max_size=8)}, {"cniVersion": versions, "details": st.text()})
version_documents = _object({"cniVersion": versions}, {"supportedVersions": st.lists(versions, max_size=4)})
caches = _object(
    {
        "kind": st.just("cniCacheV1"),
        "containerId": names,
        "config": st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode()),
        "ifName": names,
        "networkName": names,
    },
    {
        "netns": st.text(max_size=5),
        "cniArgs": st.lists(st.lists(st.text(max_size=3), min_size=2, max_size=2), max_size=2),
        "capabilityArgs": st.dictionaries(st.text(max_size=3), json_values, max_size=2),
        "result": results,
    },
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [deeper for key, item in items for deeper in [(*path, key), *_paths(item, (*path, key))]]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a document with one value replaced, or left out when ``new`` is ``...``."""
    if not path:
        return new
    key, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    if not rest and new is ...:
        del copy[key]
    else:
        copy[key] = _replaced(value[key], tuple(rest), new)
    return copy


@st.composite
def damaged(draw: st.DrawFn, documents: Documents) -> Any:
    """Return documents with one to three values replaced by something odd, or left out, or added to."""
    document: Any = draw(documents)
    for _ in range(draw(st.integers(1, 3))):
        paths = _paths(document)
        new = draw(odd | json_values | st.just(...))
        if not paths:
            break
        document = _replaced(document, draw(st.sampled_from(paths)), new)
    return document
