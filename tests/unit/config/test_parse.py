"""Network configurations: what is read, what is refused and where, which version is taken, how a copy is changed."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from libcni import (
    SUPPORTED_VERSIONS,
    ConfigError,
    GCAttachment,
    IncompatibleVersionError,
    NetworkConfigList,
    PluginConfig,
    VersionError,
    conf_from_bytes,
    conf_list_from_bytes,
    conf_list_from_conf,
    inject_conf,
    network_conf_from_bytes,
    network_plugin_conf_from_bytes,
)
from libcni.jsontext.encode import dump

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORK = """\
{
  "cniVersion": "1.1.0",
  "name": "dbnet",
  "own": 18446744073709551615,
  "plugins": [
    {"type": "bridge", "mtu": 1.50, "big": 9007199254740993, "ipam": {"type": "host-local"}},
    {"type": "tuning", "capabilities": {"mac": true, "ips": false}}
  ]
}
"""


def network(**members: Any) -> str:
    """Return a valid document with members replaced; one that is ``...`` is left out."""
    document = {"cniVersion": "1.1.0", "name": "dbnet", "plugins": [{"type": "bridge"}]} | members
    return dump({key: value for key, value in document.items() if value is not ...})


def test_network_has_what_the_document_says() -> None:
    loaded = network_conf_from_bytes(NETWORK)
    assert (loaded.name, loaded.cni_version, loaded.source) == ("dbnet", "1.1.0", None)
    assert (loaded.disable_check, loaded.disable_gc, loaded.load_only_inlined_plugins) == (False, False, False)
    assert loaded.raw == NETWORK.encode()
    bridge, tuning = loaded.plugins
    assert (bridge.type, bridge.name, bridge.cni_version, bridge.capabilities) == ("bridge", "", "", {})
    assert tuning.capabilities == {"mac": True, "ips": False}
    assert tuning.used_capabilities == {"mac"}
    assert bridge.data["ipam"]["type"] == "host-local"
    assert isinstance(loaded.plugins, tuple)


def test_plugin_keeps_exact_numbers_and_its_text() -> None:
    bridge = network_conf_from_bytes(NETWORK).plugins[0]
    assert bridge.raw == b'{"type": "bridge", "mtu": 1.50, "big": 9007199254740993, "ipam": {"type": "host-local"}}'
    assert bridge.data["big"] == 9007199254740993
    request = bridge.request("dbnet", "1.1.0")
    assert b'"mtu":1.50,"big":9007199254740993' in request


def test_bytes_and_str_give_the_same() -> None:
    assert (
        network_conf_from_bytes(NETWORK) == network_conf_from_bytes(NETWORK.encode()) == conf_list_from_bytes(NETWORK)
    )
    assert conf_from_bytes('{"type": "a"}') == network_plugin_conf_from_bytes(b'{"type": "a"}')


MISTAKES: dict[str, tuple[str | bytes, str, int, str]] = {
    # name: document, field, line, part of the message
    "empty": ("", "", 1, "is empty"),
    "array": ("[]", "", 1, "expected a JSON object, found an array"),
    "truncated": ('{"name": "a",\n"plugins": [', "", 2, "the file ends"),
    "duplicate-key": (
        '{"name": "a",\n"plugins": [{"type": "b",\n"type": "c"}]}',
        "plugins[0].type",
        3,
        "duplicate key",
    ),
    "nan": ('{"name": "a",\n"x": NaN}', "x", 2, "NaN"),
    "utf-8": (b'{"name": "\xff"}', "", 1, "invalid UTF-8"),
    "name-missing": (network(name=...), "name", 1, "is required"),
    "name-empty": (network(name=""), "name", 1, "must not be empty"),
    "name-null": (network(name=None), "name", 1, "expected a string, found null"),
    "name-number": (network(name=5), "name", 1, "expected a string, found a number"),
    "name-path": (network(name="../etc"), "name", 1, "must start with a letter or digit"),
    "name-line-break": (network(name="a\n"), "name", 1, "must start with a letter or digit"),
    "plugins-object": (network(plugins={}), "plugins", 1, "expected an array, found an object"),
    "plugins-empty": (network(plugins=[]), "plugins", 1, "must not be empty"),
    "plugins-null": (network(plugins=None), "plugins", 1, "expected an array, found null"),
    "plugin-null": (network(plugins=[None]), "plugins[0]", 1, "expected an object, found null"),
    "plugin-text": (network(plugins=["bridge"]), "plugins[0]", 1, "expected an object, found a string"),
    "type-missing": ('{"name": "a", "plugins": [{"type": "b"},\n{"x": 1}]}', "plugins[1].type", 2, "is required"),
    "type-empty": (network(plugins=[{"type": ""}]), "plugins[0].type", 1, "must not be empty"),
    "type-slash": (network(plugins=[{"type": "../sh"}]), "plugins[0].type", 1, "without a separator"),
    "type-dots": (network(plugins=[{"type": ".."}]), "plugins[0].type", 1, "without a separator"),
    "type-number": (network(plugins=[{"type": 1}]), "plugins[0].type", 1, "expected a string"),
    "capabilities-array": (
        network(plugins=[{"type": "b", "capabilities": ["mac"]}]),
        "plugins[0].capabilities",
        1,
        "expected an object, found an array",
    ),
    "capability-text": (
        network(plugins=[{"type": "b", "capabilities": {"mac": "true"}}]),
        "plugins[0].capabilities.mac",
        1,
        "expected a boolean, found a string",
    ),
    "ipam-array": (network(plugins=[{"type": "b", "ipam": []}]), "plugins[0].ipam", 1, "expected an object"),
    "version-number": (network(cniVersion=1.0), "cniVersion", 1, "expected a string, found a number"),
    "version-malformed": (network(cniVersion="1.0"), "cniVersion", 1, "expected major.minor.patch"),
    "versions-text": (network(cniVersions="1.0.0"), "cniVersions", 1, "expected an array, found a string"),
    "versions-malformed": (network(cniVersions=["1.0.0", "x"]), "cniVersions[1]", 1, "expected major.minor.patch"),
    "versions-null-entry": (network(cniVersions=[None]), "cniVersions[0]", 1, "expected a string, found null"),
    "disable-check-number": (network(disableCheck=1), "disableCheck", 1, "expected true or false, found a number"),
    "disable-check-text": (network(disableCheck="yes"), "disableCheck", 1, "expected true or false"),
    "disable-gc-null": (network(disableGC=None), "disableGC", 1, "expected true or false, found null"),
    "inlined-text": (network(loadOnlyInlinedPlugins="1"), "loadOnlyInlinedPlugins", 1, "expected true or false"),
    "inlined-without-plugins": (
        network(plugins=..., loadOnlyInlinedPlugins=True),
        "plugins",
        1,
        "needs inlined plugins",
    ),
    "inlined-text-without-plugins": (
        network(plugins=..., loadOnlyInlinedPlugins="True"),
        "plugins",
        1,
        "needs inlined plugins",
    ),
}


@pytest.mark.parametrize(("data", "field", "line", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_in_a_network_is_reported_with_its_place(
    data: str | bytes, field: str, line: int, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        network_conf_from_bytes(data)
    error = caught.value
    assert message in error.msg
    assert (error.field, error.line, error.source) == (field, line, None)
    assert error.column is not None
    assert str(error.line) in str(error)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ('{"cniVersion": "1.0.0"}', "type"),
        ('{"type": "a/b"}', "type"),
        ('{"type": "a", "name": "../x"}', "name"),
        ('{"type": "a", "name": 1}', "name"),
        ('{"name": "a", "plugins": [{"type": "b"}]}', "plugins"),
        ('{"type": "a", "cniVersion": "1"}', "cniVersion"),
        ('{"type": "a", "x": {"y": 1, "y": 2}}', "x.y"),
    ],
    ids=str,
)
def test_mistake_in_a_plugin_is_reported_with_its_field(data: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        conf_from_bytes(data)
    assert caught.value.field == field


def test_list_where_a_plugin_is_expected_is_named_so() -> None:
    with pytest.raises(ConfigError, match=r"is a list of plugins, and a \.conf or \.json file has a single one"):
        conf_from_bytes('{"name": "a", "plugins": []}')


@pytest.mark.parametrize(
    ("members", "version"),
    [
        ({"cniVersion": ...}, "0.1.0"),
        ({"cniVersion": ""}, "0.1.0"),
        ({"cniVersion": "", "cniVersions": []}, "0.1.0"),
        ({"cniVersion": "0.4.0"}, "0.4.0"),
        ({"cniVersion": ..., "cniVersions": ["0.3.1", "1.0.0"]}, "1.0.0"),
        ({"cniVersion": "1.1.0", "cniVersions": ["0.3.1", "1.0.0"]}, "1.1.0"),
        ({"cniVersion": "0.3.1", "cniVersions": ["1.0.0", "0.4.0"]}, "1.0.0"),
        ({"cniVersion": "0.4.0", "cniVersions": ["0.4.0", "7.0.0"]}, "0.4.0"),
        ({"cniVersion": "7.0.0", "cniVersions": ["0.4.0"]}, "0.4.0"),
        ({"cniVersion": "0.9.0", "cniVersions": ["0.10.0", "0.4.0"]}, "0.4.0"),
    ],
    ids=str,
)
def test_version_is_the_highest_that_is_supported_of_all(members: dict[str, Any], version: str) -> None:
    assert network_conf_from_bytes(network(**members)).cni_version == version


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"cniVersion": "1.2.0"}, "cniVersion"),
        ({"cniVersion": "1.2.0", "cniVersions": ["1.3.0"]}, "cniVersion"),
        ({"cniVersion": ..., "cniVersions": ["2.0.0"]}, "cniVersions"),
    ],
    ids=str,
)
def test_network_of_unsupported_versions_only_is_refused(members: dict[str, Any], field: str) -> None:
    for cls in (IncompatibleVersionError, ConfigError):
        with pytest.raises(cls, match="is supported") as caught:
            network_conf_from_bytes(network(**members))
        assert getattr(caught.value, "field", None) == field


def test_malformed_version_is_a_config_error_and_a_version_error() -> None:
    for cls in (ConfigError, VersionError):
        with pytest.raises(cls, match=r"expected major\.minor\.patch"):
            network_conf_from_bytes(network(cniVersion="v1"))


@pytest.mark.parametrize("key", ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"])
@pytest.mark.parametrize(
    ("value", "is_on"),
    [(True, True), (False, False), ("true", True), ("TRUE", True), ("tRuE", True), ("false", False), ("False", False)],
    ids=repr,
)
def test_switch_takes_a_boolean_or_its_name_in_any_case(key: str, value: object, is_on: bool) -> None:
    loaded = network_conf_from_bytes(network(**{key: value}))
    fields = (loaded.disable_check, loaded.disable_gc, loaded.load_only_inlined_plugins)
    assert fields[["disableCheck", "disableGC", "loadOnlyInlinedPlugins"].index(key)] is is_on


def test_keys_are_matched_exactly() -> None:
    loaded = network_conf_from_bytes(network(DisableCheck=True, plugins=[{"type": "a", "TYPE": "b", "Name": "x"}]))
    assert loaded.disable_check is False
    assert (loaded.plugins[0].type, loaded.plugins[0].name) == ("a", "")


def test_type_of_a_list_means_nothing_and_is_left_out_of_its_document() -> None:
    loaded = network_conf_from_bytes('{"name": "a", "type": "b", "mtu": 1.50, "plugins": [{"type": "c"}]}')
    assert [plugin.type for plugin in loaded.plugins] == ["c"]
    assert loaded.raw == b'{"name":"a","mtu":1.50,"plugins":[{"type": "c"}]}'


def test_list_without_the_member_plugins_may_get_some_from_files() -> None:
    assert network_conf_from_bytes(network(plugins=...)).plugins == ()


PLUGIN = '{"cniVersion": "0.4.0", "name": "dbnet", "type": "bridge", "mtu": 1.0}'


def test_conf_list_from_conf_has_that_one_plugin() -> None:
    plugin = conf_from_bytes(PLUGIN)
    made = conf_list_from_conf(plugin)
    assert (made.name, made.cni_version, made.plugins, made.source) == ("dbnet", "0.4.0", (plugin,), None)
    assert json.loads(made.raw) == {"cniVersion": "0.4.0", "name": "dbnet", "plugins": [json.loads(PLUGIN)]}
    assert b'"mtu": 1.0' in made.raw
    assert network_conf_from_bytes(made.raw) == made


def test_conf_list_from_conf_without_version_has_the_first() -> None:
    assert conf_list_from_conf(conf_from_bytes('{"name": "a", "type": "b"}')).cni_version == "0.1.0"


def test_conf_list_from_conf_without_name_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        conf_list_from_conf(conf_from_bytes('{"type": "b"}'))
    assert caught.value.field == "name"


@pytest.mark.parametrize("version", [version for version in SUPPORTED_VERSIONS if version != "0.1.0"])
def test_single_plugin_takes_the_highest_version_too(version: str) -> None:
    plugin = conf_from_bytes(dump({"type": "a", "cniVersion": "0.1.0", "cniVersions": [version, "9.0.0"]}))
    assert plugin.cni_version == version


def test_inject_conf_sets_and_adds_and_leaves_the_original() -> None:
    original = conf_from_bytes(PLUGIN)
    values = {"mtu": 9000, "own": {"deep": [1.0]}}
    changed = inject_conf(original, values)
    values["own"] = {}
    assert changed.data == {
        "cniVersion": "0.4.0",
        "name": "dbnet",
        "type": "bridge",
        "mtu": 9000,
        "own": {"deep": [1.0]},
    }
    assert original == conf_from_bytes(PLUGIN)
    assert inject_conf(original, {}) == original
    assert inject_conf(original, {"type": "ptp", "name": "other"}).type == "ptp"


@pytest.mark.parametrize(
    "values",
    [
        {"": 1},
        {"type": "a/b"},
        {"type": None},
        {"x": object()},
        {"x": float("nan")},
        {"name": "../x"},
        {"cniVersion": 1},
    ],
    ids=["empty-key", "slash", "null-type", "object", "nan", "name", "version"],
)
def test_inject_conf_refuses_what_makes_no_configuration(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        inject_conf(conf_from_bytes(PLUGIN), values)


@pytest.mark.parametrize(
    "other",
    [
        '{"type":"bridge","name":"dbnet","cniVersion":"0.4.0","mtu":1.0}',
        PLUGIN + "\n",
    ],
    ids=["order", "space"],
)
def test_plugin_equals_another_text_that_means_the_same(other: str) -> None:
    assert conf_from_bytes(PLUGIN) == conf_from_bytes(other)
    assert hash(conf_from_bytes(PLUGIN)) == hash(conf_from_bytes(other))


@pytest.mark.parametrize("value", ["1", "true", "1.5", '"1.0"', "null"])
def test_plugin_differs_from_one_with_another_value(value: str) -> None:
    assert conf_from_bytes(PLUGIN) != conf_from_bytes(PLUGIN.replace("1.0", value))
    assert conf_from_bytes(PLUGIN) != PLUGIN


@pytest.mark.parametrize("make", [lambda: conf_from_bytes(PLUGIN), lambda: network_conf_from_bytes(NETWORK)])
def test_configuration_is_immutable_hashes_and_pickles(make: Callable[[], PluginConfig | NetworkConfigList]) -> None:
    configuration = make()
    restored = pickle.loads(pickle.dumps(configuration))  # noqa: S301 -- our own
    assert restored == configuration
    assert restored.raw == configuration.raw
    assert len({configuration, restored, make()}) == 1
    with pytest.raises(AttributeError):
        configuration.name = "x"  # type: ignore[misc]  # that it fails is the point


def test_plugin_data_is_deeply_immutable() -> None:
    plugin = conf_from_bytes('{"type": "a", "x": {"y": [1]}, "capabilities": {"mac": true}}')
    with pytest.raises(TypeError):
        plugin.data["x"]["y"].append(2)
    with pytest.raises(TypeError):
        plugin.data["z"] = 1  # type: ignore[index]  # that it fails is the point
    with pytest.raises(TypeError):
        plugin.capabilities["ips"] = True  # type: ignore[index]  # that it fails is the point


def test_network_made_by_hand_is_a_network() -> None:
    plugin = conf_from_bytes(PLUGIN)
    made = NetworkConfigList("dbnet", "0.4.0", [plugin], b"{}")
    assert made.plugins == (plugin,)
    assert made == conf_list_from_conf(plugin)


@pytest.mark.parametrize("change", [{"type": "b"}, {"name": "b"}, {"cni_version": "0.1.0"}], ids=str)
def test_changed_plugin_is_another_one(change: dict[str, str]) -> None:
    given = conf_from_bytes(PLUGIN)
    assert replace(given, **change) != given  # type: ignore[arg-type]  # texts only
    assert replace(given) == given


@pytest.mark.parametrize("raw", [b"{}", b"", b"nonsense", b'{"type": "other", "name": "dbnet"}', b'{"plugins": [1]}'])
def test_network_made_by_hand_has_a_document_that_says_the_same(raw: bytes) -> None:
    plugins = [conf_from_bytes(PLUGIN), conf_from_bytes('{"type": "b", "mtu": 1.50}')]
    made = NetworkConfigList("dbnet", "0.4.0", plugins, raw, disable_check=True)
    assert network_conf_from_bytes(made.raw) == made
    assert b'"mtu": 1.50' in made.raw


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"cni_version": "0.4.0"},
        {"plugins": [conf_from_bytes(PLUGIN)]},
        {"disable_check": True},
        {"disable_gc": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_network_has_a_changed_document(change: dict[str, Any]) -> None:
    given = network_conf_from_bytes(network(cniVersions=["1.0.0", "1.1.0"], own=1))
    changed = replace(given, **change)
    assert changed != given
    assert network_conf_from_bytes(changed.raw) == changed
    assert b'"own"' in changed.raw
    assert replace(given, source=None).raw == given.raw


def test_gc_request_lists_what_to_keep_under_both_names() -> None:
    plugin = conf_from_bytes('{"type": "a", "cni.dev/attachments": "static", "cni.dev/own": 1, "prevResult": {}}')
    request = json.loads(plugin.gc_request("dbnet", "1.1.0", [GCAttachment("box", "eth0")]))
    kept = [{"containerID": "box", "ifname": "eth0"}]
    assert request == {
        "cniVersion": "1.1.0",
        "name": "dbnet",
        "type": "a",
        "cni.dev/valid-attachments": kept,
        "cni.dev/attachments": kept,
    }


def test_runtime_config_has_only_what_is_declared_and_given() -> None:
    plugin = conf_from_bytes('{"type": "a", "capabilities": {"mac": true, "ips": false, "dns": true}}')
    assert plugin.runtime_config({"mac": "m", "ips": ["i"], "own": 1}) == {"runtimeConfig": '{"mac":"m"}'}
    assert plugin.runtime_config({"ips": ["i"]}) == {}


@pytest.mark.parametrize("key", ["cniVersion", "cniVersions"])
def test_version_of_a_list_that_is_null_is_refused_as_by_go(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        network_conf_from_bytes(json.dumps({"name": "lab", "plugins": [{"type": "loopback"}], key: None}))
    assert caught.value.field == key


def test_version_of_the_plugins_is_told_from_those_of_the_specification() -> None:
    with pytest.raises(ConfigError, match=r"0\.5\.1 is a version of the plugins"):
        network_conf_from_bytes('{"cniVersion": "0.5.1", "name": "lab", "plugins": [{"type": "loopback"}]}')


def test_single_plugin_where_a_list_is_expected_is_named_so() -> None:
    with pytest.raises(ConfigError, match=r"single plugin, and a \.conflist file has a list: rename it to \.conf"):
        network_conf_from_bytes('{"cniVersion": "0.4.0", "name": "lab", "type": "loopback"}')


def test_null_in_a_plugin_is_absent() -> None:
    members = {
        "type": "loopback",
        "cniVersion": None,
        "capabilities": {"mac": None, "ips": True},
        "ipam": None,
        "dns": None,
    }
    [plugin] = network_conf_from_bytes(json.dumps({"name": "lab", "plugins": [members]})).plugins
    assert plugin.used_capabilities == {"ips"}
