"""NetworkAttachmentDefinition objects, and the joins of a pod that selects them.

Go counterpart: ``GetCNIConfig`` of ``network-attachment-definition-client``. Source: the multi-network convention,
sections 3 and 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

from libcni.config.parse import parse_network_or_plugin
from libcni.errors import ConfigError
from libcni.jsontext.scan import kind_of
from libcni.kubernetes.selection import name_problem, namespace_problem, with_interface_names
from libcni.log import Log
from libcni.networks import Join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcni.config.model import NetworkConfigList
    from libcni.kubernetes.selection import NetworkSelection

__all__ = ["joins"]

_log = Log("libcni.kubernetes")

KIND = "NetworkAttachmentDefinition"
DEFAULT_NAMESPACE = "default"
"""The namespace of an object that names none."""


def joins(
    selections: Sequence[NetworkSelection],
    definitions: Iterable[Mapping[str, object]],
    *,
    strict: bool = False,
) -> list[Join]:
    """Return the joins of a pod, for :meth:`libcni.networks.Networks.setup`, in the order of the selections.

    A definition whose ``spec`` has no ``config`` stands for the network of its name on the node. A configuration
    without a name gets that of its definition. Default routes are not moved: a selection that asks for that is logged
    as a warning.

    :param selections: as :func:`libcni.kubernetes.parse_networks_annotation` returns them.
    :param definitions: NetworkAttachmentDefinition objects as an API client returns them; those that no selection names
        are not read further.
    :param strict: whether an option that no plugin declares is an error.
    :raises ConfigError: if a definition is missing or malformed; ``field`` is the place, such as ``[1].name`` of the
        selections, ``definitions[0].metadata.name``, or ``spec.config.plugins[0].type`` of the object in ``source``.
    :raises InvalidParameterError: if two selections ask for one interface name.
    """
    configs = _configs(definitions)
    return [
        _join(index, selection, configs, strict=strict)
        for index, selection in enumerate(with_interface_names(selections))
    ]


def _join(index: int, selection: NetworkSelection, configs: Mapping[str, object], *, strict: bool) -> Join:
    if selection.reference not in configs:
        raise ConfigError(f"there is no {KIND} {selection.reference!r}", field=f"[{index}].name")
    network = _network(configs[selection.reference], selection)
    if selection.default_route:
        _log.warning("the default route of the pod is not moved to network %s", selection)
    return Join(network, ifname=selection.interface, options=selection.options(strict=strict))


def _configs(definitions: Iterable[Mapping[str, object]]) -> dict[str, object]:
    """Return ``spec.config`` of each definition, ``None`` where there is none, by namespace and name."""
    if isinstance(definitions, Mapping):
        raise ConfigError("expected the objects themselves: those of a list are its 'items'", field="definitions")
    found: dict[str, object] = {}
    for index, definition in enumerate(definitions):
        place = f"definitions[{index}]"
        reference = _reference(definition, place)
        if reference in found:
            raise ConfigError(f"there is another {KIND} {reference!r}", field=place)
        spec = _member(definition, "spec", place)
        found[reference] = spec.get("config") or None
    return found


def _reference(definition: Mapping[str, object], place: str) -> str:
    kind = _checked(definition, place).get("kind") or KIND
    if kind != KIND:
        raise ConfigError(f"expected {KIND!r}, found {kind!r}", field=f"{place}.kind")
    metadata = _member(definition, "metadata", place)
    name = metadata.get("name") or ""
    namespace = metadata.get("namespace") or DEFAULT_NAMESPACE
    for key, value, problem_of in (("name", name, name_problem), ("namespace", namespace, namespace_problem)):
        problem = problem_of(value) if isinstance(value, str) else f"expected a string, found {kind_of(value)}"
        if problem is not None:
            raise ConfigError(problem, field=f"{place}.metadata.{key}")
    return f"{namespace}/{name}"


def _member(definition: Mapping[str, object], key: str, place: str) -> Mapping[str, object]:
    """Return a member that is an object; an empty one when it is absent."""
    value = definition.get(key)
    return {} if value is None else _checked(value, f"{place}.{key}")


def _checked(value: object, place: str) -> Mapping[str, object]:
    if not _is_mapping(value):
        raise ConfigError(f"expected an object, found {kind_of(value)}", field=place)
    return value


def _is_mapping(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping)


def _network(config: object, selection: NetworkSelection) -> str | NetworkConfigList:
    """Return the network that a definition describes, or the name of the one on the node that it stands for."""
    if config is None:
        return selection.name
    source = f"{KIND} {selection.reference}"
    if not isinstance(config, str):
        raise ConfigError(
            f"expected a string that holds JSON, found {kind_of(config)}", source=source, field="spec.config"
        )
    try:
        return parse_network_or_plugin(config, default_name=selection.name)
    except ConfigError as error:
        error.source = source
        error.field = f"spec.config.{error.field}" if error.field else "spec.config"
        raise
