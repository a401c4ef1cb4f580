"""The demo plugins: the allocator and the pass-through, in this process and once as executables."""

from __future__ import annotations

import io
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from libcni.demo.install import PLUGIN_TYPES, install_plugins
from libcni.demo.plugins import demo_pass, demo_range
from libcni.demo.plugins.protocol import SUPPORTED_VERSIONS, Request, run_plugin

if TYPE_CHECKING:
    from pathlib import Path

LEASE = {"address": "10.9.0.2", "containerID": "c1", "ifname": "eth0"}


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return {
        "cniVersion": "1.1.0",
        "name": "demo",
        "type": "demo-range",
        "subnet": "10.9.0.0/29",
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(tmp_path / "leases"),
    }


def ask(
    handlers: Any, verb: str, config: object, *, container_id: str = "c1", stdin: str | None = None
) -> tuple[int, Any]:
    """Run a plugin in this process; return its status and what it printed."""
    environ = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": container_id,
        "CNI_NETNS": "/proc/self/ns/net",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/nowhere",
    }
    stdout = io.StringIO()
    request = io.StringIO(json.dumps(config) if stdin is None else stdin)
    status = run_plugin(handlers, environ=environ, stdin=request, stdout=stdout)
    return status, json.loads(stdout.getvalue() or "null")


def allocate(verb: str, config: object, container_id: str = "c1") -> tuple[int, Any]:
    return ask(demo_range.HANDLERS, verb, config, container_id=container_id)


def leases(tmp_path: Path) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = json.loads((tmp_path / "leases" / "demo.json").read_text())["leases"]
    return entries


@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
def test_range_add_gives_the_first_free_address_in_the_shape_of_the_version(
    config: dict[str, Any], tmp_path: Path, version: str
) -> None:
    status, result = allocate("ADD", {**config, "cniVersion": version})
    ip = {"address": "10.9.0.2/29", "gateway": "10.9.0.1"}
    expected = ip if version.startswith("1.") else {**ip, "version": "4"}
    assert (status, result["cniVersion"], result["ips"]) == (0, version, [expected])
    assert result["routes"] == [{"dst": "0.0.0.0/0"}]
    assert leases(tmp_path) == [LEASE]


def test_range_add_twice_is_refused_and_second_container_gets_the_next(config: dict[str, Any]) -> None:
    allocate("ADD", config)
    assert allocate("ADD", config) == (
        1,
        {"cniVersion": "1.1.0", "code": demo_range.ALREADY_LEASED, "msg": "c1 already has 10.9.0.2", "details": ""},
    )
    assert allocate("ADD", config, "c2")[1]["ips"][0]["address"] == "10.9.0.3/29"


def test_range_add_of_ipv6_gives_an_ipv6_address(config: dict[str, Any]) -> None:
    config["subnet"] = "fd09::/64"
    config["cniVersion"] = "0.4.0"
    assert allocate("ADD", config)[1]["ips"] == [{"version": "6", "address": "fd09::2/64", "gateway": "fd09::1"}]


def test_range_narrowed_is_exhausted_and_not_ready_until_a_delete(config: dict[str, Any]) -> None:
    config |= {"rangeStart": "10.9.0.1", "rangeEnd": "10.9.0.4", "gateway": "10.9.0.3"}
    given = [allocate("ADD", config, f"c{number}")[1]["ips"][0]["address"] for number in range(2)]
    assert given == ["10.9.0.1/29", "10.9.0.2/29"]
    assert allocate("STATUS", config) == (0, None)
    allocate("ADD", config, "c3")

    assert allocate("ADD", config, "c4")[1]["code"] == demo_range.RANGE_EXHAUSTED
    status, error = allocate("STATUS", config)
    assert (status, error["code"], error["msg"]) == (1, 50, "no address is left in 10.9.0.1 to 10.9.0.4")
    assert allocate("DEL", config, "c0") == (0, None)
    assert allocate("STATUS", config) == (0, None)


def test_range_delete_of_something_unknown_succeeds(config: dict[str, Any], tmp_path: Path) -> None:
    assert allocate("DEL", config) == (0, None)
    allocate("ADD", config)
    assert allocate("DEL", config) == allocate("DEL", config) == (0, None)
    assert leases(tmp_path) == []


def test_range_check_compares_the_lease_with_the_previous_result(config: dict[str, Any]) -> None:
    _, result = allocate("ADD", config)
    assert allocate("CHECK", {**config, "prevResult": result}) == (0, None)

    other = {**result, "ips": [{"address": "10.9.0.5/29"}]}
    status, error = allocate("CHECK", {**config, "prevResult": other})
    assert (status, error["code"], error["msg"]) == (1, demo_range.LEASE_DIFFERS, "c1 has 10.9.0.2")
    status, error = allocate("CHECK", {**config, "prevResult": result}, "c2")
    assert (status, error["code"], error["msg"]) == (1, demo_range.LEASE_DIFFERS, "c2 has no lease")


def test_range_gc_drops_what_is_not_named(config: dict[str, Any], tmp_path: Path) -> None:
    for container_id in ("c1", "c2", "c3"):
        allocate("ADD", config, container_id)
    valid = [{"containerID": "c1", "ifname": "eth0"}, {"containerID": "c2", "ifname": "eth9"}]
    assert allocate("GC", {**config, "cni.dev/valid-attachments": valid}) == (0, None)
    assert leases(tmp_path) == [LEASE]
    assert allocate("GC", {**config, "cni.dev/valid-attachments": []}) == (0, None)
    assert leases(tmp_path) == []


@pytest.mark.parametrize("valid", [None, [{"containerID": "c1"}], ["c1"]], ids=["absent", "no-ifname", "text"])
def test_range_gc_without_usable_list_drops_nothing(config: dict[str, Any], tmp_path: Path, valid: object) -> None:
    allocate("ADD", config)
    request = config if valid is None else {**config, "cni.dev/valid-attachments": valid}
    status, error = allocate("GC", request)
    assert (status, error["code"]) == (1, 7)
    assert leases(tmp_path) == [LEASE]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"subnet": None}, "subnet"),
        ({"subnet": "10.9.0.1/29"}, "subnet"),
        ({"subnet": "10.9.0.0/31"}, "too small"),
        ({"rangeStart": "10.9.0"}, "rangeStart is no address"),
        ({"rangeEnd": "10.9.1.1"}, "rangeEnd 10.9.1.1 is not in 10.9.0.0/29"),
        ({"dataDir": ""}, "dataDir"),
        ({"name": "../etc"}, "invalid network name"),
        ({"name": 5}, "invalid network name"),
    ],
)
def test_range_with_bad_configuration_names_the_key(
    config: dict[str, Any], change: dict[str, object], text: str
) -> None:
    status, error = allocate("ADD", {**config, **change})
    assert (status, error["code"]) == (1, 7)
    assert text in error["msg"]


def test_range_with_damaged_leases_gives_an_input_output_error(config: dict[str, Any], tmp_path: Path) -> None:
    allocate("ADD", config)
    (tmp_path / "leases" / "demo.json").write_text('{"leases": [{}]}')
    status, error = allocate("ADD", config, "c2")
    assert (status, error["code"]) == (1, 5)
    assert "is damaged" in error["msg"]


def test_range_status_without_usable_folder_is_not_available(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "leases").write_text("a file where a folder should be")
    assert allocate("ADD", config)[1]["code"] == 5
    status, error = allocate("STATUS", config)
    assert (status, error["code"]) == (1, 50)


def test_pass_prints_the_previous_result() -> None:
    previous = {"cniVersion": "1.0.0", "ips": [{"address": "10.9.0.2/29"}], "more": [1]}
    config = {"cniVersion": "1.1.0", "name": "demo", "type": "demo-pass", "prevResult": previous}
    assert ask(demo_pass.HANDLERS, "ADD", config) == (0, {**previous, "cniVersion": "1.1.0"})
    for verb in ("CHECK", "DEL", "GC", "STATUS"):
        assert ask(demo_pass.HANDLERS, verb, config) == (0, None)


@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_pass_without_previous_result_is_refused(verb: str) -> None:
    status, error = ask(demo_pass.HANDLERS, verb, {"cniVersion": "1.0.0", "name": "demo", "type": "demo-pass"})
    assert (status, error["code"], error["msg"]) == (1, 7, "prevResult is missing")


@pytest.mark.parametrize(
    ("verb", "version"),
    [("ADD", "0.2.0"), ("ADD", "9.0.0"), ("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0"), ("ADD", 1)],
)
def test_verb_that_the_version_does_not_have_is_refused(verb: str, version: object) -> None:
    status, error = ask(demo_pass.HANDLERS, verb, {"cniVersion": version, "name": "demo", "prevResult": {}})
    assert (status, error["code"]) == (1, 1)


@pytest.mark.parametrize(
    ("verb", "container_id", "text"),
    [("PRINT", "c1", "unknown CNI_COMMAND: PRINT"), ("DEL", "", "required variables are missing: CNI_CONTAINERID")],
)
def test_bad_environment_is_refused(verb: str, container_id: str, text: str) -> None:
    status, error = ask(demo_pass.HANDLERS, verb, {"cniVersion": "1.0.0"}, container_id=container_id)
    assert (status, error["code"], error["msg"]) == (1, 4, text)


@pytest.mark.parametrize("stdin", ["", "{", "[]", "null"])
def test_configuration_that_is_no_object_is_refused(stdin: str) -> None:
    status, error = ask(demo_pass.HANDLERS, "ADD", None, stdin=stdin)
    assert (status, error["code"]) == (1, 6)


def test_version_is_answered_in_the_version_of_the_question() -> None:
    answer = {"cniVersion": "0.4.0", "supportedVersions": list(SUPPORTED_VERSIONS)}
    assert ask(demo_range.HANDLERS, "VERSION", {"cniVersion": "0.4.0"}) == (0, answer)
    assert ask(demo_range.HANDLERS, "VERSION", {})[1]["cniVersion"] == "1.1.0"


def test_check_with_unreadable_previous_addresses_is_refused(config: dict[str, Any]) -> None:
    status, error = allocate("CHECK", {**config, "prevResult": {"ips": [{}]}})
    assert (status, error["code"], error["msg"]) == (1, 7, "prevResult.ips cannot be read")


def test_installed_plugins_run_as_executables_without_the_package(config: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "bin with space"
    folder.mkdir()
    paths = install_plugins(folder)
    assert [path.name for path in paths] == list(PLUGIN_TYPES)
    environ = {
        **os.environ,
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/proc/self/ns/net",
        "CNI_IFNAME": "eth0",
    }
    request = json.dumps(config)
    for path in reversed(paths):
        done = subprocess.run(
            [path], input=request, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
        )
        assert done.stderr == ""
        result = json.loads(done.stdout)
        assert result["ips"][0]["address"] == "10.9.0.2/29"
        request = json.dumps({**config, "prevResult": result})


def test_range_waits_while_another_process_holds_the_leases(config: dict[str, Any], tmp_path: Path) -> None:
    path = install_plugins(tmp_path)[PLUGIN_TYPES.index("demo-range")]
    environ = {
        **os.environ,
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c2",
        "CNI_NETNS": "/proc/self/ns/net",
        "CNI_IFNAME": "eth0",
    }
    # The plugin waits for its request, so the lock is taken before it can ask for it.
    with subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True) as plugin:
        with demo_range.Range.from_request(Request(config, "c1", "eth0")).leases() as held:
            assert plugin.stdin is not None
            plugin.stdin.write(json.dumps(config))
            plugin.stdin.close()
            with pytest.raises(subprocess.TimeoutExpired):
                plugin.wait(0.7)
            held.append(demo_range.Lease("10.9.0.2", "c1", "eth0"))
        assert plugin.stdout is not None
        result = json.load(plugin.stdout)
    assert result["ips"][0]["address"] == "10.9.0.3/29"
