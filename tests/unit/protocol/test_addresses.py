"""Addresses: the grammar takes every text that a parser takes, and is linear in the length of the text."""

from __future__ import annotations

import re

import pytest

from libcni.protocol.addresses import (
    CIDR,
    IP,
    IP_OR_CIDR,
    check_hardware_address,
    check_mac,
    parse_address,
    parse_address_or_cidr,
    parse_cidr,
    parse_subnet,
)

ADDRESSES = ["10.1.0.5", "255.255.255.255", "::", "::1", "fd00::5", "FE80::1:2", "::ffff:10.1.0.5", "1:2:3:4:5:6:7:8"]


@pytest.mark.parametrize("text", ADDRESSES)
def test_address_and_grammar_agree_on_what_is_one(text: str) -> None:
    prefix = "/24" if "." in text and ":" not in text else "/64"
    assert re.fullmatch(IP, text)
    assert re.fullmatch(CIDR, text + prefix)
    assert parse_address_or_cidr(text) == parse_address(text)
    assert parse_address_or_cidr(text + prefix) == parse_cidr(text + prefix)
    assert re.fullmatch(IP_OR_CIDR, text)
    assert re.fullmatch(IP_OR_CIDR, text + prefix)


@pytest.mark.parametrize(
    "text", ["10.1.0/16", "10.1.0.5", "10.1.0.5/255.255.0.0", "fe80::1%eth0/64", "10.1.0.5/33", "/8"]
)
def test_parse_cidr_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"10\.1|fe80|/8"):
        parse_cidr(text)


@pytest.mark.timeout(20)
def test_parse_cidr_of_a_long_text_takes_no_time_that_grows_with_its_square() -> None:
    with pytest.raises(ValueError, match="not an address with a prefix length"):
        parse_cidr(":" * 1_000_000)


def test_parse_subnet_refuses_host_bits_and_names_the_subnet() -> None:
    with pytest.raises(ValueError, match=r"host bits set; the subnet is '10\.1\.0\.0/16'"):
        parse_subnet("10.1.0.5/16")


@pytest.mark.parametrize("text", ["0a:58:0a:01:02", "0a:58:0a:01:02:0g", "0a:58:0a:01:02:03\n"])
def test_check_mac_refuses_what_is_none(text: str) -> None:
    for check in (check_mac, check_hardware_address):
        with pytest.raises(ValueError, match="is not a hardware address"):
            check(text)


def test_hardware_address_of_infiniband_has_twenty_octets() -> None:
    check_hardware_address(":".join(["80"] * 20))
    with pytest.raises(ValueError, match="is not a hardware address"):
        check_hardware_address(":".join(["80"] * 13))
    with pytest.raises(ValueError, match="is not a hardware address"):
        check_mac(":".join(["80"] * 20))
