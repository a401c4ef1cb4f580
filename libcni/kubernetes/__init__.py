"""Kubernetes' multi-network convention: which networks a pod asks for, how it joins them, and what it reports.

Nothing here talks to a cluster: annotations are texts, and objects are the dicts that an API client returns. Go
counterpart: ``network-attachment-definition-client`` and Multus. Source: Network Plumbing Working Group, "Kubernetes
Network Custom Resource Definition De-facto Standard".
"""

from __future__ import annotations

from libcni.kubernetes.annotation import parse_networks_annotation
from libcni.kubernetes.definitions import joins
from libcni.kubernetes.selection import (
    NETWORK_STATUS_ANNOTATION,
    NETWORKS_ANNOTATION,
    RESOURCE_NAME_ANNOTATION,
    NetworkSelection,
    with_interface_names,
)
from libcni.kubernetes.status import check_assigned, network_status

__all__ = [
    "NETWORKS_ANNOTATION",
    "NETWORK_STATUS_ANNOTATION",
    "RESOURCE_NAME_ANNOTATION",
    "NetworkSelection",
    "check_assigned",
    "joins",
    "network_status",
    "parse_networks_annotation",
    "with_interface_names",
]
