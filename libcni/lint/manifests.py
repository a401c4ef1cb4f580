"""Configurations inside YAML files, with places in the YAML file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.config.manifest import configurations_in
from libcni.errors import ConfigError
from libcni.lint.findings import Place, Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcni.config.manifest import Embedded
    from libcni.lint.findings import Findings

__all__ = ["EmbeddedSource", "embedded_in"]

_LINE_LIMIT = 200


class EmbeddedSource(Source):
    """A configuration within a YAML text, whose findings have their places there."""

    def __init__(self, file: Path, embedded: Embedded, document: object, *, findings: Findings) -> None:
        super().__init__(file, embedded.text, document, findings=findings)
        self._embedded = embedded
        if embedded.has_device:
            self.given = {"deviceID": "0000:00:00.0", "pciBusID": "0000:00:00.0"}
        self._starts = [0]
        for line in embedded.text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)

    def place_at(self, line: int, column: int, *, field: str) -> Place:
        """Return a place of the configuration as one of the YAML file."""
        offset = self._starts[min(line, len(self._starts)) - 1] + column - 1
        line, column = self._embedded.line_and_column(offset)
        shown = self._embedded.yaml.split("\n")[line - 1].removesuffix("\r")[:_LINE_LIMIT]
        return Place(self.file, line, column, field, shown, min(column - 1, len(shown)))


def embedded_in(path: Path, text: str, findings: Findings) -> Iterator[Embedded]:
    """Yield the configurations of a YAML text; what is no YAML is a finding."""
    try:
        yield from configurations_in(text, path)
    except ConfigError as error:
        findings.add("CNI006", Place(path, error.line, error.column), error.msg)
