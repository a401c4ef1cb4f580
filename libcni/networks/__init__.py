"""The layer that a container runtime or an orchestrator embeds: all networks of a container in one call.

It follows a configuration directory, chooses the default network and the interface names, attaches and detaches
containers as a whole, and reconciles what is stored with what exists. Go counterpart: ``go-cni`` and ``ocicni``.
Source: SPEC 1.1.0, section 3.
"""

from __future__ import annotations

from libcni.networks.aio import Networks
from libcni.networks.blocking import BlockingNetworks
from libcni.networks.expected import Expected
from libcni.networks.join import Join
from libcni.networks.readiness import NetworkStatus, Status
from libcni.networks.reconcile import ReconcilePolicy, ReconcileStep
from libcni.networks.setup import AttachedInterface, MergedDNS, Setup
from libcni.networks.snapshot import ConfFile, Snapshot

__all__ = [
    "AttachedInterface",
    "BlockingNetworks",
    "ConfFile",
    "Expected",
    "Join",
    "MergedDNS",
    "NetworkStatus",
    "Networks",
    "ReconcilePolicy",
    "ReconcileStep",
    "Setup",
    "Snapshot",
    "Status",
]
