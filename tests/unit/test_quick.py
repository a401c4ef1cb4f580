"""What is read, looked at and locked in one call: the form in C does as the one in Python, which the system's own calls
make plain."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from libcni import quick as module
from libcni.bytelocks import is_byte_locked, lock_byte, unlock_bytes
from libcni.quick import HOLDER, IN_PYTHON, Quick, quick
from tests.contract.modules import ROOT
from tests.descriptors import no_new_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcni.quick import PlainFile

NOBODY = 65534
LIMIT = 1000


@pytest.fixture(params=["in-c", "in-python"])
def form(request: pytest.FixtureRequest) -> Quick:
    if request.param == "in-c":
        assert quick is not IN_PYTHON, "the C part was not built"
        return quick
    return IN_PYTHON


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    tmp_path.chmod(0o700)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _refusal(call: Callable[[], object]) -> tuple[type[OSError], int | None, str | None]:
    """Return what an OSError says, and make sure that nothing stays open."""
    with no_new_descriptor(), pytest.raises(OSError, match=r"\[Errno [0-9]+\]") as caught:
        call()
    return type(caught.value), caught.value.errno, caught.value.strerror


# Folders.


def test_folder_is_at_its_path(form: Quick, tmp_path: Path) -> None:
    inner = tmp_path / "inner ü"
    inner.mkdir(0o700)
    here = str(inner), str(tmp_path)
    assert form.is_at(*here, *_identity(inner)) is True
    device, inode = _identity(inner)
    assert form.is_at(*here, device, inode + 1) is False
    assert form.is_at(*here, device + 1, inode) is False
    assert form.is_at(str(tmp_path / "missing"), str(tmp_path), device, inode) is False


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_folder_that_others_can_write_to_is_not(form: Quick, tmp_path: Path, mode: int) -> None:
    inner = tmp_path / "inner"
    inner.mkdir(0o700)
    for changed in (inner, tmp_path):
        changed.chmod(mode)
        assert not form.is_at(str(inner), str(tmp_path), *_identity(inner))
        changed.chmod(0o755)
        assert form.is_at(str(inner), str(tmp_path), *_identity(inner))


@pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to another user")
def test_folder_of_somebody_else_is_not(form: Quick, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir(0o700)
    for changed in (inner, tmp_path):
        os.chown(changed, NOBODY, NOBODY)
        assert not form.is_at(str(inner), str(tmp_path), *_identity(inner))
        os.chown(changed, 0, 0)
        assert form.is_at(str(inner), str(tmp_path), *_identity(inner))


def test_link_to_a_folder_is_not(form: Quick, tmp_path: Path) -> None:
    inner, link = tmp_path / "inner", tmp_path / "link"
    inner.mkdir(0o700)
    link.symlink_to(inner)
    assert not form.is_at(str(link), str(tmp_path), *_identity(inner))


# Programs.


def test_program_is_a_regular_file_that_may_be_executed(form: Quick, tmp_path: Path) -> None:
    program, link = tmp_path / "program", tmp_path / "link"
    program.write_text("")
    link.symlink_to(program)
    for mode, expected in ((0o755, True), (0o644, False), (0o001, True)):
        program.chmod(mode)
        assert form.is_program(str(program)) is expected
        assert form.is_program(str(link)) is expected
    assert form.is_program(str(tmp_path)) is False
    assert form.is_program(str(tmp_path / "missing")) is False


@pytest.mark.parametrize("name", ["with\0nul", "\ud800"])
def test_path_without_bytes_is_an_error(form: Quick, name: str) -> None:
    with pytest.raises(ValueError, match=r"null|surrogates"):
        form.is_program(name)


# Files to read.


@pytest.mark.parametrize("size", [0, 1, 4096, 100_000])
def test_content_is_read_whole(form: Quick, tmp_path: Path, folder: int, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file ü").write_bytes(content)
    with no_new_descriptor():
        assert form.read_at("file ü", folder, 100_000) == content


def test_missing_file_is_none(form: Quick, folder: int) -> None:
    assert form.read_at("missing", folder, LIMIT) is None
    assert form.open_own("missing", folder) is None


def test_what_is_no_file_of_the_library_is_refused(form: Quick, tmp_path: Path, folder: int) -> None:
    (tmp_path / "large").write_bytes(bytes(LIMIT + 1))
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to("large")
    os.mkfifo(tmp_path / "pipe")
    odd = (OSError, errno.EINVAL, "is not a regular file of a reasonable size")
    for name in ("large", "inner", "pipe"):
        assert _refusal(lambda name=name: form.read_at(name, folder, LIMIT)) == odd  # type: ignore[misc]
    link = (OSError, errno.ELOOP, os.strerror(errno.ELOOP))
    assert _refusal(lambda: form.read_at("link", folder, LIMIT)) == link
    closed = (OSError, errno.EBADF, os.strerror(errno.EBADF))
    assert _refusal(lambda: form.read_at("large", 999_999, LIMIT)) == closed
    inside = (NotADirectoryError, errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    assert _refusal(lambda: form.read_at("large/inside", folder, LIMIT)) == inside


# Files to change.


def test_file_is_opened_with_its_size(form: Quick, tmp_path: Path, folder: int) -> None:
    (tmp_path / "file").write_bytes(b"content")
    opened = form.open_own("file", folder)
    assert opened is not None
    descriptor, size = opened
    assert size == len(b"content")
    assert not os.get_inheritable(descriptor)
    assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    os.close(descriptor)


def test_what_is_not_to_be_changed_is_refused(form: Quick, tmp_path: Path, folder: int) -> None:
    (tmp_path / "one").write_bytes(b"")
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    (tmp_path / "link").symlink_to("one")
    os.mkfifo(tmp_path / "pipe")
    odd = (OSError, errno.EINVAL, "is not a regular file with one name")
    for name in ("one", "two", "pipe"):
        assert _refusal(lambda name=name: form.open_own(name, folder)) == odd  # type: ignore[misc]
    link = (OSError, errno.ELOOP, os.strerror(errno.ELOOP))
    assert _refusal(lambda: form.open_own("link", folder)) == link
    directory = (IsADirectoryError, errno.EISDIR, os.strerror(errno.EISDIR))
    assert _refusal(lambda: form.open_own(".", folder)) == directory


# Locks.


def test_lock_is_taken_and_noted(form: Quick, tmp_path: Path) -> None:
    far = 2**61 - 2
    with (tmp_path / "locks").open("wb+", buffering=0) as one, (tmp_path / "locks").open("rb+") as other:
        assert form.lock_noted(one.fileno(), far, False, 32) is True
        assert os.pread(one.fileno(), HOLDER.size, 32) == HOLDER.pack(os.getpid(), far)
        assert is_byte_locked(other.fileno(), far)
        assert form.lock_noted(other.fileno(), far, False, 64) is False
        assert form.lock_noted(other.fileno(), far, True, 64) is False
        assert os.pread(one.fileno(), 1, 64) == b""
        assert form.lock_noted(other.fileno(), far - 1, False, 64) is True


def test_lock_may_be_shared(form: Quick, tmp_path: Path) -> None:
    with (tmp_path / "locks").open("wb+", buffering=0) as one, (tmp_path / "locks").open("rb+") as other:
        assert form.lock_noted(one.fileno(), 7, True, 0)
        assert form.lock_noted(other.fileno(), 7, True, 0)
        assert not is_byte_locked(other.fileno(), 7)
        with (tmp_path / "locks").open("rb+") as third:
            assert not lock_byte(third.fileno(), 7)


def test_lock_that_cannot_be_noted_holds_all_the_same(form: Quick, tmp_path: Path) -> None:
    path = tmp_path / "locks"
    path.touch()
    with path.open("rb") as one, path.open("rb+") as other:
        assert form.lock_noted(one.fileno(), 7, True, 0)  # which may be read only
        assert not lock_byte(other.fileno(), 7)
    assert path.read_bytes() == b""


def test_lock_that_the_system_refuses_is_an_error(form: Quick) -> None:
    closed = (OSError, errno.EBADF, os.strerror(errno.EBADF))
    assert _refusal(lambda: form.lock_noted(999_999, 7, False, 0)) == closed


def _held(path: Path, form: Quick, folder: int, *, wanted: int = -1, shared: bool = False) -> list[int] | bool | None:
    """Open a file of locks and take the lock at 7, noted at 32: the descriptors, or why there are none."""
    into: list[int] = []
    is_locked = form.open_locked(path.name, folder, wanted, 7, shared, 32, into)
    assert is_locked or not into
    return into if is_locked else is_locked


def test_lock_is_taken_as_its_file_is_opened(form: Quick, tmp_path: Path, folder: int) -> None:
    path = tmp_path / "locks ü"
    assert _held(path, form, folder) is None
    path.touch()
    held = _held(path, form, folder)
    assert isinstance(held, list)
    [descriptor] = held
    assert not os.get_inheritable(descriptor)
    assert os.pread(descriptor, HOLDER.size, 32) == HOLDER.pack(os.getpid(), 7)
    with no_new_descriptor():
        assert _held(path, form, folder) is _held(path, form, folder, shared=True) is False
    os.close(descriptor)
    for _ in range(2):
        shared = _held(path, form, folder, shared=True)
        assert isinstance(shared, list)
    assert _held(path, form, folder) is False


def test_lock_is_not_taken_while_another_byte_is_wanted_alone(form: Quick, tmp_path: Path, folder: int) -> None:
    path = tmp_path / "locks"
    with path.open("wb+", buffering=0) as other:
        assert lock_byte(other.fileno(), 9, shared=True)
        held = _held(path, form, folder, wanted=9, shared=True)
        assert isinstance(held, list)
        os.close(held[0])
        unlock_bytes(other.fileno())
        assert lock_byte(other.fileno(), 9)
        with no_new_descriptor():
            assert _held(path, form, folder, wanted=9, shared=True) is False
    assert path.read_bytes()[32:] == HOLDER.pack(os.getpid(), 7)


def test_file_of_locks_that_is_not_the_librarys_is_refused(form: Quick, tmp_path: Path, folder: int) -> None:
    (tmp_path / "one").write_bytes(b"")
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    odd = (OSError, errno.EINVAL, "is not a regular file with one name")
    assert _refusal(lambda: _held(tmp_path / "one", form, folder)) == odd
    (tmp_path / "three").touch()
    wrong = (OSError, errno.EINVAL, os.strerror(errno.EINVAL))
    assert _refusal(lambda: form.open_locked("three", folder, -1, -5, False, 0, [])) == wrong


# Blocks.


def _fill(descriptor: int, offset: int, block: bytes) -> bool:
    assert quick.fill_free is not None
    return quick.fill_free(descriptor, offset, block)


def test_block_is_written_where_nothing_is(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb+", buffering=0) as file:
        assert _fill(file.fileno(), 10, b"block")
        assert _fill(file.fileno(), 5, b"first")
        assert not _fill(file.fileno(), 10, b"other")
        os.pwrite(file.fileno(), b"\0", 10)
        assert _fill(file.fileno(), 10, b"other")
        assert (tmp_path / "file").read_bytes() == bytes(5) + b"firstother"
        with (tmp_path / "file").open("rb+") as other:
            assert not is_byte_locked(other.fileno(), 10)
            assert lock_byte(other.fileno(), 20)
            assert not _fill(file.fileno(), 20, b"block")
    assert len((tmp_path / "file").read_bytes()) == 15


def test_block_that_cannot_be_written_leaves_its_place_free(tmp_path: Path) -> None:
    """The limit of this process takes the place of a full disk: a part is written."""
    script = """
import os, resource, signal, sys
from libcni.quick import quick
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
try:
    quick.fill_free(descriptor, 2, b"block")
except OSError as error:
    print(error.errno, os.pread(descriptor, 10, 0))
for function in (lambda: quick.fill_free(999_999, 0, b""), lambda: quick.fill_free(os.open("/", 0), 0, b"")):
    try:
        function()
    except OSError as error:
        print(error.errno)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "file")], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split("\n")[:2] == [f"{errno.EFBIG} {bytes(3) + b'l'!r}", str(errno.EBADF)]


# Many files.


def _taken(names: list[str], folder: int, *, form: Quick = quick, limit: int = LIMIT) -> list[PlainFile | None]:
    taken: list[PlainFile | None] = []
    with no_new_descriptor():
        form.read_plain(names, folder, limit, taken.extend)
    return taken


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 128, 5000])
def test_plain_files_are_handed_on_in_their_order(tmp_path: Path, folder: int, count: int) -> None:
    names = [f"file ü {number}" for number in range(count)]
    for number, name in enumerate(names):
        (tmp_path / name).write_text(f'{{"number": {number}}}')
    files = _taken(names, folder)
    assert len(files) == count
    for number, (file, name) in enumerate(zip(files, names, strict=True)):
        status = (tmp_path / name).stat()
        stamp = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        assert file == (b'{"number": %d}' % number, *stamp)


def test_in_python_no_file_is_known_to_be_plain(tmp_path: Path, folder: int) -> None:
    (tmp_path / "file").write_text("{}")
    assert _taken(["file", "missing"], folder, form=IN_PYTHON) == [None, None]


def test_what_cannot_be_read_is_not_handed_on(tmp_path: Path, folder: int) -> None:
    (tmp_path / "exact").write_text(" " * LIMIT)
    (tmp_path / "large").write_text(" " * (LIMIT + 1))
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to("exact")
    os.mkfifo(tmp_path / "pipe")
    files = _taken(["exact", "large", "inner", "link", "pipe", "missing", "inner/x"], folder)
    assert [file is not None for file in files] == [True] + 6 * [False]
    assert _taken(["exact"], 999_999) == [None]


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ('{"a": {"b": 1}, "c": [{"a": 2, "b": "a"}, {"a": "x:y"}], "b": true, "d": null, "e": -1.5, "f": false}', True),
        ('{"a":1,"b":2,"a":3}', False),
        ('{"a":1,"b":{"x":1,"x" \t\r\n:2}}', False),
        ('[{"a":1},{"b":1,"b":1}]', False),
        ('{"a":{"b":1},"b":{"a":1},"c":1,"a":2}', False),
        ('{"a":"a","b":"a"}', True),
        ('{"a":"\\n"}', False),
        ('{"\\u0061":1}', False),
        ('{"a":"ü"}', False),
        ('{"a":"\x7f"}', False),
        ('{"a":"\t"}', False),
        ('{"a":123456789012345}', True),
        ('{"a":1234567890123456}', False),
        ('{"a":1e5}', False),
        ('{"a":1E5}', False),
        ('{"a":NaN}', False),
        ('{"a":-Infinity}', False),
        ('"a":1', False),
        ("]", False),
        ('{"a', True),
        ("", True),
        ("[" * 64 + "]" * 64, True),
        ("[" * 65 + "]" * 65, False),
        ("{" + ",".join(f'"{number}":1' for number in range(256)) + "}", True),
        ("{" + ",".join(f'"{number}":1' for number in range(257)) + "}", False),
    ],
)
def test_text_is_plain_when_decoders_cannot_differ_about_it(
    tmp_path: Path, folder: int, *, text: str, is_plain: bool
) -> None:
    """That it is JSON is for the decoder to say."""
    (tmp_path / "file").write_text(text)
    [file] = _taken(["file"], folder, limit=100_000)
    assert (file is not None) is is_plain
    assert file is None or file[0] == text.encode()


@pytest.mark.parametrize("count", [1, 64, 3000])
def test_error_in_taking_files_ends_the_reading(tmp_path: Path, folder: int, count: int) -> None:
    names = [str(number) for number in range(count)]
    for name in names:
        (tmp_path / name).touch()

    def take(files: list[PlainFile | None]) -> None:
        raise KeyError(len(files))

    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208  # only their number
    with no_new_descriptor():
        for _ in range(20):
            with pytest.raises(KeyError, match=str(min(count, 64))):
                quick.read_plain(names, folder, LIMIT, take)
    assert len(os.listdir("/proc/self/task")) <= threads  # noqa: PTH208  # same


def test_names_that_no_file_has_are_refused(folder: int) -> None:
    for name, error in (("with\0nul", ValueError), ("\ud800", UnicodeEncodeError), (7, TypeError)):
        with pytest.raises(error):
            _taken(["file", name], folder)  # type: ignore[list-item]


# Which form.


def test_without_the_c_part_it_is_done_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libcni._files", None)
    monkeypatch.delattr("libcni._files", raising=False)
    assert module._chosen() is IN_PYTHON


@pytest.mark.parametrize("arguments", [(), ("x",), (1, 2, 3, 4, 5)])
def test_wrong_arguments_are_refused_in_c(arguments: tuple[Any, ...]) -> None:
    for function in (
        quick.is_at,
        quick.read_at,
        quick.open_own,
        quick.lock_noted,
        quick.open_locked,
        _fill,
        quick.read_plain,
    ):
        with pytest.raises(TypeError):
            function(*arguments)
    with pytest.raises(TypeError):
        quick.is_program(5)  # type: ignore[arg-type]


def test_verbs_work_without_the_c_parts(tmp_path: Path) -> None:
    """In a process of its own, in which neither of them can be imported."""
    script = """
import sys
sys.modules["libcni._files"] = sys.modules["libcni.invoke._native"] = None
from libcni import CNIConfig, RuntimeConf
from libcni.config import parse_network
from libcni.invoke.child import IN_PYTHON, processes
from libcni.quick import IN_PYTHON as SLOW, quick
assert processes is IN_PYTHON and quick is SLOW
config, rt = CNIConfig([sys.argv[1]], cache_dir=sys.argv[2]), RuntimeConf("pod", "", "eth0")
network = parse_network(b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"plugin"},{"type":"plugin"}]}')
config.add_network_list(network, rt)
config.check_network_list(network, rt)
config.del_network_list(network, rt)
print(config.get_cached_attachments())
"""
    plugin = tmp_path / "plugin"
    plugin.write_text('#!/bin/sh\ncat >/dev/null; [ "$CNI_COMMAND" != ADD ] || echo \'{"cniVersion":"1.0.0"}\'\n')
    plugin.chmod(0o755)
    words = [sys.executable, "-c", script, str(tmp_path), str(tmp_path / "cache")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
