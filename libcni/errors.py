"""Every exception of the library, and the error codes of the specification.

Owns the error hierarchy and nothing else: a message is built here from data, so that no other module formats one and no
caller has to read one. Every class pickles with all its fields. Go counterpart: ``types.Error`` and the errors that
``libcni`` returns as text. Source: SPEC 1.1.0, section 5, "Error".
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

__all__ = [
    "AttachmentExistsError",
    "AttachmentNotFoundError",
    "CNIError",
    "CNIErrorGroup",
    "CacheError",
    "CheckNotSupportedError",
    "ConfigError",
    "DamagedFileError",
    "ErrorCode",
    "IncompatibleConfigError",
    "IncompatibleVersionError",
    "InvalidParameterError",
    "LockTimeoutError",
    "MalformedVersionError",
    "MissingExtraError",
    "NetworkNotFoundError",
    "NoConfigsFoundError",
    "NoRoomError",
    "PluginError",
    "PluginNotFoundError",
    "PluginOutputError",
    "PluginResultError",
    "PluginStartError",
    "PluginTimeoutError",
    "ResultError",
    "UnsupportedResultVersionError",
    "VersionError",
    "note_errors",
]

_SHOWN = 200
"""Characters of a value that a message quotes."""

_IN_FULL = 3
"""Errors of a group whose texts stand in the text of the group; the others are counted."""

_FILES_IN_FULL = 20
"""Bad files of a directory whose problems stand in one text; the others are counted."""

_CAUSES = 5
"""Causes that are counted one by one."""

_SUBJECT = {
    "plugin": "plugin",
    "command": "command",
    "network": "network",
    "container_id": "containerID",
    "ifname": "ifname",
}
"""Attributes that say where an error happened, and how a document for programs spells them."""

ERROR_DOCUMENT_VERSION = "1.1.0"


class ErrorCode(IntEnum):
    """Well-known error codes (SPEC 1.1.0, section 5); 100 and above belong to the plugins."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT_VARIABLES = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_NETWORK_CONFIG = 7
    TRY_AGAIN_LATER = 11
    PLUGIN_NOT_AVAILABLE = 50
    PLUGIN_NOT_AVAILABLE_LIMITED_CONNECTIVITY = 51
    INTERNAL = 999


def _rebuild(cls: type[BaseException], args: tuple[object, ...], state: dict[str, object]) -> BaseException:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class CNIError(Exception):
    """Base of everything the library raises on purpose.

    ``code`` is the number of the specification's error document, ``msg`` its short text, ``details`` its long one.
    ``str()`` of an error is one readable paragraph that also names where it happened. ``clean_up_errors`` are those of
    the clean-up after it, which its notes tell in short.
    """

    default_code: ClassVar[int] = ErrorCode.INTERNAL

    def __init__(self, msg: str, *, code: int | None = None, details: str = "") -> None:
        super().__init__(msg)
        self.code: int = self.default_code if code is None else code
        self.msg = msg
        self.details = details
        self.clean_up_errors: tuple[CNIError, ...] = ()

    def __str__(self) -> str:
        return f"{self.msg}: {self.details}" if self.details else self.msg

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())

    def to_dict(self) -> dict[str, object]:
        """Return the error document of the specification (SPEC 1.1.0, section 5).

        :returns: ``cniVersion``, ``code`` and ``msg``, and ``details`` when there are any.
        """
        document: dict[str, object] = {
            "cniVersion": ERROR_DOCUMENT_VERSION,
            "code": int(self.code),
            "msg": self._summary(),
        }
        if self.details:
            document["details"] = self.details
        return document

    def subject(self) -> dict[str, str]:
        """Return where it happened, as far as that is known, in the spelling of documents for programs.

        :returns: of ``plugin``, ``command``, ``network``, ``containerID`` and ``ifname`` those that are known.
        """
        known = {member: getattr(self, name, "") for name, member in _SUBJECT.items()}
        return {member: value for member, value in known.items() if value}

    def cause(self) -> str:
        """Return the short text that errors of the same cause share, whatever attachment or file they are about."""
        return _cut(_one_paragraph(self.msg))

    def _summary(self) -> str:
        """Return the short text of the error document; a class whose ``msg`` lacks the place adds it here."""
        return self.msg


class MissingExtraError(CNIError):
    """A feature was asked for whose optional packages are not installed; ``extra`` names the extra."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs optional packages: install them with pip install 'libcni[{extra}]'")
        self.feature = feature
        self.extra = extra


class ConfigError(CNIError, ValueError):
    """A network configuration cannot be used.

    ``source`` is the file (or ``None``), ``field`` the path of the field such as ``plugins[1].type`` (or ``""``),
    ``line`` and ``column`` count from 1 where the place is known.
    """

    default_code = ErrorCode.INVALID_NETWORK_CONFIG

    def __init__(
        self,
        msg: str,
        *,
        source: str | PathLike[str] | None = None,
        field: str = "",
        line: int | None = None,
        column: int | None = None,
        code: int | None = None,
    ) -> None:
        super().__init__(msg, code=code)
        self.source = source
        self.field = field
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return self._summary()

    def _summary(self) -> str:
        place = [] if self.source is None else [str(self.source)]
        if self.line is not None:
            place.append(f"line {self.line}, column {self.column}")
        if self.field:
            place.append(self.field)
        return ": ".join([*place, self.msg])


class NoConfigsFoundError(ConfigError):
    """A directory holds no network configuration at all; ``directory`` names it."""

    def __init__(self, directory: str | PathLike[str]) -> None:
        super().__init__(f"no network configuration (.conf, .conflist, .json) found in {directory}")
        self.directory = directory


class NetworkNotFoundError(ConfigError, LookupError):
    """No usable file of ``directory`` has the network ``name``; ``problems`` holds one error per bad file.

    Its text has the first twenty in full, and counts the others by their cause.
    """

    def __init__(self, directory: str | PathLike[str], name: str, problems: Sequence[ConfigError] = ()) -> None:
        msg = f"no network configuration with name {name!r} in {directory}"
        if problems:
            msg += "; files that could not be used: " + "; ".join(_texts(problems, in_full=_FILES_IN_FULL))
        super().__init__(msg)
        self.directory = directory
        self.name = name
        self.problems = tuple(problems)

    def subject(self) -> dict[str, str]:
        """Return the name of the network, as :meth:`CNIError.subject`."""
        return {"network": self.name}


class InvalidParameterError(CNIError, ValueError):
    """A value that the caller passed is not allowed; ``name`` is the parameter, ``value`` its value."""

    default_code = ErrorCode.INVALID_ENVIRONMENT_VARIABLES

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(f"invalid {name} {_cut(repr(value))}: {reason}")
        self.name = name
        self.value = value


class VersionError(CNIError, ValueError):
    """A specification version is malformed or cannot be used."""

    default_code = ErrorCode.INCOMPATIBLE_VERSION


class IncompatibleVersionError(VersionError):
    """The version is well-formed, and the library or the plugin does not support it."""


class MalformedVersionError(ConfigError, VersionError):
    """A configuration names a version that is not ``major.minor.patch``."""

    default_code = ErrorCode.INVALID_NETWORK_CONFIG


class IncompatibleConfigError(ConfigError, IncompatibleVersionError):
    """A configuration names versions, and the library supports none of them."""

    default_code = ErrorCode.INCOMPATIBLE_VERSION


class CheckNotSupportedError(VersionError):
    """CHECK was asked for a configuration older than 0.4.0."""

    def __init__(self, version: str) -> None:
        super().__init__(f"configuration version {version!r} does not support the CHECK command, which came with 0.4.0")
        self.version = version


class ResultError(CNIError, ValueError):
    """A result document does not follow the specification; ``field`` is the path such as ``ips[0].address``."""

    default_code = ErrorCode.DECODING_FAILURE

    def __init__(
        self,
        msg: str,
        *,
        plugin: str = "",
        field: str = "",
        code: int | None = None,
        details: str = "",
    ) -> None:
        super().__init__(msg, code=code, details=details)
        self.plugin = plugin
        self.field = field

    def __str__(self) -> str:
        return self._summary()

    def _summary(self) -> str:
        place = f"plugin {self.plugin!r}: invalid result" if self.plugin else "invalid result"
        return f"{place}: {self.field}: {self.msg}" if self.field else f"{place}: {self.msg}"


class UnsupportedResultVersionError(ResultError, IncompatibleVersionError):
    """A result names a version that the library does not know: a bad result and an incompatible version at once."""

    default_code = ErrorCode.INCOMPATIBLE_VERSION


class PluginError(CNIError):
    """A plugin failed, or could not be run.

    ``plugin`` is the type, ``path`` the binary, ``command`` the verb, ``network``, ``container_id`` and ``ifname`` the
    attachment. ``exit_status`` or ``signal`` say how it ended (``None`` when it never started), ``stderr`` is the tail
    of what it logged, ``stdout`` holds at most the first :attr:`STDOUT_LIMIT` characters of what it printed,
    ``duration`` is in seconds. ``code``, ``msg`` and ``details`` are the plugin's own when it printed the
    specification's error document.
    """

    STDOUT_LIMIT: ClassVar[int] = 4096

    def __init__(self, msg: str, *, code: int | None = None, details: str = "", **fields: Any) -> None:
        super().__init__(msg, code=code, details=details)
        self.plugin: str = ""
        self.path: str = ""
        self.command: str = ""
        self.network: str = ""
        self.container_id: str = ""
        self.ifname: str = ""
        self.exit_status: int | None = None
        self.signal: int | None = None
        self.stderr: str = ""
        self.stdout: str = ""
        self.duration: float | None = None
        self._set(fields)

    def _set(self, fields: Mapping[str, Any]) -> None:
        unknown = fields.keys() - self.__dict__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {sorted(unknown)}")
        self.__dict__.update(fields)
        self.stdout = self.stdout[: self.STDOUT_LIMIT]

    def cause(self) -> str:
        """Return plugin, verb and message, as :meth:`CNIError.cause`."""
        place = " ".join([word for word in (f"plugin {self.plugin!r}", self.command) if word])
        return f"{place}: {super().cause()}"

    def _place(self) -> str:
        place = f"plugin {self.plugin!r}" + (f" ({self.path})" if self.path else "")
        if self.command:
            place += f" failed {self.command}"
        if self.network:
            place += f" of network {self.network!r}"
        if self.container_id:
            place += f" for container {self.container_id!r}"
        if self.ifname:
            place += f", interface {self.ifname!r}"
        return place

    def __str__(self) -> str:
        text = f"{self._place()}: {self.msg}"
        if self.details:
            text += f": {self.details}"
        if self.code != self.default_code:
            text += f" (code {self.code})"
        return _one_paragraph(text)


class PluginStartError(PluginError):
    """A plugin could not be started at all: its file is no program of this machine, or may not be executed."""


class PluginNotFoundError(PluginError, LookupError):
    """No directory of ``paths`` has an executable file with the plugin's name."""

    def __init__(self, msg: str, *, paths: Sequence[str] = (), **fields: Any) -> None:
        super().__init__(msg, **fields)
        self.paths = tuple(paths)


class PluginOutputError(PluginError):
    """A plugin printed something else than its verb must print; ``details`` quotes it."""

    default_code = ErrorCode.DECODING_FAILURE


class PluginResultError(PluginOutputError, ResultError):
    """A plugin printed JSON that is not a result of its version; ``field`` is the path such as ``ips[0].address``."""

    def __init__(self, msg: str, *, field: str = "", **fields: Any) -> None:
        super().__init__(msg, **fields)
        self.field = field

    def __str__(self) -> str:
        text = f"{self._place()}: {self._summary()}"
        return _one_paragraph(f"{text}: {self.details}" if self.details else text)

    def _summary(self) -> str:
        return f"invalid result: {self.field}: {self.msg}" if self.field else f"invalid result: {self.msg}"


class PluginTimeoutError(PluginError, TimeoutError):
    """A plugin did not finish within ``timeout`` seconds, and was ended.

    ``pid`` is the id of its process if that could not be killed and lives on, else ``None``.
    """

    default_code = ErrorCode.TRY_AGAIN_LATER

    def __init__(self, msg: str, *, timeout: float, pid: int | None = None, **fields: Any) -> None:
        super().__init__(msg, **fields)
        self.timeout = timeout
        self.pid = pid


class _AttachmentError(CNIError):
    """Base of the two errors about one attachment: its ``network``, ``container_id`` and ``ifname``."""

    def __init__(self, network: str, container_id: str, ifname: str, *, reason: str) -> None:
        super().__init__(f"container {container_id!r}, interface {ifname!r}, network {network!r}: {reason}")
        self.network = network
        self.container_id = container_id
        self.ifname = ifname
        self._reason = reason

    def cause(self) -> str:
        """Return the reason without the names of the attachment, as :meth:`CNIError.cause`."""
        return self._reason


class AttachmentExistsError(_AttachmentError):
    """A second ADD of an attachment, or of its interface, without a DEL between (SPEC 1.1.0, section 3).

    ``network``, ``container_id`` and ``ifname`` are those of the stored attachment. ``unfinished``: it may never have
    been added, as an ADD or DEL of it was begun and did not end. ``is_another``: it is not the attachment to be added,
    but has its interface.
    """

    ADVICE: ClassVar[str] = "delete it, call recover(), or give it up with forget()"
    """Note on an unfinished one."""

    def __init__(
        self, network: str, container_id: str, ifname: str, *, unfinished: bool = False, is_another: bool = False
    ) -> None:
        reason = "an earlier ADD or DEL of it is unfinished" if unfinished else "already added"
        way_out = "delete it before it is added again"
        if is_another:
            reason = f"has the interface ({reason})"
            way_out = "choose another interface name, or delete that attachment first"
        super().__init__(network, container_id, ifname, reason=f"{reason}; {way_out}")
        self.unfinished = unfinished
        self.is_another = is_another
        if unfinished:
            self.add_note(self.ADVICE)


class AttachmentNotFoundError(_AttachmentError, LookupError):
    """CHECK of an attachment of which no ADD is known."""

    default_code = ErrorCode.UNKNOWN_CONTAINER

    def __init__(self, network: str, container_id: str, ifname: str) -> None:
        super().__init__(network, container_id, ifname, reason="not added, or deleted since: there is nothing to check")


class LockTimeoutError(CNIError, TimeoutError):
    """Another operation on ``container_id`` did not end in time; ``holder`` is its process id, if known."""

    default_code = ErrorCode.TRY_AGAIN_LATER

    def __init__(self, container_id: str, holder: int | None, waited: float, *, subject: str = "") -> None:
        what = subject or f"container {container_id!r}"
        by = "another process" if holder is None else f"process {holder}"
        self._reason = f"is busy: {by} still works on it"
        super().__init__(f"{what} {self._reason} after {waited:g} s of waiting")
        self.container_id = container_id
        self.holder = holder
        self.waited = waited

    def cause(self) -> str:
        """Return the process that holds the lock, as :meth:`CNIError.cause`."""
        return self._reason


class CacheError(CNIError):
    """The cache directory, or a file in it, cannot be used; ``path`` names it."""

    default_code = ErrorCode.IO_FAILURE

    def __init__(self, path: str | PathLike[str], reason: str) -> None:
        super().__init__(f"cache {path}: {reason}")
        self.path = path
        self._reason = reason

    def cause(self) -> str:
        """Return the reason without the path of the file, as :meth:`CNIError.cause`."""
        return _cut(_one_paragraph(self._reason))


class NoRoomError(CacheError):
    """The file system is full, or was mounted read-only: nothing is written, and stored files are unchanged."""


class DamagedFileError(CacheError):
    """A file of the cache directory was read and makes no sense; reading it again will not help."""


class CNIErrorGroup(CNIError, ExceptionGroup[CNIError]):  # noqa: N818 -- a group, as ExceptionGroup is
    """Every failure of one GC or validation, each of its own class, in ``exceptions``.

    Its text has the first few in full, and counts the others by their cause. ``deleted`` names each attachment that GC
    has deleted all the same: network, container id and interface name.
    """

    def __new__(cls, msg: str, errors: Sequence[CNIError], *, deleted: Sequence[tuple[str, str, str]] = ()) -> Self:
        """Make the group; ``errors`` must not be empty."""
        del deleted
        return ExceptionGroup.__new__(cls, msg, errors)

    def __init__(self, msg: str, errors: Sequence[CNIError], *, deleted: Sequence[tuple[str, str, str]] = ()) -> None:
        CNIError.__init__(self, msg)
        self.args = (msg, errors)
        self.deleted = tuple(deleted)

    def derive(self, errors: Sequence[CNIError], /) -> Self:  # type: ignore[override]  # a group of CNIErrors stays one
        """Return a group of the same message over ``errors`` (what ``split`` and ``except*`` need)."""
        return type(self)(self.msg, errors, deleted=self.deleted)

    def __str__(self) -> str:
        return f"{self.msg}: " + "; ".join(_texts(self.exceptions))

    def _summary(self) -> str:
        return str(self)


def note_errors(error: BaseException, subject: str, problems: Sequence[CNIError]) -> None:
    """Note on an error what the clean-up after it could not do: the first few in full, the others counted by cause.

    :param subject: of each note, such as ``clean-up after the failed ADD``.
    """
    for text in _texts(problems):
        error.add_note(f"{subject}: {text}")
    if isinstance(error, CNIError):
        error.clean_up_errors += tuple(problems)


def _texts(errors: Sequence[CNIError | ExceptionGroup[CNIError]], *, in_full: int = _IN_FULL) -> list[str]:
    """Return the texts of several errors: 240 attachments that fail alike would make a text of 55 kB."""
    texts = [str(error) for error in errors[:in_full]]
    others = errors[in_full:]
    if not others:
        return texts
    causes = Counter(error.cause() if isinstance(error, CNIError) else str(error) for error in others).most_common()
    counts = [f"{count} × {cause}" for cause, count in causes[:_CAUSES]]
    rest = sum(count for _, count in causes[_CAUSES:])
    if rest:
        counts.append(f"{rest} × another cause")
    return [*texts, f"and {len(others)} more: " + ", ".join(counts)]


def _one_paragraph(text: str) -> str:
    """Join the lines that a plugin wrote; its fields keep them as they were."""
    return " ".join([stripped for line in text.splitlines() if (stripped := line.strip())])


def _cut(text: str) -> str:
    """Return a text as it may stand in a message: cut when it is long."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
