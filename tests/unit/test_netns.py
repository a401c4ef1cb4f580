from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING

import pytest

from libcni import InvalidParameterError, MissingExtraError, netns
from libcni.netns import Route, named, reading
from libcni.storage.apart import do_inside

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "-a", ".a", "a b", "a\n", "ä", "a\0", "a" * 256, None],
    ids=repr,
)
def test_create_with_a_bad_name_is_refused_before_anything_is_made(name: str | None) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        named.check_name(name)  # type: ignore[arg-type]  # None is no name, and no other type is
    assert caught.value.name == "name"
    if name is not None:
        with pytest.raises(InvalidParameterError):
            netns.create(name)


@pytest.mark.parametrize("name", ["blue", "cni-1f.2", "_x", "user@host:1", "a" * 255])
def test_name_of_plain_signs_is_allowed(name: str) -> None:
    named.check_name(name)


def test_open_of_the_own_namespace_knows_it_by_path_and_by_process() -> None:
    own = f"/proc/{os.getpid()}/ns/net"
    with netns.open(own) as by_path, netns.open(os.getpid()) as by_process:
        assert by_path.path == by_process.path == own
        assert by_path.identity.is_same(by_process.identity)
        assert by_path.name is None
        assert own in repr(by_path)


def test_open_of_what_is_no_namespace_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, tmp_path, "/proc/self/ns/mnt", ""):
        with pytest.raises(InvalidParameterError, match="path"):
            netns.open(path)
    with pytest.raises(FileNotFoundError):
        netns.open(tmp_path / "nothing")


@pytest.mark.parametrize("pid", [0, -1, True], ids=repr)
def test_open_of_no_process_number_is_refused(pid: int) -> None:
    with pytest.raises(InvalidParameterError, match="pid"):
        netns.open(pid)


def test_open_of_a_process_that_is_gone_is_an_error() -> None:
    with pytest.raises(ProcessLookupError, match="no process 1073741824"):
        netns.open(2**30)


def test_closed_namespace_is_refused_by_each_verb() -> None:
    opened = netns.open(os.getpid())
    opened.close()
    opened.close()
    opened.delete()
    assert "closed" in repr(opened)
    for verb in (opened.links, opened.routes, opened.addresses, opened.set_up):
        with pytest.raises(Exception, match="was closed"):
            verb()
    with pytest.raises(Exception, match="was closed"):
        _ = opened.path


def test_delete_of_a_process_namespace_is_refused() -> None:
    with netns.open(os.getpid()) as opened, pytest.raises(InvalidParameterError, match="was not made here"):
        opened.delete()


def test_namespace_of_the_system_that_cannot_be_told_has_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libcni.storage.namespace._namespace_device", lambda: None)
    with netns.open(os.getpid()) as opened, pytest.raises(Exception, match="does not say which"):
        _ = opened.identity


def test_error_inside_reaches_the_caller_and_closes_nothing() -> None:
    with netns.open(os.getpid()) as opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            do_inside(2**20, lambda: None)  # nobody has opened so many
        assert opened.path


def test_names_without_the_folder_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(named, "DIRECTORY", str(tmp_path / "none"))
    assert netns.list() == ()


def test_reading_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(ModuleNotFoundError):
        __import__("pyroute2")
    with pytest.raises(MissingExtraError, match=r"libcni\[netns\]"):
        reading.read_links()


def test_package_whose_own_dependency_is_missing_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pyroute2.py").write_text("import a_module_that_is_not_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pyroute2", raising=False)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        reading.read_links()


def test_import_of_the_module_does_not_load_the_package() -> None:
    program = "import libcni.netns, sys; sys.exit('pyroute2' in sys.modules or 'ctypes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_route_of_several_gateways_is_several_and_cached_ones_are_none() -> None:
    # As pyroute2 decodes the kernel's messages.
    hops = [
        {"oif": 2, "attrs": [("RTA_GATEWAY", "10.1.0.1")]},
        {"oif": 3, "attrs": [("RTA_VIA", {"family": 10, "addr": "fe80::1"})]},
    ]
    message = {"family": 2, "dst_len": 0, "table": 254, "flags": 0, "attrs": [("RTA_MULTIPATH", hops)]}
    names = {2: "eth0", 3: "eth1"}
    assert list(reading._routes(message, names)) == [
        Route(ip_network("0.0.0.0/0"), ip_address("10.1.0.1"), "eth0", 254),
        Route(ip_network("0.0.0.0/0"), ip_address("fe80::1"), "eth1", 254),
    ]
    assert list(reading._routes(message | {"flags": 0x200}, names)) == []
    assert list(reading._routes(message | {"family": 28}, names)) == []


def test_address_of_an_interface_that_went_meanwhile_has_no_name() -> None:
    message = {"index": 7, "prefixlen": 24, "attrs": [("IFA_ADDRESS", "10.0.0.2")]}
    (address,) = reading._addresses([message], {})
    assert (address.ifname, address.address) == ("", ip_interface("10.0.0.2/24"))
