"""The public surface: names, signatures, fields, and ``__all__`` of every module."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from typing import TYPE_CHECKING

import pytest

import libcni
from libcni import AsyncCNIConfig, CNIConfig, errors
from libcni.invoke import AnyioRunner, BlockingRunner, Runner
from libcni.testing import RecordingRunner, ReplayRunner, ScriptedRunner
from tests.contract.modules import load, module_names, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LOADING = {
    "conf_files": "directory, extensions",
    "conf_from_bytes": "data",
    "conf_from_file": "path",
    "conf_list_from_bytes": "data",
    "conf_list_from_file": "path",
    "inject_conf": "plugin_config, values",
    "load_conf": "directory, name",
    "load_conf_dir": "directory",
    "load_conf_list": "directory, name",
    "load_network_conf": "directory, name",
    "network_conf_from_bytes": "data",
    "network_conf_from_file": "path",
    "network_plugin_conf_from_bytes": "data",
    "network_plugin_confs_from_files": "directory, network_name",
}

VERBS = {
    "add_network_list": "network, rt, *, rollback=True, timeout=...",
    "add_network": "plugin, rt, *, rollback=True, timeout=...",
    "check_network_list": "network, rt, *, timeout=...",
    "check_network": "plugin, rt, *, timeout=...",
    "del_network_list": "network, rt, *, timeout=...",
    "del_network": "plugin, rt, *, timeout=...",
    "gc_network_list": "network, valid_attachments, *, dry_run=False, timeout=...",
    "gc_networks": "networks, valid_attachments, *, dry_run=False, timeout=...",
    "get_status_network_list": "network, *, timeout=...",
    "validate_network_list": "network, *, timeout=...",
    "validate_network": "plugin, *, timeout=...",
    "get_version_info": "plugin_type, *, timeout=...",
    "get_network_list_cached_result": "network, rt",
    "get_network_cached_result": "plugin, rt",
    "get_network_list_cached_config": "network, rt",
    "get_network_cached_config": "plugin, rt",
    "get_cached_attachments": "container_id=None",
    "forget": "container_id, *, ifname=None, network=None",
    "pending": "",
    "recover": "*, timeout=...",
}

ERRORS = {
    "CNIError": ("code", "msg", "details"),
    "ConfigError": ("source", "field", "line", "column"),
    "NoConfigsFoundError": ("directory",),
    "NetworkNotFoundError": ("directory", "name"),
    "InvalidParameterError": ("name", "value"),
    "VersionError": (),
    "IncompatibleVersionError": (),
    "CheckNotSupportedError": (),
    "ResultError": ("plugin", "field"),
    "PluginError": (
        *("plugin", "path", "command", "network", "container_id", "ifname"),
        *("exit_status", "signal", "stderr", "duration"),
    ),
    "PluginNotFoundError": ("paths",),
    "PluginOutputError": ("stdout",),
    "PluginTimeoutError": ("timeout",),
    "AttachmentExistsError": ("network", "container_id", "ifname"),
    "AttachmentNotFoundError": ("network", "container_id", "ifname"),
    "LockTimeoutError": ("container_id", "holder"),
    "CacheError": ("path",),
    "CNIErrorGroup": ("exceptions",),
}

DATA = {
    "GCAttachment": ("container_id", "ifname"),
    "NetworkAttachment": (
        *("container_id", "network", "ifname", "config", "netns", "cni_args", "capability_args", "result"),
    ),
    "PluginInfo": ("cni_version", "supported_versions"),
    "Recovery": ("network", "container_id", "ifname", "done", "error"),
    "RuntimeConf": ("container_id", "netns", "ifname", "args", "capability_args"),
    "Result": ("cni_version", "interfaces", "ips", "routes", "dns", "extra"),
    "Interface": ("name", "mac", "mtu", "sandbox", "socket_path", "pci_id", "extra"),
    "IPConfig": ("address", "gateway", "interface", "extra"),
    "Route": ("dst", "gw", "mtu", "advmss", "priority", "table", "scope", "extra"),
    "DNS": ("nameservers", "domain", "search", "options", "extra"),
}


def signature_text(function: object) -> str:
    """Write a signature without types, with ``...`` for the default of ``timeout``."""
    parts: list[str] = []
    is_keyword_only = False
    for parameter in inspect.signature(function).parameters.values():  # type: ignore[arg-type]  # callable, as asserted
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword_only:
            is_keyword_only = True
            parts.append("*")
        default = "..." if parameter.name == "timeout" else repr(parameter.default)
        parts.append(parameter.name if parameter.default is parameter.empty else f"{parameter.name}={default}")
    return ", ".join(parts)


@pytest.mark.parametrize("name", sorted(LOADING))
def test_loading_function_has_its_signature(name: str) -> None:
    assert callable(getattr(libcni, name))
    assert signature_text(getattr(libcni, name)) == LOADING[name]


def test_upconversion_takes_one_plugin() -> None:
    parameters = list(inspect.signature(libcni.conf_list_from_conf).parameters.values())
    assert parameters[0].name == "plugin_config"
    assert all(parameter.default is not parameter.empty for parameter in parameters[1:])


@pytest.mark.parametrize("alias", ["bytes", "file"])
def test_other_names_are_the_same_functions(alias: str) -> None:
    assert getattr(libcni, f"conf_list_from_{alias}") is getattr(libcni, f"network_conf_from_{alias}")
    assert libcni.load_conf_list is libcni.load_network_conf


@pytest.mark.parametrize("cls", [CNIConfig, AsyncCNIConfig], ids=lambda cls: cls.__name__)
def test_constructor_has_its_defaults(cls: type) -> None:
    parameters = inspect.signature(cls).parameters
    assert {name: parameter.default for name, parameter in parameters.items() if name != "path"} == {
        "cache_dir": "/var/lib/cni",
        "runner": None,
        "timeout": 120.0,
        "lock_timeout": 60.0,
        "environ": None,
        "owner": None,
        "durable": True,
        "on_event": None,
    }
    assert next(iter(parameters)) == "path"
    assert all(parameter.kind is parameter.KEYWORD_ONLY for name, parameter in parameters.items() if name != "path")


@pytest.mark.parametrize("name", sorted(VERBS))
def test_verb_has_its_signature_in_both_flavours(name: str) -> None:
    blocking, awaitable = getattr(CNIConfig, name), getattr(AsyncCNIConfig, name)
    assert signature_text(blocking) == signature_text(awaitable) == VERBS[name]
    assert inspect.signature(blocking) == inspect.signature(awaitable)
    assert inspect.iscoroutinefunction(awaitable)
    assert not inspect.iscoroutinefunction(blocking)


@pytest.mark.parametrize("cls", [CNIConfig, AsyncCNIConfig], ids=lambda cls: cls.__name__)
def test_class_has_no_other_verb(cls: type) -> None:
    assert {name for name, value in vars(cls).items() if not name.startswith("_") and callable(value)} == set(VERBS)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_error_has_its_fields(name: str) -> None:
    cls = getattr(libcni, name)
    assert cls is getattr(errors, name)
    assert issubclass(cls, errors.CNIError)
    definitions = {node.name: node for node in tree_of(errors.__name__).body if isinstance(node, ast.ClassDef)}
    assigned = {
        node.attr
        for base in cls.__mro__
        if base.__name__ in definitions
        for node in ast.walk(definitions[base.__name__])
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    assert set(ERRORS[name]) <= assigned | set(dir(cls))


def test_no_public_error_is_outside_the_table() -> None:
    exceptions = {name for name in libcni.__all__ if name.endswith(("Error", "ErrorGroup"))}
    assert exceptions == {*ERRORS, "MissingExtraError"}


@pytest.mark.parametrize("name", sorted(DATA))
def test_data_has_its_fields_in_order_and_is_immutable(name: str) -> None:
    cls = getattr(libcni, name)
    if dataclasses.is_dataclass(cls):
        assert tuple(field.name for field in dataclasses.fields(cls)) == DATA[name]
        assert vars(cls)["__dataclass_params__"].frozen
    else:
        assert cls._fields == DATA[name]


@pytest.mark.parametrize("runner", [BlockingRunner, AnyioRunner, ScriptedRunner, ReplayRunner, RecordingRunner])
def test_runner_has_every_method_of_the_protocol(runner: type) -> None:
    for name, wanted in inspect.getmembers(Runner, inspect.isfunction):
        if name.startswith("_"):
            continue
        if runner is RecordingRunner and name != "run":
            continue  # it takes the methods of the runner that does the work
        method = getattr(runner, name)
        assert list(inspect.signature(method).parameters) == list(inspect.signature(wanted).parameters)


def test_invoke_offers_what_plugins_and_runtimes_need() -> None:
    invoke = importlib.import_module("libcni.invoke")
    names = {"find_in_path", "PluginCall", "PluginOutput", "Runner", "BlockingRunner", "AnyioRunner"}
    delegates = {f"delegate_{verb}" for verb in ("add", "check", "del", "gc", "status")}
    assert names | delegates == set(invoke.__all__)
    output = {field.name for field in dataclasses.fields(invoke.PluginOutput)}
    assert {"stdout", "stderr", "exit_status", "signal", "duration", "max_rss", "cpu_seconds"} <= output
    call = {field.name for field in dataclasses.fields(invoke.PluginCall)}
    assert {"path", "stdin", "environment", "timeout"} <= call
    assert {"ScriptedRunner", "RecordingRunner", "ReplayRunner"} <= set(load("libcni.testing").__all__)


def _defined(name: str) -> Iterator[str]:
    """Go through the public names that a module defines at its top."""
    for node in tree_of(name).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


@pytest.mark.parametrize("name", module_names())
def test_all_of_a_module_is_true_and_complete(name: str) -> None:
    module = load(name)
    if not (offered := getattr(module, "__all__", None)):
        assert list(_defined(name)) == []
        return
    assert len(offered) == len(set(offered))
    assert [each for each in offered if not hasattr(module, each)] == []
    # "main" runs a module as a program.
    assert set(_defined(name)) - set(offered) - {"main"} == set()


def test_all_of_the_package_is_what_can_be_imported() -> None:
    assert set(libcni.__all__) <= set(dir(libcni))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = libcni.nothing
