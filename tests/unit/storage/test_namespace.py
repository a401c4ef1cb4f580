"""Which namespace a path leads to, and what can be told where the kernel or this process lacks something."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from libcni.storage import apart, rtnetlink
from libcni.storage import namespace as module
from libcni.storage.namespace import (
    NetnsIdentity,
    identify,
    is_no_namespace,
    is_same_namespace,
    look_into,
    namespace_to_delete_in,
    start_of_process,
    was_there_before,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN = "/proc/self/ns/net"
KNOWN = NetnsIdentity(device=4, inode=7, created=100, cookie=9, process=11, boot_id="boot")


@pytest.fixture
def _no_namespaces_at_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand for a system without the file system of namespaces."""
    monkeypatch.setattr(module, "_OWN_NAMESPACE", "/nowhere")
    module._namespace_device.cache_clear()
    yield
    monkeypatch.undo()
    module._namespace_device.cache_clear()


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (KNOWN, True),
        (KNOWN._replace(created=200, process=0), True),
        (KNOWN._replace(cookie=8), False),
        (KNOWN._replace(inode=8), False),
        (KNOWN._replace(boot_id="another"), False),
        (KNOWN._replace(cookie=0), True),
        (KNOWN._replace(cookie=0, created=200), False),
        (KNOWN._replace(cookie=0, created=0), True),
        (KNOWN._replace(cookie=0, created=0, process=12), False),
        (KNOWN._replace(cookie=0, created=0, process=0), False),
    ],
)
def test_identity_is_the_same_only_where_that_is_known(other: NetnsIdentity, is_same: bool) -> None:
    assert KNOWN.is_same(other) == other.is_same(KNOWN) == is_same


def test_what_leads_nowhere_has_no_identity(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path, tmp_path / "nothing"):
        assert identify(str(path)) is None
        assert look_into(str(path), "lo") == module.NamespaceView()
        assert not is_same_namespace(str(path), KNOWN)
    assert identify("/n\0ul") is None
    assert look_into("/n\0ul", "lo") == module.NamespaceView()


def test_no_namespace_is_what_is_there_and_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for place in ("file", "file/below", "loop", ""):
        assert is_no_namespace(str(tmp_path / place))
    assert is_no_namespace("/proc/self/ns/mnt")
    assert not is_no_namespace(OWN)
    assert not is_no_namespace(str(tmp_path / "nothing"))


@pytest.mark.usefixtures("_no_namespaces_at_all")
def test_system_without_namespaces_says_nothing_of_a_path(tmp_path: Path) -> None:
    assert identify(OWN) is None
    assert not is_no_namespace(str(tmp_path))
    assert namespace_to_delete_in(str(tmp_path), "", None) == str(tmp_path)


def test_kernel_that_tells_no_types_is_taken_at_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _request: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.ioctl", refuse)
    number = errno.ENOTTY
    assert not is_no_namespace(OWN)
    number = errno.EIO
    assert is_no_namespace(OWN)


def test_process_is_known_by_its_start() -> None:
    mine = start_of_process(os.getpid())
    assert mine > 0
    assert start_of_process(2**30) == 0
    found = identify(f"/proc/{os.getpid()}/ns/net")
    assert found is not None
    assert found.process == mine
    gone = module._process_in("/proc/1073741824/ns/net")
    assert gone == 0


def test_look_without_the_right_to_enter_tells_the_identity_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(apart, "enter", refuse)
    view = look_into(OWN, "lo")
    assert view.identity is not None
    assert (view.identity.cookie, view.ifindex, view.has_interface) == (0, None, None)


def test_look_without_a_thread_tells_the_identity_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- the number alone
    view = look_into(OWN, "lo")
    assert view.identity is not None
    assert view.has_interface is None
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 -- the number alone


def test_kernel_without_cookies_leaves_the_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def getsockopt(self, *_: int) -> bytes:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    assert rtnetlink.cookie_of(Old()) == 0  # type: ignore[arg-type]  # the one method that is used
    monkeypatch.setattr(module, "cookie_of", lambda _inside: 0)
    found = identify(f"/proc/{os.getpid()}/ns/net")
    assert found is not None
    assert is_same_namespace(f"/proc/{os.getpid()}/ns/net", found)


def test_entering_that_the_system_refuses_is_its_error() -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        apart.enter(2**20)  # nobody has opened so many
    assert caught.value.errno == errno.EBADF


def test_namespace_may_be_older_than_a_file_only_where_its_time_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert was_there_before(str(tmp_path / "nothing"), str(file))
    assert not was_there_before(OWN, str(tmp_path / "no file"))
    made = file.stat().st_mtime_ns
    for created, expected in ((made - 1, True), (made + 1, False), (0, False)):
        monkeypatch.setattr(module, "identify", lambda _path, created=created: KNOWN._replace(created=created))
        assert was_there_before(OWN, str(file)) is expected


def test_namespace_to_delete_in_is_the_known_one_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_same_namespace", lambda path, _known: path == "/stored")
    assert namespace_to_delete_in("/given", "/stored", KNOWN) == "/stored"
    assert namespace_to_delete_in("", "/stored", KNOWN) == "/stored"
    assert namespace_to_delete_in("/given", "", KNOWN) == ""
    # Without a known one: a path that led nowhere at ADD and leads to a namespace now is another container's.
    assert namespace_to_delete_in("", OWN, None) == ""
    assert namespace_to_delete_in(OWN, OWN, None) == ""
    assert namespace_to_delete_in(OWN, "/stored", None) == OWN
    assert namespace_to_delete_in("", "", None) == ""
