"""Names and arguments: what may travel to plugins and into file names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libcni import InvalidParameterError, RuntimeConf
from libcni.protocol.attachment import AttachmentKey
from libcni.protocol.cni_args import format_args, parse_args
from libcni.protocol.names import (
    check_container_id,
    check_interface_name,
    check_network_name,
    plugin_type_problem,
)

BAD_NAMES = ["", ".", "..", "-a", "_a", "a/b", "../a", "a b", "a\n", "a\0", "ä", "a:b", "a@b", "\ud800"]


@pytest.mark.parametrize("name", ["a", "0", "pod-net.1", "a_b", "A" * 200, "a..b"])
def test_network_name_and_container_id_may_be(name: str) -> None:
    check_network_name(name)
    check_container_id(name)


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_network_name_and_container_id_must_not_be(name: str) -> None:
    for check, parameter in ((check_network_name, "network"), (check_container_id, "container_id")):
        with pytest.raises(InvalidParameterError) as caught:
            check(name)
        assert (caught.value.name, caught.value.value) == (parameter, name)


@pytest.mark.parametrize("name", ["eth0", "e", "a" * 15, "a.b", "...", "ä" * 7, "-x", "@"])
def test_interface_name_may_be(name: str) -> None:
    check_interface_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a" * 16, "ä" * 8, "a/b", "a:b", "a b", "a\n", "a\t", "a\u2003b", "a\0", "\ud800"],
    ids=ascii,
)
def test_interface_name_must_not_be(name: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        check_interface_name(name)
    assert caught.value.name == "ifname"


def test_interface_name_counts_bytes_not_characters() -> None:
    with pytest.raises(InvalidParameterError, match="has 16 bytes; at most 15 are allowed"):
        check_interface_name("ä" * 8)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\\b", "a\0b"], ids=ascii)
def test_plugin_type_must_not_be(name: str) -> None:
    assert plugin_type_problem(name)


def test_format_args_keeps_order_and_equals_signs_in_values() -> None:
    assert format_args([("B", "x=y"), ("A", ""), ("B", "2")]) == "B=x=y;A=;B=2"
    assert format_args([]) == ""


@pytest.mark.parametrize(
    "pair",
    [("", "1"), ("A=B", "1"), ("A;B", "1"), ("A", "1;2"), ("A", "1\0"), ("A\0", "1"), ("A", "\ud800")],
    ids=["empty-key", "equals-in-key", "semicolon-in-key", "semicolon-in-value", "nul", "nul-in-key", "surrogate"],
)
def test_format_args_refuses_what_could_be_misread(pair: tuple[str, str]) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        format_args([("OK", "1"), pair])
    assert caught.value.name == "args"


def test_parse_args_reads_what_format_args_wrote() -> None:
    pairs = (("IgnoreUnknown", "1"), ("K8S_POD_NAME", "a=b"), ("E", ""))
    assert parse_args(format_args(pairs)) == pairs
    assert parse_args("") == ()


@pytest.mark.parametrize("text", ["A", "A=1;", "=1", ";", "A=1;;B=2"])
def test_parse_args_refuses_what_is_no_pair(text: str) -> None:
    with pytest.raises(InvalidParameterError, match="is not KEY=VALUE"):
        parse_args(text)


@pytest.mark.parametrize(
    ("rt", "parameter"),
    [
        (RuntimeConf("", "/ns", "eth0"), "container_id"),
        (RuntimeConf("box", "/ns", ""), "ifname"),
        (RuntimeConf("box", "/n\0s", "eth0"), "netns"),
        (RuntimeConf("box", "\ud800", "eth0"), "netns"),
        (RuntimeConf("box", "/ns", "eth0", [("A", ";")]), "args"),
        (RuntimeConf("box", "/ns", "eth0", (), {"mac": object()}), "capability_args"),
        (RuntimeConf("box", "/ns", "eth0", (), {"mac": float("nan")}), "capability_args"),
        (RuntimeConf("box", "/ns", "eth0", (), {"mac": object(), 1: "x"}), "capability_args"),  # type: ignore[dict-item]  # that it is told is the point
    ],
    ids=["container", "ifname", "netns", "netns-surrogate", "args", "capability", "capability-nan", "capability-key"],
)
def test_runtime_conf_check_names_the_bad_parameter(rt: RuntimeConf, parameter: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        rt.check("net")
    assert caught.value.name == parameter


@pytest.mark.parametrize("name", ["container_id", "netns", "ifname"])
@pytest.mark.parametrize("value", [None, b"x", 5, Path("x")], ids=repr)
def test_runtime_conf_check_refuses_what_is_no_text(name: str, value: Any) -> None:
    rt = RuntimeConf(**({"container_id": "box", "netns": "/ns", "ifname": "eth0"} | {name: value}))
    with pytest.raises(InvalidParameterError, match="must be text") as caught:
        rt.check("net")
    assert caught.value.name == name


@pytest.mark.parametrize(
    "args",
    [{"IP": "secret"}, ["IP"], "AB", [("IP", "secret", "x")], [("IP",)], [("IP", 1)], [None], [b"IP"]],
    ids=repr,
)
def test_runtime_conf_takes_nothing_but_pairs_for_arguments(args: Any) -> None:
    with pytest.raises(InvalidParameterError, match="is not a pair of texts") as caught:
        RuntimeConf("box", "/ns", "eth0", args)
    assert caught.value.name == "args"
    assert "secret" not in str(caught.value)


def test_runtime_conf_check_never_shows_a_secret_value() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        RuntimeConf("box", "/ns", "eth0", (), {"token": {"secret": object()}}).check("net")
    assert caught.value.value == ["token"]
    assert "secret" not in repr(RuntimeConf("box", "", "eth0", [("T", "secret")], {"t": "secret"}))


def test_runtime_conf_is_immutable_and_compares_by_value() -> None:
    arguments = {"portMappings": [{"hostPort": 80}]}
    rt = RuntimeConf("box", "/ns", "eth0", [("A", "1")], arguments)
    arguments["portMappings"].append({"hostPort": 81})
    assert rt.capability_args == {"portMappings": [{"hostPort": 80}]}
    assert rt == RuntimeConf("box", "/ns", "eth0", (("A", "1"),), {"portMappings": [{"hostPort": 80}]})
    assert hash(rt) == hash(RuntimeConf("box", "/ns", "eth0", (("A", "1"),), {"portMappings": [{"hostPort": 80}]}))
    with pytest.raises(TypeError):
        rt.capability_args["x"] = 1  # type: ignore[index]  # that it fails is the point
    assert rt.check("net") == AttachmentKey("net", "box", "eth0")


def test_capability_argument_that_is_in_itself_is_refused_with_its_name() -> None:
    loop: dict[str, object] = {}
    loop["within"] = loop
    with pytest.raises(InvalidParameterError, match="in itself") as caught:
        RuntimeConf("box", "/ns", "eth0", capability_args={"portMappings": loop})
    assert caught.value.name == "capability_args"
    assert "portMappings" in str(caught.value)
