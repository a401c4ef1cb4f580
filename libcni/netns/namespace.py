"""``NetNS``: one network namespace, held by a descriptor, and the functions that make, open and list them.

Go counterpart: ``plugins/pkg/ns`` and ``testutils.NewNS``. Source: ``network_namespaces(7)``.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from libcni.errors import CNIError, InvalidParameterError
from libcni.linux import O_CLOEXEC, O_NONBLOCK, check_linux
from libcni.netns import named, reading
from libcni.netns.kernel import current_namespace, new_namespace, own_path, set_up
from libcni.protocol.names import check_interface_name, is_encodable
from libcni.storage.apart import do_inside, enter
from libcni.storage.namespace import is_no_namespace, look_into

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

    from libcni.netns.reading import Address, Link, Route
    from libcni.storage.namespace import NetnsIdentity

__all__ = ["NetNS", "create", "list", "open"]

_OPEN_FLAGS = os.O_RDONLY | O_NONBLOCK | O_CLOEXEC


class NetNS:
    """A network namespace.

    Made by :func:`create`, :func:`open` and :func:`list`. It holds the namespace: while this object is not closed, the
    namespace exists, whatever becomes of its name or its process. As a context manager it deletes what :func:`create`
    made, and closes what was opened.
    """

    def __init__(self, descriptor: int, path: str, *, is_made: bool = False) -> None:
        self._descriptor = descriptor
        self._path = path
        self._is_made = is_made
        self._close = weakref.finalize(self, os.close, descriptor)

    def __repr__(self) -> str:
        return f"<NetNS {self._path or 'anonymous'}{'' if self._close.alive else ' (closed)'}>"

    @property
    def path(self) -> str:
        """The path to hand to plugins and to other processes.

        That of its name or process for as long as it leads here; else that of the descriptor, which is valid while this
        process runs and this object is not closed.
        """
        held = own_path(self._held())
        return self._path if self._path and _is_same_file(self._path, held) else held

    def __fspath__(self) -> str:
        return self.path

    @property
    def name(self) -> str | None:
        """The name for ``ip netns``; ``None`` if it has none."""
        return named.is_name(self._path) or None

    @property
    def identity(self) -> NetnsIdentity:
        """The kernel's names of the namespace, which no other one gets in this boot."""
        found = look_into(own_path(self._held()), "lo").identity
        if found is None:
            raise CNIError(f"the system does not say which network namespace {self.path} is")
        return found

    def set_up(self, ifname: str = "lo") -> None:
        """Set an interface up; of a new namespace the loopback interface is down.

        :raises InvalidParameterError: if the name is not allowed.
        :raises OSError: if there is no such interface, or it may not be.
        """
        check_interface_name(ifname)
        try:
            do_inside(self._held(), lambda: set_up(ifname))
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}: interface {ifname!r}", self.path) from error

    def links(self) -> tuple[Link, ...]:
        """Return the interfaces inside, in the kernel's order.

        :raises MissingExtraError: if pyroute2 is not installed.
        :raises OSError: if this process may not enter the namespace.
        """
        return do_inside(self._held(), reading.read_links)

    def addresses(self, ifname: str | None = None) -> tuple[Address, ...]:
        """Return the addresses inside, of one interface or of all; of an interface that is not there, none.

        :raises MissingExtraError: if pyroute2 is not installed.
        :raises OSError: if this process may not enter the namespace.
        """
        found = do_inside(self._held(), reading.read_addresses)
        return tuple(address for address in found if ifname in {None, address.ifname})

    def routes(self) -> tuple[Route, ...]:
        """Return the routes inside, of all tables but the kernel's own table of local addresses.

        :raises MissingExtraError: if pyroute2 is not installed.
        :raises OSError: if this process may not enter the namespace.
        """
        return do_inside(self._held(), reading.read_routes)

    @contextmanager
    def inside(self) -> Generator[None]:
        """Move the calling thread, and no other one, into the namespace for the time of a ``with`` block.

        What the block starts (processes, threads) begins inside, and a socket that it makes stays inside. Do not wait
        for an event loop in it: other tasks of the thread would run inside as well.

        :raises OSError: if the thread may not enter, or could not come back; then it has not moved.
        :raises CNIError: at the end of the block, if the thread could not go back. End it, and use it for nothing else.
        """
        thread = threading.get_ident()
        home = current_namespace()
        try:
            enter(home)  # who may not come back does not go
            try:
                enter(self._held())
                yield
            finally:
                _go_back(home, thread, self._path)
        finally:
            os.close(home)

    def delete(self) -> None:
        """Remove the name, and let go of the namespace; it ends when no process is in it and nothing has it open.

        A name that leads to another namespace by now stays. What is deleted already is no error.

        :raises InvalidParameterError: if it has no name and was not made here: it ends with its processes.
        :raises OSError: if the name may not be removed.
        """
        if not self._close.alive:
            return
        name = self.name
        if name is None and not self._is_made:
            raise InvalidParameterError("netns", self._path, "was not made here and has no name that could be removed")
        if name is not None and _may_remove(self._path, own_path(self._descriptor)):
            named.remove_name(name)
        self.close()

    def close(self) -> None:
        """Let go of the namespace; its name stays. A second call does nothing."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_made:
            self.delete()
        else:
            self.close()

    def _held(self) -> int:
        """Return the descriptor.

        :raises CNIError: if the namespace was closed or deleted.
        """
        if not self._close.alive:
            raise CNIError(f"the network namespace {self._path or '(anonymous)'} was closed")
        return self._descriptor


def _go_back(home: int, thread: int, path: str) -> None:
    place = f"network namespace {path or '(anonymous)'}"
    if threading.get_ident() != thread:
        raise CNIError(f"another thread than that which entered the {place} cannot leave it: end both")
    try:
        enter(home)
    except OSError as error:
        raise CNIError(f"this thread could not leave the {place}, and must not be used any more: {error}") from error


def _is_same_file(path: str, held: str) -> bool:
    try:
        return os.path.samefile(path, held)  # noqa: PTH121 -- text in
    except OSError:
        return False


def _may_remove(path: str, held: str) -> bool:
    """Return whether a name leads to the held namespace, or to none."""
    return _is_same_file(path, held) or is_no_namespace(path)


def create(name: str | None = None) -> NetNS:
    """Make a network namespace, in which there is only a loopback interface, and that is down.

    :param name: its name for ``ip netns``; without, it is anonymous and ends with this process at the latest.
    :raises InvalidParameterError: if no namespace can have the name.
    :raises FileExistsError: if a namespace has the name.
    :raises PermissionError: if this process lacks the right (``CAP_SYS_ADMIN``), as all but root do.
    """
    check_linux("a network namespace")
    if name is not None:
        named.check_name(name)
    try:
        descriptor = new_namespace()
    except PermissionError as error:
        raise PermissionError(error.errno, "a network namespace can only be made by root (CAP_SYS_ADMIN)") from error
    if name is None:
        return NetNS(descriptor, "", is_made=True)
    try:
        named.add_name(name, own_path(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return NetNS(descriptor, named.path_of(name), is_made=True)


def open(path_or_pid: str | os.PathLike[str] | int) -> NetNS:  # noqa: A001 -- read as netns.open
    """Open the network namespace at a path, or that of a process.

    :raises InvalidParameterError: if what is at the path is no network namespace.
    :raises ProcessLookupError: if there is no such process.
    :raises FileNotFoundError: if there is nothing at the path.
    :raises PermissionError: if the process is another user's.
    """
    if isinstance(path_or_pid, int):
        return _open_process(path_or_pid)
    path = os.fspath(path_or_pid)
    if not path or not is_encodable(path):
        raise InvalidParameterError("path", path, "no file can have such a name")
    return _open_path(os.path.abspath(path))  # noqa: PTH100 -- text out, and links stay as they are


def _open_process(pid: int) -> NetNS:
    if isinstance(pid, bool) or pid <= 0:
        raise InvalidParameterError("pid", pid, "expected the number of a process")
    try:
        return _open_path(f"/proc/{pid}/ns/net")
    except FileNotFoundError:
        raise ProcessLookupError(errno.ESRCH, f"there is no process {pid}") from None


def _open_path(path: str) -> NetNS:
    descriptor = os.open(path, _OPEN_FLAGS)
    # Asked of what is open: the path may lead elsewhere in between.
    if is_no_namespace(own_path(descriptor)):
        os.close(descriptor)
        raise InvalidParameterError("path", path, "is no network namespace")
    return NetNS(descriptor, path)


def list() -> tuple[NetNS, ...]:  # noqa: A001 -- read as netns.list
    """Return the named namespaces, opened, in the order of their names; close each, or let it go.

    A file without a namespace, as a crash can leave one, is none.
    """
    found: tuple[NetNS, ...] = ()
    for name in named.names():
        with suppress(FileNotFoundError, InvalidParameterError):  # deleted meanwhile
            found = (*found, _open_path(str(Path(named.DIRECTORY) / name)))
    return found
