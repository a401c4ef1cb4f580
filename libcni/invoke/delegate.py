"""For plugins that call other plugins: run a delegate with the environment that this plugin was called with.

A plugin whose delegated ADD fails, or that fails after it, must call :func:`delegate_del` before it reports its own
error. Go counterpart: ``invoke/delegate.go``. Source: SPEC 1.1.0, section 4, "Plugin Delegation".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from libcni.config.model import PluginConfig
from libcni.config.parse import parse_plugin
from libcni.errors import ConfigError, PluginNotFoundError
from libcni.invoke.blocking_runner import BlockingRunner, complete
from libcni.invoke.environment import CNI_COMMAND, CNI_CONTAINERID, CNI_IFNAME, CNI_PATH, split_path
from libcni.invoke.output import Invocation, check_success, read_result, start_error
from libcni.invoke.runner import PluginCall
from libcni.jsontext.decode import parse_object
from libcni.jsontext.scan import DocumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcni.invoke.runner import PluginOutput, Runner
    from libcni.results.result import Result

__all__ = ["delegate_add", "delegate_check", "delegate_del", "delegate_gc", "delegate_status"]

Config: TypeAlias = PluginConfig | bytes | str


def delegate_add(
    plugin: str,
    config: Config,
    *,
    environ: Mapping[str, str] | None = None,
    runner: Runner | None = None,
    timeout: float | None = None,
) -> Result:
    """Run ADD of a delegate and return its result, in the version of the configuration.

    :param plugin: type of the delegate, looked up in ``CNI_PATH``.
    :param config: the whole document for its stdin, as the calling plugin got it.
    :param environ: environment of the calling plugin, with the ``CNI_*`` variables; the current one when left out.
    :param runner: runs the process; the blocking one when left out.
    :param timeout: seconds, ``None`` for no limit.
    :raises PluginNotFoundError: if no directory of ``CNI_PATH`` has it.
    :raises PluginError: if it fails, with its own code and message.
    :raises ConfigError: if ``config`` is not the configuration of a plugin.
    """
    parsed = config if isinstance(config, PluginConfig) else parse_plugin(config)
    invocation, output = _run("ADD", plugin, parsed, environ=environ, runner=runner, timeout=timeout)
    return read_result(invocation, output, parsed.version).result


def delegate_check(
    plugin: str,
    config: Config,
    *,
    environ: Mapping[str, str] | None = None,
    runner: Runner | None = None,
    timeout: float | None = None,
) -> None:
    """Run CHECK of a delegate; parameters and errors as for :func:`delegate_add`."""
    _run("CHECK", plugin, config, environ=environ, runner=runner, timeout=timeout)


def delegate_del(
    plugin: str,
    config: Config,
    *,
    environ: Mapping[str, str] | None = None,
    runner: Runner | None = None,
    timeout: float | None = None,
) -> None:
    """Run DEL of a delegate; parameters and errors as for :func:`delegate_add`."""
    _run("DEL", plugin, config, environ=environ, runner=runner, timeout=timeout)


def delegate_gc(
    plugin: str,
    config: Config,
    *,
    environ: Mapping[str, str] | None = None,
    runner: Runner | None = None,
    timeout: float | None = None,
) -> None:
    """Run GC of a delegate; parameters and errors as for :func:`delegate_add`."""
    _run("GC", plugin, config, environ=environ, runner=runner, timeout=timeout)


def delegate_status(
    plugin: str,
    config: Config,
    *,
    environ: Mapping[str, str] | None = None,
    runner: Runner | None = None,
    timeout: float | None = None,
) -> None:
    """Run STATUS of a delegate; parameters and errors as for :func:`delegate_add`."""
    _run("STATUS", plugin, config, environ=environ, runner=runner, timeout=timeout)


def _run(
    command: str,
    plugin: str,
    config: Config,
    *,
    environ: Mapping[str, str] | None,
    runner: Runner | None,
    timeout: float | None,
) -> tuple[Invocation, PluginOutput]:
    given = dict(os.environ if environ is None else environ)
    stdin = config.raw if isinstance(config, PluginConfig) else config
    stdin = stdin.encode() if isinstance(stdin, str) else stdin
    chosen = runner or BlockingRunner()
    paths = split_path(given.get(CNI_PATH, ""))
    place = Invocation(plugin, "", command, _network(stdin), given.get(CNI_CONTAINERID, ""), given.get(CNI_IFNAME, ""))
    try:
        path = chosen.find(plugin, paths)
    except PluginNotFoundError as error:
        raise place.error(PluginNotFoundError, error.msg, paths=paths) from None
    invocation = place.at(path)
    try:
        output = complete(chosen.run(PluginCall(path, stdin, given | {CNI_COMMAND: command}, timeout)))
    except OSError as error:
        raise start_error(invocation, error) from error
    check_success(invocation, output, timeout)
    return invocation, output


def _network(stdin: bytes) -> str:
    try:
        return str(parse_object(stdin).get("name") or "")
    except DocumentError as error:
        raise ConfigError(error.msg, line=error.line, column=error.column) from None
