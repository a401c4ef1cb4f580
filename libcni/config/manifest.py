"""Network configurations inside YAML: NetworkAttachmentDefinitions and ConfigMaps, several documents in a file.

A configuration is a text within the YAML text; each of its characters is found in the file again. PyYAML is imported
when YAML is read (extra ``yaml``). Source: Kubernetes Network Custom Resource Definition De-facto Standard v1.3,
section 3 (``spec.config``).
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcni.config.parse import parse_network_or_plugin
from libcni.errors import ConfigError, MissingExtraError
from libcni.jsontext.scan import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from libcni.config.model import NetworkConfigList

__all__ = ["NO_TEXT", "YAML_EXTENSIONS", "Embedded", "configurations_in", "is_configuration", "networks_in"]

YAML_EXTENSIONS = (".yaml", ".yml")
_KINDS = {"NetworkAttachmentDefinition", "ConfigMap"}
_EXTENSIONS = (".conflist", ".conf", ".json")
_DEVICE = "k8s.v1.cni.cncf.io/resourceName"
_MAX_DEPTH = 100

NO_TEXT = "must be a text of JSON; it is YAML"


@dataclass(frozen=True, slots=True)
class Embedded:
    """A configuration in a YAML text: its own text, where it stands, and the name of the object that has it.

    ``place`` leads to it, such as ``spec.config``; ``default_name`` is what Multus calls a network without a name.
    """

    text: str
    place: str
    is_list_file: bool
    default_name: str
    yaml: str
    offsets: Sequence[int]
    """The offset in ``yaml`` of each character of ``text``."""
    has_device: bool = False
    """Whether Multus puts a device of a device plugin into the first plugin, as ``deviceID`` and ``pciBusID``."""
    is_text: bool = True
    """Whether it is a text, and not YAML where a text should stand, which Kubernetes refuses."""

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Return line and column in the YAML text, from 1, of a character of the configuration."""
        at = self.offsets[min(offset, len(self.offsets) - 1)] if self.offsets else 0
        return place_of(self.yaml, at)


def is_configuration(text: str) -> bool:
    """Return whether a text is JSON, and no Kubernetes object in JSON: it is meant as one network configuration."""
    return text.lstrip().startswith("{") and not ('"apiVersion"' in text and '"kind"' in text)


def configurations_in(text: str, source: Path | None = None) -> list[Embedded]:
    """Return the configurations of the NetworkAttachmentDefinitions and ConfigMaps of a YAML text.

    :param source: the file, for errors.
    :raises ConfigError: if the text is no YAML; Helm's templates are none before they are rendered.
    :raises MissingExtraError: if PyYAML is not installed.
    """
    return [found for node in _documents(text, source) for found in _in_object(_members(node), text)]


def networks_in(text: str, source: Path | None = None) -> list[NetworkConfigList]:
    """Return the networks of a text: of a single configuration, or of all those in a YAML text.

    :param source: the file, for errors.
    :raises ConfigError: if the text is neither, or one of the configurations cannot be used.
    :raises MissingExtraError: if it is YAML, and PyYAML is not installed.
    """
    if is_configuration(text):
        return [parse_network_or_plugin(text, source=source)]
    return [_network(found, source) for found in configurations_in(text, source)]


def _network(found: Embedded, source: Path | None) -> NetworkConfigList:
    if not found.is_text:
        line, column = found.line_and_column(0)
        raise ConfigError(f"{found.place} {NO_TEXT}", source=source, line=line, column=column)
    return parse_network_or_plugin(found.text, default_name=found.default_name, source=source)


def _documents(text: str, source: Path | None) -> list[Any]:
    try:
        import yaml  # noqa: PLC0415 -- an extra
    except ImportError:
        raise MissingExtraError("reading YAML", "yaml") from None
    try:
        return list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        # PyYAML counts characters as line breaks that no editor takes for one.
        mark = getattr(error, "problem_mark", None)
        at = getattr(error, "position", 0) if mark is None else mark.index
        line, column = place_of(text, min(at, len(text)))
        raise ConfigError(f"is no YAML: {_reason(error, text)}", source=source, line=line, column=column) from None


def _reason(error: Exception, text: str) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    reason = getattr(error, "problem", None) or getattr(error, "reason", "cannot be read")
    return f"{reason}{'; render Helm templates first (helm template)' if '{{' in text else ''}"


def _members(node: Any) -> dict[str, Any]:  # noqa: ANN401 -- a node of PyYAML, which has no types here
    """Return the members of a mapping by their keys; nothing of another node."""
    pairs: list[tuple[Any, Any]] = node.value if getattr(node, "id", "") == "mapping" else []
    return {str(key.value): value for key, value in pairs if key.id == "scalar"}


def _scalar(node: Any) -> str:  # noqa: ANN401 -- as above
    return str(node.value) if getattr(node, "id", "") == "scalar" else ""


def _in_object(members: dict[str, Any], text: str, depth: int = 0) -> Iterator[Embedded]:
    kind = _scalar(members.get("kind"))
    if kind.endswith("List") and depth < _MAX_DEPTH:
        items: Any = members.get("items")
        listed: list[Any] = items.value if getattr(items, "id", "") == "sequence" else []
        for item in listed:
            yield from _in_object(_members(item), text, depth + 1)
    elif kind in _KINDS:
        yield from _of_definition(members, text) if kind != "ConfigMap" else _of_map(members, text)


def _of_definition(members: dict[str, Any], text: str) -> Iterator[Embedded]:
    node: Any = _members(members.get("spec")).get("config")
    metadata = _members(members.get("metadata"))
    if getattr(node, "id", "") in {"mapping", "sequence"}:
        yield _no_text(node, text)
    if _scalar(node).strip():
        is_list = '"plugins"' in _scalar(node)
        name, has_device = _scalar(metadata.get("name")), _DEVICE in _members(metadata.get("annotations"))
        yield Embedded(_scalar(node), "spec.config", is_list, name, text, _offsets(node, text), has_device)


def _no_text(node: Any, text: str) -> Embedded:  # noqa: ANN401 -- as above
    at, end = node.start_mark.index, node.end_mark.index
    return Embedded(text[at:end], "spec.config", False, "", text, range(at, end), is_text=False)  # noqa: FBT003 -- one line


def _of_map(members: dict[str, Any], text: str) -> Iterator[Embedded]:
    for key, node in _members(members.get("data")).items():
        value = _scalar(node)
        if key.endswith(".conflist") or (_looks_like_one(value) and (key.endswith(_EXTENSIONS) or "cni" in key)):
            yield Embedded(value, f"data[{key!r}]", key.endswith(".conflist"), "", text, _offsets(node, text))


def _looks_like_one(text: str) -> bool:
    """Return whether a text is meant as a network configuration; files of other programs end in .json too."""
    # What an installer fills in on the node, such as that of Calico, is a template.
    if "__" in text or not text.lstrip().startswith("{"):
        return False
    return '"plugins"' in text or ('"type"' in text and ('"cniVersion"' in text or '"ipam"' in text))


def _offsets(node: Any, text: str) -> list[int]:  # noqa: ANN401 -- as above
    """Find each character of a scalar in the YAML text.

    Quotes, folded lines and escapes put characters between them, and leave the order: each is the next that is alike.
    """
    at, end = node.start_mark.index, node.end_mark.index
    breaks = [index for index in range(at, end) if text[index] == "\n"]
    if node.style in {"|", ">"}:
        at = next((index + 1 for index in breaks), at)
    elif node.style in {"'", '"'}:
        at += 1
    offsets: list[int] = []
    for character in node.value:
        if character == "\n" and node.style not in {"'", '"', None}:
            following = bisect.bisect_left(breaks, at)
            at = breaks[following] if following < len(breaks) else at
            offsets.append(at)
            at = min(at + 1, end)
            continue
        found = text.find(character, at, end) if not character.isspace() else at
        offsets.append(found if found >= 0 else at)
        at = found + 1 if found >= 0 and not character.isspace() else at
    return offsets
