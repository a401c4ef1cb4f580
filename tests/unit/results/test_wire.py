"""The table of the wire formats has the members of the models of each version, and the attributes in memory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from libcni import DNS, SUPPORTED_VERSIONS, Interface, IPConfig, Result, Route
from libcni.protocol import documents
from libcni.results import wire
from libcni.results.check import WIRE_FORMATS

if TYPE_CHECKING:
    from libcni.protocol.documents import Document
    from libcni.results.wire import Table

RESULTS: dict[str, type[Document]] = {
    "01": documents.ResultDocument01,
    "03": documents.ResultDocument03,
    "10": documents.ResultDocument10,
    "11": documents.ResultDocument11,
}
IPS: dict[str, type[Document]] = {
    "01": documents.IPDocument01,
    "03": documents.IPDocument03,
    "10": documents.IPDocument,
    "11": documents.IPDocument,
}


@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
def test_table_has_the_members_of_the_model_of_each_version(version: str) -> None:
    wire_format = WIRE_FORMATS[version]
    is_newest = wire_format == "11"
    models: dict[Table, type[Document]] = {
        wire.RESULT: RESULTS[wire_format],
        wire.IP: IPS[wire_format],
        wire.ROUTE: documents.RouteDocument11 if is_newest else documents.RouteDocument,
        wire.DNS: documents.DNSDocument,
    }
    if wire_format != "01":
        models[wire.INTERFACE] = documents.InterfaceDocument11 if is_newest else documents.InterfaceDocument
    for table, model in models.items():
        assert table.names(version) == model.model_fields.keys(), model


@pytest.mark.parametrize(
    ("table", "kind"),
    [(wire.INTERFACE, Interface), (wire.IP, IPConfig), (wire.ROUTE, Route), (wire.DNS, DNS)],
    ids=["interface", "ip", "route", "dns"],
)
def test_newest_version_keeps_and_writes_every_attribute(table: Table, kind: type[Interface]) -> None:
    assert not table.dropped("1.1.0")
    assert len(table.names("1.1.0")) == len(dataclasses.fields(kind)) - 1  # extra is no member


def test_dropped_attributes_get_the_values_of_absent_ones() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Interface)}
    dropped = wire.INTERFACE.dropped("1.0.0")
    assert dropped == {name: defaults[name] for name in ("mtu", "socket_path", "pci_id")}
    assert wire.IP.dropped("0.2.0") == {"interface": None}
    assert Result().as_version("0.2.0").interfaces == ()
