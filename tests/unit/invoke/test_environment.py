"""The environment of a plugin."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest

from libcni import RuntimeConf
from libcni.invoke.environment import attachment_environment, network_environment, probe_environment, split_path
from libcni.invoke.process.backend import encoded_environment

BASE = {"PATH": "/bin", "CNI_COMMAND": "stale", "CNI_NETNS": "stale", "CNI_OWN": "kept"}
RT = RuntimeConf("box", "/run/netns/blue", "eth0", [("A", "1")])


def test_attachment_environment_is_the_base_and_the_six_variables() -> None:
    environment = attachment_environment(BASE, "ADD", paths=["/a", "/b"], rt=RT)
    assert list(environment.items()) == [
        ("PATH", "/bin"),
        ("CNI_OWN", "kept"),
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "box"),
        ("CNI_NETNS", "/run/netns/blue"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "A=1"),
        ("CNI_PATH", "/a:/b"),
    ]
    assert BASE["CNI_COMMAND"] == "stale"


def test_environment_is_a_dict_that_does_not_change() -> None:
    base = {"PATH": "/bin"}
    environment = attachment_environment(base, "ADD", paths=["/a"], rt=RT)
    base["PATH"] = "/sbin"
    assert encoded_environment(environment).startswith(b"PATH=/bin\0CNI_COMMAND=ADD\0")
    for copied in (pickle.loads(pickle.dumps(environment)), copy.copy(environment), environment | {}):  # noqa: S301  # ours
        assert list(copied.items()) == list(environment.items())
    with pytest.raises(TypeError, match="immutable"):
        environment["PATH"] = "/sbin"


def test_encoded_environment_is_that_of_now() -> None:
    base = {"PATH": "/bin", "CNI_OWN": "kept"}
    for path, container_id in (("/bin", "one"), ("/bin", "two"), ("/sbin", "two")):
        base["PATH"] = path
        environment = attachment_environment(base, "ADD", paths=["/a"], rt=replace(RT, container_id=container_id))
        expected = b"".join(f"{name}={value}\0".encode() for name, value in environment.items())
        assert encoded_environment(environment) == encoded_environment(environment) == expected
        assert encoded_environment(dict(environment)) == expected


@pytest.mark.parametrize("base", [{"": "x"}, {"A=B": "x"}, {"A": "x\0y"}, {"A\0": "x"}])
def test_environment_that_no_process_can_have_is_refused(base: dict[str, str]) -> None:
    for environment in (base, attachment_environment(base, "ADD", paths=["/a"], rt=RT)):
        with pytest.raises(ValueError, match=r"illegal environment variable name|embedded null byte"):
            encoded_environment(environment)


def test_network_environment_names_no_container() -> None:
    environment = network_environment(BASE | {"CNI_CONTAINERID": "stale", "CNI_IFNAME": "stale"}, "GC", ["/a"])
    assert environment == {"PATH": "/bin", "CNI_OWN": "kept", "CNI_COMMAND": "GC", "CNI_PATH": "/a"}


def test_probe_environment_satisfies_old_plugins() -> None:
    environment = probe_environment(BASE, ["/a"])
    assert environment["CNI_COMMAND"] == "VERSION"
    assert all(environment[name] for name in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"))


def test_split_path_leaves_out_what_would_mean_here() -> None:
    assert split_path("") == split_path(":") == ()
    assert split_path(":/a::/b:") == ("/a", "/b")
