"""Options and environment variables that all verbs share, and what they stand for.

Go counterpart: ``cnitool/cnitool.go``. An option may stand before or after the verb; the one after it wins.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from libcni.api import CNIConfig
from libcni.cli.arguments import completed_by
from libcni.errors import InvalidParameterError
from libcni.invoke.environment import CNI_ARGS, CNI_IFNAME, CNI_PATH, split_path
from libcni.jsontext.decode import parse_object
from libcni.jsontext.scan import DocumentError
from libcni.protocol.attachment import RuntimeConf
from libcni.protocol.cni_args import parse_args
from libcni.protocol.names import check_interface_name
from libcni.verbs.configured import DEFAULT_CACHE_DIR, DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from libcni.invoke.runner import Runner
    from libcni.jsontext.scan import JSONObject
    from libcni.storage.store import Store

__all__ = [
    "OF_STORE",
    "TO_ATTACH",
    "TO_LOOK",
    "TO_RUN",
    "Settings",
    "common_options",
    "default_container_id",
    "pass_settings",
]

F = TypeVar("F", bound="Callable[..., Any]")

CONF_DIR_VARIABLE = "NETCONFPATH"
CAPABILITIES_VARIABLE = "CAP_ARGS"

DEFAULT_CONF_DIR = "/etc/cni/net.d"
DEFAULT_BIN_DIRS = ("/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni")
DEFAULT_IFNAME = "eth0"


class Settings(NamedTuple):
    """The settings of a verb; an option that was not given is ``None``, and its variable or default counts.

    A container id, an interface name or a namespace that was given empty is none: a script whose variable is not set
    must not work on another container, or on the current directory.
    """

    conf_dir: str | None = None
    bin_dir: tuple[str, ...] | None = None
    cache_dir: str | None = None
    container_id: str | None = None
    ifname: str | None = None
    timeout: float | None = None
    output: str | None = None
    record: str | None = None
    replay: str | None = None

    @classmethod
    def taken_from(cls, values: dict[str, Any]) -> Settings:
        """Take the common options out of the parameters of a command."""
        options = {name: values.pop(name) for name in cls._fields}
        return cls(**{name: None if value == () else value for name, value in options.items()})

    def merged(self, options: Settings) -> Settings:
        """Return these settings with the options that stand after the verb."""
        given = options._asdict()
        return self._replace(**{name: value for name, value in given.items() if value is not None})

    @property
    def directory(self) -> str:
        """The configuration directory."""
        return self.conf_dir or os.environ.get(CONF_DIR_VARIABLE) or DEFAULT_CONF_DIR

    @property
    def plugin_directories(self) -> tuple[str, ...]:
        """The plugin directories, in order of preference."""
        return self.bin_dir or split_path(os.environ.get(CNI_PATH, "")) or DEFAULT_BIN_DIRS

    @property
    def is_json(self) -> bool:
        """Whether answers are for programs."""
        return self.output == "json"

    def config(self) -> CNIConfig:
        """Return the library, set up as the options say."""
        return CNIConfig(
            self.plugin_directories,
            cache_dir=self.cache_dir or DEFAULT_CACHE_DIR,
            timeout=self.timeout or DEFAULT_TIMEOUT,
            runner=self.runner(),
        )

    def runner(self) -> Runner | None:
        """Return the runner that records plugin calls, or replays them; ``None`` for the ordinary one."""
        if self.record is None and self.replay is None:
            return None
        from libcni.invoke.blocking_runner import BlockingRunner  # noqa: PLC0415 -- for those who ask for it
        from libcni.testing import RecordingRunner, ReplayRunner  # noqa: PLC0415 -- as above

        if self.replay is not None:
            return ReplayRunner(self.replay)
        return RecordingRunner(BlockingRunner(), self.record or "", hide_secrets=True)

    def store(self) -> Store:
        """Return the store in the cache directory."""
        from libcni.storage.store import Store  # noqa: PLC0415 -- loaded with the verbs that need it

        return Store(os.path.abspath(self.cache_dir or DEFAULT_CACHE_DIR), durable=True)  # noqa: PTH100 -- as CNIConfig

    def runtime_conf(
        self,
        netns: str | None,
        *,
        args: Sequence[tuple[str, str]] = (),
        capability_args: Mapping[str, Any] | None = None,
    ) -> RuntimeConf:
        """Return the parameters of the plugin calls for a network namespace.

        :param netns: path of the namespace; ``None`` for the stored one, which needs a container id.
        :param args: pairs that count beside those of the variable, and where both have a key.
        :param capability_args: arguments likewise.
        :raises InvalidParameterError: if a variable makes no sense.
        """
        if netns == "":
            raise InvalidParameterError("netns", netns, "must not be empty")
        path = "" if netns is None else self.absolute(netns)
        return RuntimeConf(
            container_id=default_container_id(path) if self.container_id is None else self.container_id,
            netns=path,
            ifname=_default_ifname() if self.ifname is None else self.ifname,
            args=self.args(args),
            capability_args=self.capability_args(capability_args or {}),
        )

    @staticmethod
    def absolute(path: str) -> str:
        """Return a path as Go's tool makes it absolute: see the container id that it makes of it."""
        return _absolute(path)

    @staticmethod
    def args(more: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """Return the pairs of the variable, without those that are given by options, and these.

        :raises InvalidParameterError: if the variable makes no sense.
        """
        return _merged(parse_args(os.environ.get(CNI_ARGS, ""), parameter=CNI_ARGS), more)

    @staticmethod
    def capability_args(more: Mapping[str, Any]) -> dict[str, Any]:
        """Return the capability arguments likewise.

        :raises InvalidParameterError: if the variable is no JSON object.
        """
        return {**_capability_args(os.environ.get(CAPABILITIES_VARIABLE, "")), **more}


def _default_ifname() -> str:
    """Return the interface name where no option gives one; what is wrong with the variable names the variable."""
    name = os.environ.get(CNI_IFNAME) or DEFAULT_IFNAME
    check_interface_name(name, parameter=CNI_IFNAME)
    return name


def _absolute(path: str) -> str:
    """Return a path as Go's tool makes it absolute: that is hashed and passed on, so links stay as they are.

    >>> _absolute("//var/run/./netns/blue")
    '/var/run/netns/blue'
    """
    # POSIX leaves the meaning of two slashes at the start open, and Python keeps them.
    return "/" + os.path.abspath(path).lstrip("/")  # noqa: PTH100 -- text in, text out


def default_container_id(netns: str) -> str:
    """Return the container id that Go's tool makes of a namespace path.

    >>> default_container_id("/var/run/netns/blue")
    'cnitool-296747069b8a02dc4e2a'
    """
    import hashlib  # noqa: PLC0415 -- OpenSSL, 10 ms, needed only without a container id

    return f"cnitool-{hashlib.sha512(os.fsencode(netns)).digest()[:10].hex()}"


def _merged(given: Sequence[tuple[str, str]], more: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """Return pairs without those whose key is among more pairs, and then these."""
    keys = {key for key, _ in more}
    return [*[pair for pair in given if pair[0] not in keys], *more]


def _capability_args(text: str) -> JSONObject:
    if not text:
        return {}
    try:
        return parse_object(text)
    except DocumentError as error:
        # The value may be a secret: the message says where it is wrong, and not what it is.
        raise InvalidParameterError(CAPABILITIES_VARIABLE, "(not shown)", f"is not a JSON object: {error}") from None


def _positive(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not value > 0:
        raise click.BadParameter("must be a positive number of seconds")
    return value


def _named(
    _context: click.Context, _parameter: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    # What a script makes of a variable that is not set must not mean the default directory.
    if value == "" or (isinstance(value, tuple) and "" in value):
        raise click.BadParameter("must not be empty")
    return value


_OPTIONS: dict[str, tuple[Sequence[str], dict[str, Any]]] = {
    "conf_dir": (
        ("--conf-dir",),
        {
            "metavar": "DIR",
            "callback": _named,
            "help": f"Network configurations. [${CONF_DIR_VARIABLE}; {DEFAULT_CONF_DIR}]",
        },
    ),
    "bin_dir": (
        ("--bin-dir",),
        {
            "metavar": "DIR",
            "multiple": True,
            "callback": _named,
            "help": f"Plugins; may be repeated. [${CNI_PATH}; {', '.join(DEFAULT_BIN_DIRS)}]",
        },
    ),
    "cache_dir": (
        ("--cache-dir",),
        {"metavar": "DIR", "callback": _named, "help": f"Results and records. [{DEFAULT_CACHE_DIR}]"},
    ),
    "container_id": (
        ("--container-id",),
        {
            "metavar": "ID",
            "help": "Container id. [cnitool- and a digest of the namespace path]",
            "shell_complete": completed_by("complete_containers"),
        },
    ),
    "ifname": (
        ("-i", "--ifname"),
        {"metavar": "NAME", "help": f"Interface in the container. [${CNI_IFNAME}; {DEFAULT_IFNAME}]"},
    ),
    "timeout": (
        ("--timeout",),
        {
            "type": float,
            "metavar": "SECONDS",
            "callback": _positive,
            "help": f"For each plugin execution. [{DEFAULT_TIMEOUT:g}]",
        },
    ),
    "output": (("--output",), {"type": click.Choice(["text", "json"]), "help": "For people or for programs. [text]"}),
    "record": (
        ("--record",),
        {"metavar": "FILE", "callback": _named, "help": "Append every plugin call to a file, without secrets."},
    ),
    "replay": (
        ("--replay",),
        {"metavar": "FILE", "callback": _named, "help": "Run no plugin: answer from a file of --record."},
    ),
}

TO_LOOK = ("conf_dir", "output")
"""The common options of a verb that reads configurations."""

OF_STORE = ("cache_dir", "output")
"""Of a verb that reads what is stored."""

TO_RUN = ("conf_dir", "bin_dir", "cache_dir", "timeout", "output", "record", "replay")
"""Of a verb that runs plugins of a network."""

TO_ATTACH = ("conf_dir", "bin_dir", "cache_dir", "container_id", "ifname", "timeout", "output", "record", "replay")
"""Of a verb that runs plugins for an attachment."""


def common_options(shown: Iterable[str]) -> Callable[[F], F]:
    """Give a command the options that all verbs share; its help shows those that say something to it."""
    visible = frozenset(shown)

    def decorate(function: F) -> F:
        for name, (spellings, attributes) in reversed(_OPTIONS.items()):
            function = click.option(*spellings, hidden=name not in visible, **attributes)(function)
        return function

    return decorate


def pass_settings(shown: Iterable[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Call a verb with its settings, made of the options before and after it.

    :param shown: the common options that its help shows; the others say nothing to it, and are taken all the same.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @common_options(shown)
        @click.pass_context
        @functools.wraps(function)
        def command(context: click.Context, /, **values: Any) -> None:
            settings = context.ensure_object(Settings).merged(Settings.taken_from(values))
            if settings.record is not None and settings.replay is not None:
                raise click.UsageError("--record and --replay exclude each other")
            context.obj = context.find_root().obj = settings
            function(settings, **values)

        return command

    return decorate
