"""Whose an interface is, as far as what is stored tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from libcni.protocol.attachment import AttachmentKey
from libcni.storage import namespace
from libcni.storage.namespace import NamespaceView, NetnsIdentity, identify
from libcni.verbs.holders import Holder

if TYPE_CHECKING:
    from pathlib import Path

OWN = "/proc/self/ns/net"
KEY = AttachmentKey("net", "box", "eth0")
OTHER = NetnsIdentity(device=4, inode=7, created=100, cookie=9, process=0, boot_id="boot")


def own() -> NetnsIdentity:
    found = identify(OWN)
    assert found is not None
    return found


def test_holder_without_identity_is_where_its_path_leads_now() -> None:
    assert Holder(KEY, OWN, None).is_in(own())
    assert not Holder(KEY, "", None).is_in(own())
    assert not Holder(KEY, OWN, None).is_in(OTHER)


def test_holder_whose_inode_was_made_anew_is_known_at_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    now = own()
    holder = Holder(KEY, OWN, now._replace(created=1, cookie=5))
    assert not holder.is_in(now._replace(created=2, cookie=6))
    monkeypatch.setattr("libcni.verbs.holders.is_same_namespace", lambda _path, _known: True)
    assert holder.is_in(now._replace(created=2, cookie=0))


@pytest.mark.parametrize("ifindex", [None, 0, 3])
def test_interface_is_gone_only_where_that_is_seen(tmp_path: Path, ifindex: int | None) -> None:
    view = NamespaceView(OTHER, ifindex)
    is_gone = ifindex == 0
    assert Holder(KEY, "/x", OTHER).is_gone(view) is is_gone
    assert Holder(KEY, "", None).is_gone(view) is is_gone
    is_seen = ifindex is not None
    assert Holder(KEY, "/nowhere", OTHER._replace(cookie=1)).is_gone(view) is is_seen
    assert Holder(KEY, str(tmp_path / "nothing"), None).is_gone(view) is is_seen
    assert Holder(KEY, str(tmp_path), None).is_gone(view) is False
    assert Holder(KEY, OWN, None).is_gone(NamespaceView()) is False


def test_interface_is_looked_for_in_the_namespace_of_the_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    for ifindex, expected in ((0, True), (3, False), (None, False)):
        view = NamespaceView(own(), ifindex)
        monkeypatch.setattr("libcni.verbs.holders.look_into", lambda _path, _name, view=view: view)
        assert Holder(KEY, OWN, None).is_gone(NamespaceView(OTHER, 0)) is expected
    assert namespace.look_into(OWN, "lo").identity is not None
