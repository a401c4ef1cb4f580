"""Readiness: STATUS from 1.1.0 on, below it binaries and versions; never longer than its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.networks.readiness import ReadinessProbe
from libcni.testing import failure, success

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from libcni.testing import ScriptedRunner
    from tests.networks.conftest import Directory, Face


def states(networks: Face) -> dict[str, str]:
    return {each.network: each.state for each in networks.status().networks}


def test_status_is_that_of_the_default_network(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b", "other")
    networks = make()
    runner.answer("other", "STATUS", failure(50, "starting"))
    status = networks.status()
    assert (status.ready, status.reason, status.message) == (True, "", "")
    assert [(each.network, each.state, each.ready, each.is_default) for each in status.networks] == [
        ("a", "ready", True, True),
        ("b", "not ready", False, False),
    ]
    assert "starting" in status.networks[1].reasons[0]
    runner.answer("bridge", "STATUS", [failure(51, "limited"), failure(99, "what"), success()])
    limited = networks.status()
    assert (limited.ready, limited.reason) == (False, "NetworkPluginNotReady")
    assert limited.message.startswith("network 'a' is limited: ")
    assert states(networks)["a"] == "unknown"


def test_status_without_a_default_says_why(conf: Directory, make: Callable[..., Face], runner: ScriptedRunner) -> None:
    networks = make()
    assert networks.status().message == f"there is no configuration file in {conf.path}"
    runner.missing |= {"later", "assigner"}
    conf.network("10-a.conflist", "a", "later", {"type": "bridge", "ipam": {"type": "assigner"}})
    networks.reload()
    status = networks.status()
    assert not status.ready
    reason = "10-a.conflist: waits for plugin 'later', 'assigner', which is not installed"
    assert status.message == f"no network in {conf.path} can be used: {reason}"
    assert status.networks[0].reasons == ("plugin 'later' is not installed", "plugin 'assigner' is not installed")


def test_pinned_network_is_waited_for(conf: Directory, make: Callable[..., Face], runner: ScriptedRunner) -> None:
    conf.network("10-a.conflist", "a")
    networks = make(default_network="b")
    assert networks.snapshot.default is None
    assert networks.status().message == "network 'b' is pinned as the default, and no file defines it"
    runner.missing.add("later")
    conf.network("20-b.conflist", "b", "later")
    networks.reload()
    assert "it waits for plugin 'later'" in networks.status().message
    runner.missing.clear()
    networks.reload()
    assert networks.snapshot.find_default().name == "b"
    assert networks.status().ready


def test_status_below_its_version_is_derived_from_versions(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.network("10-a.conflist", "a", version="1.0.0")
    binary = tmp_path / "bridge"
    binary.write_text("one")
    monkeypatch.setattr(runner, "find", lambda *_: str(binary))
    old = success({"cniVersion": "0.4.0", "supportedVersions": ["0.4.0"]})
    new = success({"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]})
    runner.answer("bridge", "VERSION", [old, new])
    networks = make()
    status = networks.status()
    assert status.message == "network 'a' is not ready: plugin 'bridge' does not support version 1.0.0 (0.4.0)"
    assert not networks.status().ready
    assert [call.command for call in runner.calls] == ["VERSION"]
    binary.write_text("another one")
    assert networks.status().ready
    binary.unlink()
    assert networks.status().ready
    assert len(runner.calls) == 3


def test_plugin_without_versions_is_of_unknown_readiness(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a", version="1.0.0")
    runner.answer("bridge", "VERSION", failure(7, "what"))
    assert states(make()) == {"a": "unknown"}


def test_known_versions_are_bounded(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.network("10-a.conflist", "a", *[f"plugin-{number}" for number in range(5)], version="1.0.0")
    monkeypatch.setattr("libcni.networks.readiness._KNOWN_VERSIONS", 2)
    for number in range(5):
        (tmp_path / f"plugin-{number}").write_text("")
        answer = success({"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]})
        runner.answer(f"plugin-{number}", "VERSION", answer)
    monkeypatch.setattr(runner, "find", lambda plugin, _: str(tmp_path / plugin))
    networks = make()
    assert networks.status().ready
    assert len(networks.networks._embedding.probe._versions) <= 2


def test_probe_has_a_limit_of_its_own(make: Callable[..., Face]) -> None:
    context = make().networks._embedding.operations.context
    assert ReadinessProbe(context, None)._timeout == ReadinessProbe(context, 500.0)._timeout == 10.0
    assert ReadinessProbe(context, 2.0)._timeout == 2.0


def test_changes_of_the_status_are_told(conf: Directory, make: Callable[..., Face], runner: ScriptedRunner) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    runner.answer("bridge", "STATUS", [failure(50, "starting"), failure(50, "starting"), success()])
    found = networks.first("status_changes", 2, lambda _: None, interval=0.01)
    assert [status.ready for status in found] == [False, True]
