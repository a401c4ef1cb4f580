"""Options of an attachment, as a person writes them, and what the plugins get."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"
ALL = {"portMappings": True, "ips": True, "mac": True, "bandwidth": True, "dns": True}


@pytest.mark.parametrize(
    ("arguments", "runtime_config"),
    [
        (
            ["--publish", "8080:80"],
            {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
        ),
        (
            ["-p", "127.0.0.1:53:5353/udp", "-p", "[::1]:1:2"],
            {
                "portMappings": [
                    {"hostPort": 53, "containerPort": 5353, "protocol": "udp", "hostIP": "127.0.0.1"},
                    {"hostPort": 1, "containerPort": 2, "protocol": "tcp", "hostIP": "::1"},
                ]
            },
        ),
        (["--ip", "10.1.0.5", "--ip", "fd00::5/64"], {"ips": ["10.1.0.5", "fd00::5/64"]}),
        (["--mac", "02:11:22:33:44:55"], {"mac": "02:11:22:33:44:55"}),
        (
            ["--bandwidth", "10M"],
            {
                "bandwidth": {
                    "ingressRate": 10_000_000,
                    "ingressBurst": 2**31 - 1,
                    "egressRate": 10_000_000,
                    "egressBurst": 2**31 - 1,
                }
            },
        ),
        (["--bandwidth", "egress=1K"], {"bandwidth": {"egressRate": 1000, "egressBurst": 2**31 - 1}}),
        (["--capability", 'dns={"servers": ["10.0.0.1"]}'], {"dns": {"servers": ["10.0.0.1"]}}),
    ],
    ids=["port", "ports", "addresses", "mac", "bandwidth", "one-direction", "any"],
)
def test_option_reaches_the_plugin_as_its_capability(
    place: Place, arguments: list[str], runtime_config: dict[str, Any]
) -> None:
    place.network(plugins=[{"type": "fake", "capabilities": ALL}])
    place.run("add", "dbnet", NETNS, *arguments)
    assert place.request["runtimeConfig"] == runtime_config
    planned = place.run("plan", "dbnet", NETNS, "--container-id", "other", *arguments, "--output", "json")
    assert json.loads(planned.stdout)["calls"][0]["request"]["runtimeConfig"] == runtime_config


def test_argument_reaches_the_plugin_and_wins_over_the_variable(place: Place) -> None:
    place.environ["CNI_ARGS"] = "A=1;B=2"
    place.run("add", "dbnet", NETNS, "--arg", "B=3", "--arg", "C=x=y")
    assert place.calls[0].split()[-1] == "A=1;B=3;C=x=y"


def test_option_wins_over_the_variable_of_capabilities(place: Place) -> None:
    place.network(plugins=[{"type": "fake", "capabilities": ALL}])
    place.environ["CAP_ARGS"] = '{"mac": "02:00:00:00:00:01", "ips": ["10.1.0.1"]}'
    place.run("add", "dbnet", NETNS, "--mac", "02:00:00:00:00:02")
    assert place.request["runtimeConfig"] == {"mac": "02:00:00:00:00:02", "ips": ["10.1.0.1"]}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--publish", "80"], "'80' is not [IP:]HOST:CONTAINER[/PROTO]"),
        (["--publish", "::1:80:80"], "is not [IP:]HOST:CONTAINER"),
        (["--publish", "99999:80"], "PortMapping.host_port"),
        (["--ip", "10.1.0.999"], "ips[0]"),
        (["--mac", "x"], "mac"),
        (["--bandwidth", "fast"], "bits per second"),
        (["--bandwidth", "up=1M"], "'up' is not ingress or egress"),
        (["--arg", "secret"], "expected KEY=VALUE"),
        (["--arg", "=secret"], "expected KEY=VALUE"),
        (["--arg", "A=1;B=secret"], "A"),
        (["--capability", "dns"], "expected NAME=JSON"),
        (["--capability", "dns=secret"], "the value of dns is not JSON"),
        (["--capability", 'mac="02:11:22:33:44:55"', "--mac", "02:11:22:33:44:55"], "is given as mac, too"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_option_is_wrong_usage_and_runs_nothing(place: Place, arguments: list[str], text: str) -> None:
    place.network(plugins=[{"type": "fake", "capabilities": ALL}])
    error = place.run("add", "dbnet", NETNS, *arguments, status=2).stderr
    assert text in error
    assert "secret" not in error.replace("--arg A=1;B=secret", "")
    assert place.calls == []


def test_option_that_no_plugin_takes_is_refused_and_says_what_is_missing(place: Place) -> None:
    error = place.run("add", "dbnet", NETNS, "--publish", "8080:80", status=2).stderr
    assert "--publish" in error
    assert '"capabilities": {"portMappings": true}' in error
    assert place.calls == []


def test_help_of_a_verb_shows_what_belongs_to_it(place: Place) -> None:
    text = place.run_bare("networks", "--help").stdout
    assert "--conf-dir" in text
    assert "--container-id" not in text
    assert "--timeout" not in text
    text = place.run_bare("add", "--help").stdout
    for option in ("--publish", "--ip ", "--mac", "--bandwidth", "--arg ", "--capability", "$CNI_ARGS", "$CAP_ARGS"):
        assert option in text
    place.run_bare("networks", "--conf-dir", str(place.conf), "--container-id", "box")  # taken all the same
