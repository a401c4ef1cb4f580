"""What holds for every document: typed errors only, nothing lost, and one verdict of models and schemas."""

from __future__ import annotations

import copy
import functools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from libcni import (
    SUPPORTED_VERSIONS,
    CNIConfig,
    CNIError,
    ConfigError,
    Result,
    ResultError,
    RuntimeConf,
    conf_from_bytes,
    network_conf_from_bytes,
)
from libcni.invoke import PluginOutput
from libcni.jsontext.decode import parse
from libcni.jsontext.encode import dump
from libcni.jsontext.positions import locate
from libcni.jsontext.scan import DocumentError, split_array, split_object
from libcni.protocol import documents as protocol
from libcni.schema import validate
from libcni.testing import ScriptedRunner
from tests.property import documents
from tests.property.documents import damaged, json_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.protocol.documents import Document

E = TypeVar("E", bound=Exception)

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

KINDS: dict[str, tuple[type[Document], documents.Documents]] = {
    "network": (protocol.NetworkDocument, documents.networks),
    "plugin": (protocol.PluginDocument, documents.plugins),
    "result-0.2": (protocol.ResultDocument01, documents.result_of("0.2.0")),
    "result-0.4": (protocol.ResultDocument03, documents.result_of("0.4.0")),
    "result-1.0": (protocol.ResultDocument10, documents.result_of("1.0.0")),
    "result-1.1": (protocol.ResultDocument11, documents.result_of("1.1.0")),
    "error": (protocol.ErrorDocument, documents.error_documents),
    "version": (protocol.VersionDocument, documents.version_documents),
    "cache": (protocol.CacheDocument, documents.caches),
}

each_kind = pytest.mark.parametrize("kind", KINDS)


def model_takes(kind: str, document: object) -> bool:
    try:
        KINDS[kind][0].model_validate(document)
    except ValidationError:
        return False
    return True


def refusal(error: type[E], action: Callable[[], object]) -> E | None:
    """Return the error of that class with which an action is refused, ``None`` when it is not; no other may come."""
    try:
        action()
    except error as caught:
        return caught
    return None


# Models and schemas


@each_kind
@given(data=st.data())
@EXAMPLES
def test_valid_document_is_taken_by_model_and_schema(kind: str, data: st.DataObject) -> None:
    document = data.draw(KINDS[kind][1])
    assert model_takes(kind, document)
    assert validate(kind, document) == []


@each_kind
@given(data=st.data())
@EXAMPLES
def test_damaged_document_has_one_verdict(kind: str, data: st.DataObject) -> None:
    document = data.draw(damaged(KINDS[kind][1]) | json_values)
    assert model_takes(kind, document) == (validate(kind, document) == [])


# JSON


@given(json_values)
@EXAMPLES
def test_json_comes_back_as_it_was(value: object) -> None:
    assert parse(dump(value)) == value == json.loads(dump(value))


@given(st.text(max_size=30) | st.text(alphabet='{}[]",:0123456789.eE+-\\ntrufalsNI \n', max_size=30))
@EXAMPLES
def test_json_of_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    error = refusal(DocumentError, lambda: parse(text))
    if error is None:
        assert parse(text) == json.loads(text)
        return
    assert error.line is not None
    assert error.column is not None
    assert 1 <= error.line <= text.count("\n") + 1


@given(st.binary(max_size=30))
@EXAMPLES
def test_json_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    error = refusal(DocumentError, lambda: parse(data))
    assert error is None or error.line is not None


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4), st.sampled_from([None, 1, 2]))
@EXAMPLES
def test_members_are_split_as_they_were_written(value: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    members = split_object(text)
    assert {key: json.loads(member) for key, member in members.items()} == value
    array = json.dumps(list(value.values()), indent=indent)
    assert [json.loads(item) for item in split_array(array)] == list(value.values())
    for key, member in members.items():
        line, column = locate(text, (key,))
        start = sum(len(each) for each in text.splitlines(keepends=True)[: line - 1]) + column - 1
        assert text[start:].startswith(member)


# Configurations


@given(documents.networks)
@EXAMPLES
def test_network_keeps_everything_it_was_given(document: dict[str, Any]) -> None:
    network = network_conf_from_bytes(dump(document))
    assert json.loads(network.raw) == document
    assert [dict(plugin.data) for plugin in network.plugins] == document["plugins"]
    assert network.cni_version in SUPPORTED_VERSIONS
    for plugin in network.plugins:
        request = json.loads(plugin.request(network.name, network.cni_version))
        own = {key for key in plugin.data if key not in {"name", "cniVersion", "capabilities", "prevResult"}}
        assert {key: request[key] for key in own} == {key: plugin.data[key] for key in own}
        assert request.keys() == own | {"name", "cniVersion"}


@given(damaged(documents.networks) | damaged(documents.plugins) | json_values)
@EXAMPLES
def test_configuration_of_any_shape_is_read_or_refused_with_its_place(document: object) -> None:
    text = json.dumps(document, indent=1)
    for read in (network_conf_from_bytes, conf_from_bytes):
        error = refusal(ConfigError, functools.partial(read, text))
        assert error is None or (error.line is not None and error.column is not None)


# Results


@given(documents.results)
@EXAMPLES
def test_result_round_trips(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    result = Result.from_dict(document)
    assert document == before
    assert Result.from_bytes(result.to_json()) == result
    assert Result.from_dict(result.to_dict()).to_dict() == result.to_dict()


@given(documents.results, st.sampled_from(SUPPORTED_VERSIONS), st.sampled_from(SUPPORTED_VERSIONS))
@EXAMPLES
def test_result_converts_to_every_version_and_is_valid_there(document: dict[str, Any], first: str, second: str) -> None:
    result = Result.from_dict(document)
    for version in (first, second):
        result = result.as_version(version)
        assert result.cni_version == version
        assert Result.from_dict(result.to_dict()) == Result.from_bytes(result.to_json())
    assert result.as_version(second) == result


@given(documents.results, st.sampled_from(["1.0.0", "1.1.0"]))
@EXAMPLES
def test_result_loses_no_address_on_the_way_up(document: dict[str, Any], version: str) -> None:
    result = Result.from_dict(document)
    newer = result.as_version(version)
    assert [ip.address for ip in newer.ips] == [ip.address for ip in result.ips]
    assert [route.dst for route in newer.routes] == [route.dst for route in result.routes]
    assert newer.extra == result.extra


@given(damaged(documents.results) | json_values)
@EXAMPLES
def test_result_of_any_shape_is_read_or_refused(document: Any) -> None:
    readers: list[Callable[[], Result]] = [
        lambda: Result.from_dict(document),
        lambda: Result.from_bytes(dump(document)),
    ]
    for read in readers:
        if refusal(ResultError, read) is None:
            for version in SUPPORTED_VERSIONS:
                Result.from_dict(read().as_version(version).to_dict())


# What plugins print, and what lies in the cache

NETWORK = network_conf_from_bytes(
    '{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "one"}, {"type": "two"}]}'
)
RT = RuntimeConf("box", "", "eth0")

answers = (damaged(documents.results) | damaged(documents.error_documents) | json_values).map(
    lambda document: dump(document).encode()
) | st.binary(max_size=20)


@given(answers, st.integers(0, 2), st.sampled_from(["one", "two"]))
@EXAMPLES
def test_plugin_may_print_anything_and_nothing_is_left_behind(stdout: bytes, status: int, plugin: str) -> None:
    runner = ScriptedRunner({(plugin, "ADD"): PluginOutput(stdout, b"", status)})
    with tempfile.TemporaryDirectory() as folder:
        config = CNIConfig(["/bin"], cache_dir=folder, runner=runner, durable=False, environ={})
        error = refusal(CNIError, lambda: config.add_network_list(NETWORK, RT))
        if error is None:
            config.check_network_list(NETWORK, RT)
            config.del_network_list(NETWORK, RT)
        else:
            assert "'net'" in str(error)
            assert config.get_cached_attachments() == []
        assert config.pending() == []


@given(damaged(documents.version_documents).map(lambda document: dump(document).encode()) | st.binary(max_size=20))
@EXAMPLES
def test_version_answer_of_any_shape_is_read_or_refused(stdout: bytes) -> None:
    config = CNIConfig(["/bin"], runner=ScriptedRunner({("one", "VERSION"): PluginOutput(stdout)}))
    if refusal(CNIError, lambda: config.get_version_info("one")) is None:
        assert all(isinstance(version, str) for version in config.get_version_info("one").supported_versions)


own = {"networkName": "net", "containerId": "box", "ifName": "eth0"}
cache_files = (damaged(documents.caches.map(lambda document: document | own)) | damaged(documents.results)).map(
    lambda document: dump(document).encode()
) | st.binary(max_size=20)


@given(cache_files)
@EXAMPLES
def test_cache_file_of_any_shape_never_stops_a_delete(data: bytes) -> None:
    runner = ScriptedRunner()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results" / "net-box-eth0"
        file.parent.mkdir(mode=0o700)
        file.write_bytes(data)
        config = CNIConfig(["/bin"], cache_dir=folder, runner=runner, durable=False, environ={})
        refusal(CNIError, lambda: config.get_network_list_cached_result(NETWORK, RT))
        refusal(CNIError, lambda: config.get_network_list_cached_config(NETWORK, RT))
        refusal(CNIError, lambda: config.check_network_list(NETWORK, RT))
        config.get_cached_attachments()
        config.del_network_list(NETWORK, RT)
        assert runner.history[-1][0] == "DEL"
        assert config.pending() == []
