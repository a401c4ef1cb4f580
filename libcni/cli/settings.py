"""Options and environment variables that all verbs share, and what they stand for.

Go counterpart: ``cnitool/cnitool.go``. An option may stand before or after the verb; the one after it wins.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from libcni.api import CNIConfig
from libcni.errors import InvalidParameterError
from libcni.invoke.environment import CNI_ARGS, CNI_IFNAME, CNI_PATH, split_path
from libcni.jsontext.decode import parse_object
from libcni.jsontext.scan import DocumentError
from libcni.protocol.attachment import RuntimeConf
from libcni.protocol.cni_args import parse_args
from libcni.protocol.names import check_interface_name
from libcni.verbs.configured import DEFAULT_CACHE_DIR, DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.jsontext.scan import JSONObject
    from libcni.storage.store import Store

__all__ = ["Settings", "common_options", "default_container_id", "pass_settings"]

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
        )

    def store(self) -> Store:
        """Return the store in the cache directory."""
        from libcni.storage.store import Store  # noqa: PLC0415 -- loaded with the verbs that need it

        return Store(os.path.abspath(self.cache_dir or DEFAULT_CACHE_DIR), durable=True)  # noqa: PTH100 -- as CNIConfig

    def runtime_conf(self, netns: str | None) -> RuntimeConf:
        """Return the parameters of the plugin calls for a network namespace.

        :param netns: path of the namespace; ``None`` for the stored one, which needs a container id.
        :raises InvalidParameterError: if a variable makes no sense.
        """
        if netns == "":
            raise InvalidParameterError("netns", netns, "must not be empty")
        path = "" if netns is None else _absolute(netns)
        return RuntimeConf(
            container_id=default_container_id(path) if self.container_id is None else self.container_id,
            netns=path,
            ifname=_default_ifname() if self.ifname is None else self.ifname,
            args=parse_args(os.environ.get(CNI_ARGS, ""), parameter=CNI_ARGS),
            capability_args=_capability_args(os.environ.get(CAPABILITIES_VARIABLE, "")),
        )


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


_OPTIONS = (
    click.option(
        "--conf-dir",
        metavar="DIR",
        callback=_named,
        help=f"Network configurations. [${CONF_DIR_VARIABLE}; {DEFAULT_CONF_DIR}]",
    ),
    click.option(
        "--bin-dir",
        metavar="DIR",
        multiple=True,
        callback=_named,
        help=f"Plugins; may be repeated. [${CNI_PATH}; {', '.join(DEFAULT_BIN_DIRS)}]",
    ),
    click.option("--cache-dir", metavar="DIR", callback=_named, help=f"Results and records. [{DEFAULT_CACHE_DIR}]"),
    click.option("--container-id", metavar="ID", help="Container id. [cnitool- and a digest of the namespace path]"),
    click.option(
        "-i", "--ifname", metavar="NAME", help=f"Interface in the container. [${CNI_IFNAME}; {DEFAULT_IFNAME}]"
    ),
    click.option(
        "--timeout",
        type=float,
        metavar="SECONDS",
        callback=_positive,
        help=f"For each plugin execution. [{DEFAULT_TIMEOUT:g}]",
    ),
    click.option("--output", type=click.Choice(["text", "json"]), help="For people or for programs. [text]"),
)


def common_options(function: F) -> F:
    """Give a command the options that all verbs share."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def pass_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Call a verb with its settings, made of the options before and after it."""

    @common_options
    @click.pass_context
    @functools.wraps(function)
    def command(context: click.Context, /, **values: Any) -> None:
        settings = context.ensure_object(Settings).merged(Settings.taken_from(values))
        context.obj = context.find_root().obj = settings
        function(settings, **values)

    return command
