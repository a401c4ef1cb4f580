"""NetworkAttachmentDefinition objects, and the joins of a pod that selects them.

Go counterpart: ``GetCNIConfig`` of ``network-attachment-definition-client``. Source: the multi-network convention,
sections 3 and 4.2.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

from libcni.config.parse import conf_list_from_conf, parse_network, parse_plugin
from libcni.errors import ConfigError
from libcni.jsontext.decode import parse_object
from libcni.jsontext.encode import dump
from libcni.jsontext.scan import DocumentError, format_path, kind_of, object_spans, skip_space
from libcni.kubernetes.selection import name_problem, namespace_problem, with_interface_names
from libcni.networks import Join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcni.config.model import NetworkConfigList
    from libcni.kubernetes.selection import NetworkSelection

__all__ = ["joins"]

_log = logging.getLogger("libcni.kubernetes")

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
        return _parsed(config, selection.name)
    except ConfigError as error:
        error.source = source
        error.field = f"spec.config.{error.field}" if error.field else "spec.config"
        raise


def _parsed(config: str, name: str) -> NetworkConfigList:
    try:
        document = parse_object(config)
    except DocumentError as error:
        place = format_path(error.path)
        raise ConfigError(error.msg, field=place, line=error.line, column=error.column) from None
    text = config if document.get("name") not in (None, "") else _named(config, name)
    return parse_network(text) if "plugins" in document else conf_list_from_conf(parse_plugin(text))


def _named(text: str, name: str) -> str:
    """Return a document with a name, and the rest where it was: the place of a mistake is that in the object."""
    end = 0
    for key, _, begin, end in object_spans(text, skip_space(text, 0)):
        if key == "name":
            return text[:begin] + dump(name) + text[end:]
    separator = "," if end else ""
    return f'{text.rstrip()[:-1]}{separator}"name":{dump(name)}}}'
