"""The names of the well-known capabilities. Source: CONVENTIONS.md, "Dynamic Plugin specific fields"."""

from __future__ import annotations

__all__ = ["ARGUMENT_MODELS"]

ARGUMENT_MODELS = {
    "aliases": "AliasesArgument",
    "bandwidth": "BandwidthArgument",
    "cgroupPath": "CgroupPathArgument",
    "deviceID": "DeviceIDArgument",
    "dns": "DNSArgument",
    "infinibandGUID": "InfinibandGUIDArgument",
    "ipRanges": "IPRangesArgument",
    "ips": "IPsArgument",
    "mac": "MACArgument",
    "portMappings": "PortMappingsArgument",
}
"""The name of the model of each capability's argument: see :mod:`libcni.protocol.capabilities`."""
