"""The configurations: every one is valid, and together they use every option that the schemas document.

Those with a source in the index are reduced from a public file, with other names and addresses; the others were written
from the documentation.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from libcni.jsontext.decode import parse_object
from libcni.protocol.names import network_name_problem
from libcni.protocol.versions import SUPPORTED_VERSIONS
from tests.schemas.plugin_schemas import (
    CONFIGURATION_DIR,
    INDEX_FILE,
    configuration_files,
    load_schemas,
    objects_of,
    plugins_of,
    problems,
    property_paths,
    schema_name,
    used_paths,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENOUGH_FILES = 250
ENOUGH_REDUCED = 150
WITHOUT_SOURCE = {"gke", "nsx"}  # no public file with one was found

each_file = pytest.mark.parametrize("path", configuration_files(), ids=lambda path: path.name)


def _document(path: Path) -> dict[str, Any]:
    return parse_object(path.read_bytes())


def _documents() -> dict[str, dict[str, Any]]:
    return {path.name: _document(path) for path in configuration_files()}


def test_configurations_are_many_and_indexed() -> None:
    index = json.loads(INDEX_FILE.read_text())
    assert sorted(index) == [path.name for path in configuration_files()]
    assert len(index) >= ENOUGH_FILES
    assert {path.suffix for path in configuration_files()} == {".conflist", ".conf"}


def test_configurations_that_were_reduced_name_the_file_and_each_plugin_has_one() -> None:
    index = json.loads(INDEX_FILE.read_text())
    reduced = {name: entry for name, entry in index.items() if "source" in entry}
    assert len(reduced) >= ENOUGH_REDUCED
    for name, entry in reduced.items():
        assert set(entry["source"]) == {"repository", "path", "commit"}, name
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry["source"]["repository"]), name
        assert re.fullmatch(r"[0-9a-f]{40}", entry["source"]["commit"]), name
        assert entry["source"]["path"], name
    plugins = {name for entry in reduced.values() for name in entry["plugins"]}
    assert set(load_schemas()) - plugins <= WITHOUT_SOURCE
    assert {name for entry in index.values() for name in entry["documentation"]} == set(load_schemas())


@each_file
def test_configuration_validates_against_the_plugin_schemas(path: Path) -> None:
    assert problems(path.read_text()) == {}


@each_file
def test_configuration_head_is_sound(path: Path) -> None:
    document = _document(path)
    assert document["name"] == path.stem
    assert network_name_problem(document["name"]) is None
    assert {document["cniVersion"], *document.get("cniVersions", [])} <= set(SUPPORTED_VERSIONS)
    if path.suffix == ".conf":
        assert document["cniVersion"] < "1.0.0", "specification 1.0.0 has lists only"
    first = plugins_of(document)[0][1]
    assert not load_schemas().get(first["type"], {}).get("x-cni-chained-only")


@each_file
def test_configuration_declares_only_known_capabilities(path: Path) -> None:
    for _, plugin in plugins_of(_document(path)):
        if plugin["type"] not in load_schemas():
            continue
        known = set(load_schemas()[plugin["type"]]["x-cni-capabilities"])
        ipam = load_schemas().get(schema_name((plugin.get("ipam") or {}).get("type"), is_ipam=True), {})
        known |= set(ipam.get("x-cni-capabilities", []))
        wanted = {name for name, declared in plugin.get("capabilities", {}).items() if declared}
        assert wanted <= known


@each_file
def test_index_tells_plugins_documentation_and_options(path: Path) -> None:
    entry = json.loads(INDEX_FILE.read_text())[path.name]
    found = list(objects_of(_document(path)))
    options = {
        f"{plugin_type}.{key}"
        for _, plugin_type, value in found
        for key in set(value) & set(load_schemas()[plugin_type]["properties"]) - {"type", "name", "cniVersion", "ipam"}
    }
    assert entry["plugins"] == list(dict.fromkeys(plugin_type for _, plugin_type, _ in found))
    assert entry["documentation"] == {name: load_schemas()[name]["x-cni-documentation"] for name in entry["plugins"]}
    assert entry["options"] == sorted(options)


def _documented(plugin_type: str) -> set[str]:
    # Name and version of the network stand at the top of a list, not in a plugin.
    return set(property_paths(load_schemas()[plugin_type])) - {"name", "cniVersion"}


def _used(plugin_type: str) -> set[str]:
    found = [
        value for document in _documents().values() for _, name, value in objects_of(document) if name == plugin_type
    ]
    return set().union(*(used_paths(value) for value in found))


@pytest.mark.parametrize("plugin_type", sorted(load_schemas()))
def test_configurations_use_every_documented_property(plugin_type: str) -> None:
    assert _documented(plugin_type) - _used(plugin_type) == set()


def test_configurations_and_options_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    schemas = load_schemas()
    options = sum(len(_documented(name) & _used(name)) for name in schemas)
    with capsys.disabled():
        print(f"\n{len(configuration_files())} configurations use {options} options of {len(schemas)} plugins")  # noqa: T201 -- the numbers are what this test shows
    assert {name for document in _documents().values() for _, name, _ in objects_of(document)} == set(schemas)


def test_configurations_of_one_directory_do_not_collide() -> None:
    names = [document["name"] for document in _documents().values()]
    assert len(names) == len(set(names))
    bridges = [
        plugin["bridge"]
        for document in _documents().values()
        for _, plugin in plugins_of(document)
        if "bridge" in plugin
    ]
    assert len(bridges) == len(set(bridges))
    for (first, one), (second, other) in itertools.combinations(_subnets(), 2):
        assert first == second or one.version != other.version or not one.overlaps(other), (
            f"{first}: {one}; {second}: {other}"
        )


def _subnets() -> Iterator[tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    for name, document in _documents().items():
        for _, plugin_type, value in objects_of(document):
            for text in _subnet_texts(plugin_type, value):
                if "/" in text and "-" not in text:
                    yield name, ipaddress.ip_network(text, strict=False)


def _subnet_texts(plugin_type: str, value: dict[str, Any]) -> list[str]:
    if load_schemas()[plugin_type]["x-cni-kind"] != "ipam":
        return []
    texts = [value.get("subnet", ""), value.get("range", "")]
    texts += [block["subnet"] for blocks in value.get("ranges", []) for block in blocks]
    texts += [block["range"] for block in value.get("ipRanges", [])]
    return texts + [address["address"] for address in value.get("addresses", [])]


def test_directory_holds_nothing_else() -> None:
    assert all(path.is_file() for path in CONFIGURATION_DIR.iterdir())
