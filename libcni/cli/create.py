"""The verb that writes the configuration of a network: networks create."""

from __future__ import annotations

import ipaddress
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from libcni.cli.settings import Settings, pass_settings
from libcni.config.load import load_conf_dir, network_conf_from_bytes
from libcni.errors import CNIError, ConfigError, InvalidParameterError, PluginNotFoundError
from libcni.jsontext.encode import dump
from libcni.jsontext.frozen import object_of
from libcni.protocol.names import check_interface_name, check_network_name
from libcni.protocol.versions import SUPPORTED_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from libcni.config.load import ConfDir

__all__ = ["create_command", "free_subnet"]

_TYPES = ("bridge", "ptp", "macvlan", "ipvlan")
_ON_A_LINK = frozenset({"macvlan", "ipvlan"})
"""Types whose interfaces stand on one of the host's."""

_AUTO = "auto"
_ROUTES = "/proc/net/route"
_POOL = ipaddress.IPv4Network("10.88.0.0/13")
_PREFIX = 24
_BRIDGE_BYTES = 15
_STEP = 10
_WITHOUT_PLUGINS = "1.0.0"
"""The version of the specification where no plugin could be asked."""


class _Wish(NamedTuple):
    """The request for a network: name, type and subnet, the link that it stands on, and whether it leads outside."""

    name: str
    type: str
    subnet: IPv4Network | IPv6Network
    master: str | None
    mtu: int | None
    is_internal: bool


@click.command("create")
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(_TYPES), help="How containers are connected. [asked, or bridge]")
@click.option("--subnet", metavar="CIDR|auto", help="Addresses to give out; auto takes a free one. [asked, or auto]")
@click.option("--master", metavar="LINK", help="Interface of the host, for macvlan and ipvlan.")
@click.option("--mtu", type=click.IntRange(68, 65535), metavar="BYTES", help="MTU of the interfaces. [the plugin's]")
@click.option("--internal", is_flag=True, help="No default route, and no address translation.")
@click.option("--dry-run", is_flag=True, help="Print the configuration, and write nothing.")
@pass_settings(("conf_dir", "bin_dir", "output"))
def create_command(  # noqa: PLR0913 -- the options of the verb
    settings: Settings,
    *,
    name: str,
    kind: str | None,
    subnet: str | None,
    master: str | None,
    mtu: int | None,
    internal: bool,
    dry_run: bool,
) -> None:
    """Write the configuration of a network NAME, for the plugins that are there.

    On a terminal it asks for what no option says. Ports can be published, and addresses chosen, where the plugins can.
    """
    check_network_name(name)
    kind = kind or _ask("How are containers connected?", "bridge", click.Choice(_TYPES))
    if (kind in _ON_A_LINK) != (master is not None):
        raise click.UsageError(f"{kind} needs --master" if kind in _ON_A_LINK else f"{kind} takes no --master")
    directory = load_conf_dir(settings.directory)
    if any(network.name == name for network in directory.networks):
        raise ConfigError(f"there is a network {name!r} already", source=settings.directory)
    taken = [*_subnets(directory), *_routed()]
    chosen = _subnet(subnet or _ask("Which subnet?", _AUTO, click.STRING), taken)
    document = _document(settings, _Wish(name, kind, chosen, master, mtu, internal))
    text = json.dumps(document, indent=2) + "\n"
    network_conf_from_bytes(text)
    path = Path(settings.directory) / f"{_number(directory):02d}-{name}.conflist"
    if not dry_run:
        _write(path, text)
    _show(settings, path, document, is_dry=dry_run)


def _ask(question: str, default: str, kind: Any) -> str:
    """Ask on a terminal; elsewhere, and for programs, take the default."""
    if not sys.stdin.isatty():
        return default
    answer: str = click.prompt(question, default=default, type=kind, err=True)
    return answer


def _show(settings: Settings, path: Path, document: dict[str, Any], *, is_dry: bool) -> None:
    if settings.is_json:
        click.echo(dump({"file": None if is_dry else str(path), "network": document}))
    elif is_dry:
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"wrote {path}\ntry it with: cnitool run {document['name']} --conf-dir {path.parent} -- ip addr")


def _write(path: Path, text: str) -> None:
    """Write a new file, whole or not at all; a runtime that watches the directory never reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.link(temporary, path)  # fails if there is such a file
    finally:
        temporary.unlink(missing_ok=True)


def _number(directory: ConfDir) -> int:
    """Return the number for the name of a file that comes after all others."""
    used = [network.source.name.partition("-")[0] for network in directory.networks if network.source is not None]
    highest = max([int(text) for text in used if text.isascii() and text.isdigit()], default=0)
    return highest - highest % _STEP + _STEP


def _subnet(text: str, taken: Sequence[IPv4Network | IPv6Network]) -> IPv4Network | IPv6Network:
    if text == _AUTO:
        return free_subnet(taken)
    try:
        subnet = ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidParameterError("--subnet", text, str(error)) from None
    for other in taken:
        if other.version == subnet.version and other.overlaps(subnet):
            raise InvalidParameterError("--subnet", text, f"overlaps {other}, which is in use; auto takes a free one")
    return subnet


def free_subnet(taken: Iterable[IPv4Network | IPv6Network]) -> IPv4Network:
    """Return the first subnet of 256 addresses of 10.88.0.0/13 that overlaps none of those that are taken.

    :raises CNIError: if all are taken.

    >>> free_subnet([ipaddress.ip_network("10.88.0.0/23")])
    IPv4Network('10.88.2.0/24')
    """
    others = [subnet for subnet in taken if isinstance(subnet, ipaddress.IPv4Network) and subnet.prefixlen]
    for subnet in _POOL.subnets(new_prefix=_PREFIX):
        if not any(subnet.overlaps(other) for other in others):
            return subnet
    raise CNIError(f"every subnet of {_POOL} is in use: choose one with --subnet")


def _subnets(directory: ConfDir) -> Iterator[IPv4Network | IPv6Network]:
    """Go through the subnets of the networks that are there, as host-local and others have them."""
    for network in directory.networks:
        for plugin in network.plugins:
            ipam = object_of(plugin.data.get("ipam"))
            ranges = [item for pool in _array(ipam.get("ranges")) for item in _array(pool)]
            for item in [ipam, *map(object_of, ranges)]:
                yield from _parsed(item.get("subnet"))


def _array(value: Any) -> list[Any]:
    return [*value] if isinstance(value, list | tuple) else []


def _parsed(text: object) -> Iterator[IPv4Network | IPv6Network]:
    try:
        yield ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        return


def _routed() -> Iterator[IPv4Network]:
    """Go through the destinations of the host's IPv4 routes, but the default route."""
    try:
        lines = Path(_ROUTES).read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        destination, mask = line.split()[1], line.split()[7]
        address, length = bytes.fromhex(destination)[::-1], int(mask, 16).bit_count()
        if length:
            yield ipaddress.IPv4Network((address, length), strict=False)


def _document(settings: Settings, wish: _Wish) -> dict[str, Any]:
    """Return the configuration, with those optional plugins that are there."""
    versions = {kind: _versions(settings, kind) for kind in (wish.type, "host-local", "portmap")}
    plugins = [_main_plugin(wish)]
    if wish.type not in _ON_A_LINK and not wish.is_internal and versions["portmap"]:
        plugins.append({"type": "portmap", "capabilities": {"portMappings": True}})
    used = [versions[kind] for kind in (*(plugin["type"] for plugin in plugins), "host-local") if versions[kind]]
    return {"cniVersion": _newest(used), "name": wish.name, "plugins": plugins}


def _versions(settings: Settings, kind: str) -> set[str]:
    """Return the versions that a plugin supports; none if it is not there."""
    try:
        return set(settings.config().get_version_info(kind).supported_versions)
    except PluginNotFoundError:
        return set()


def _newest(supported: Sequence[set[str]]) -> str:
    """Return the newest version that all plugins support."""
    if not supported:
        return _WITHOUT_PLUGINS
    common = [version for version in SUPPORTED_VERSIONS if all(version in each for each in supported)]
    return common[-1] if common else _WITHOUT_PLUGINS


def _main_plugin(wish: _Wish) -> dict[str, Any]:
    plugin: dict[str, Any] = {"type": wish.type}
    if wish.type == "bridge":
        bridge = f"cni-{wish.name}"[:_BRIDGE_BYTES]
        check_interface_name(bridge, parameter="bridge")
        plugin |= {"bridge": bridge, "isGateway": True, "hairpinMode": True}
    if wish.type not in _ON_A_LINK and not wish.is_internal:
        plugin["ipMasq"] = True
    if wish.master is not None:
        check_interface_name(wish.master, parameter="--master")
        plugin["master"] = wish.master
    if wish.mtu is not None:
        plugin["mtu"] = wish.mtu
    plugin["capabilities"] = {"ips": True, "mac": True} if wish.type == "bridge" else {"ips": True}
    ipam: dict[str, Any] = {"type": "host-local", "ranges": [[{"subnet": str(wish.subnet)}]]}
    if not wish.is_internal:
        ipam["routes"] = [{"dst": "0.0.0.0/0" if wish.subnet.version == 4 else "::/0"}]  # noqa: PLR2004 -- IPv4
    return plugin | {"ipam": ipam}
