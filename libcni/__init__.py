"""The runtime side of the Container Network Interface (CNI): load networks, run their plugins, keep their results.

This module is the one door to the library. Names load when they are first used, so that ``import libcni`` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libcni.api import CNIConfig
    from libcni.async_api import AsyncCNIConfig
    from libcni.config.load import (
        ConfDir,
        conf_files,
        conf_from_bytes,
        conf_from_file,
        load_conf,
        load_conf_dir,
        load_network_conf,
        network_conf_from_bytes,
        network_conf_from_file,
        network_plugin_conf_from_bytes,
        network_plugin_confs_from_files,
    )
    from libcni.config.load import load_network_conf as load_conf_list
    from libcni.config.load import network_conf_from_bytes as conf_list_from_bytes
    from libcni.config.load import network_conf_from_file as conf_list_from_file
    from libcni.config.model import NetworkConfigList, PluginConfig
    from libcni.config.parse import conf_list_from_conf, inject_conf
    from libcni.errors import (
        AttachmentExistsError,
        AttachmentNotFoundError,
        CacheError,
        CheckNotSupportedError,
        CNIError,
        CNIErrorGroup,
        ConfigError,
        ErrorCode,
        IncompatibleVersionError,
        InvalidParameterError,
        LockTimeoutError,
        MissingExtraError,
        NetworkNotFoundError,
        NoConfigsFoundError,
        PluginError,
        PluginNotFoundError,
        PluginOutputError,
        PluginTimeoutError,
        ResultError,
        VersionError,
    )
    from libcni.protocol.attachment import GCAttachment, Recovery, RuntimeConf
    from libcni.protocol.versions import CURRENT_VERSION, SUPPORTED_VERSIONS, PluginInfo
    from libcni.results.result import DNS, Interface, IPConfig, Result, Route
    from libcni.storage.attachment import NetworkAttachment

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 -- grouped by what a user looks for
    # the verbs
    "AsyncCNIConfig",
    "CNIConfig",
    # what they are called with, and what they return
    "GCAttachment",
    "NetworkAttachment",
    "PluginInfo",
    "Recovery",
    "RuntimeConf",
    # configurations
    "ConfDir",
    "NetworkConfigList",
    "PluginConfig",
    "conf_files",
    "conf_from_bytes",
    "conf_from_file",
    "conf_list_from_bytes",
    "conf_list_from_conf",
    "conf_list_from_file",
    "inject_conf",
    "load_conf",
    "load_conf_dir",
    "load_conf_list",
    "load_network_conf",
    "network_conf_from_bytes",
    "network_conf_from_file",
    "network_plugin_conf_from_bytes",
    "network_plugin_confs_from_files",
    # results
    "CURRENT_VERSION",
    "DNS",
    "IPConfig",
    "Interface",
    "Result",
    "Route",
    "SUPPORTED_VERSIONS",
    # errors
    "AttachmentExistsError",
    "AttachmentNotFoundError",
    "CNIError",
    "CNIErrorGroup",
    "CacheError",
    "CheckNotSupportedError",
    "ConfigError",
    "ErrorCode",
    "IncompatibleVersionError",
    "InvalidParameterError",
    "LockTimeoutError",
    "MissingExtraError",
    "NetworkNotFoundError",
    "NoConfigsFoundError",
    "PluginError",
    "PluginNotFoundError",
    "PluginOutputError",
    "PluginTimeoutError",
    "ResultError",
    "VersionError",
]

_ALIASES = {
    "conf_list_from_bytes": "network_conf_from_bytes",
    "conf_list_from_file": "network_conf_from_file",
    "load_conf_list": "load_network_conf",
}

# In the order of import cost: a name is looked for where it costs least.
_MODULES = {
    "libcni.errors": {name for name in __all__ if name.endswith(("Error", "Group", "Code"))},
    "libcni.protocol.versions": {"CURRENT_VERSION", "SUPPORTED_VERSIONS", "PluginInfo"},
    "libcni.protocol.attachment": {"GCAttachment", "Recovery", "RuntimeConf"},
    "libcni.storage.attachment": {"NetworkAttachment"},
    "libcni.results.result": {"DNS", "IPConfig", "Interface", "Result", "Route"},
    "libcni.config.model": {"NetworkConfigList", "PluginConfig"},
    "libcni.config.parse": {"conf_list_from_conf", "inject_conf"},
    "libcni.api": {"CNIConfig"},
    "libcni.async_api": {"AsyncCNIConfig"},
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _MODULES.items() if name in names), "libcni.config.load")
    value: object = getattr(import_module(home), _ALIASES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
