"""Snapshots of a configuration directory: what is chosen, what stays, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcni import NetworkNotFoundError, PluginNotFoundError, load_conf_dir
from libcni.networks.snapshot import Snapshot, read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.networks.conftest import Directory, Face


class Plugins:
    """The plugins that are installed: all but some."""

    def __init__(self, *missing: str) -> None:
        self.missing = set(missing)

    def __call__(self, plugin: str) -> str:
        if plugin in self.missing:
            raise PluginNotFoundError(f"no {plugin}", plugin=plugin, paths=())
        return plugin


def read(
    conf: Directory, *, previous: Snapshot | None = None, pinned: str | None = None, missing: str = ""
) -> Snapshot:
    return read_snapshot(conf.path, Plugins(missing), pinned=pinned, previous=previous)


def said(snapshot: Snapshot) -> dict[str, str]:
    return {item.path.name: item.state for item in snapshot.explain()}


def test_every_file_is_explained_in_order(conf: Directory) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("05-late.conflist", "late", "later")
    conf.network("20-b.conflist", "b")
    conf.network("30-a.conflist", "a", "other")
    conf.write("40-bad.conf", "{")
    conf.write("10-a.conflist.bak", "{")
    (conf.path / "directory").mkdir()
    snapshot = read(conf, missing="later")
    assert [str(item) for item in snapshot.explain()] == [
        f"{conf.path}/05-late.conflist: waiting: waits for plugin 'later', which is not installed",
        f"{conf.path}/10-a.conflist: default: the first in lexical order that can be used",
        f"{conf.path}/10-a.conflist.bak: ignored: its name ends in none of .conflist, .conf, .json",
        f"{conf.path}/20-b.conflist: in use: can be joined as 'b'; the default is 'a', as 10-a.conflist comes first",
        f"{conf.path}/30-a.conflist: shadowed: network 'a' is already defined in 10-a.conflist",
        f"{conf.path}/40-bad.conf: broken: {snapshot.problems[1].msg}",
    ]
    assert [Path(problem.source or "").name for problem in snapshot.problems] == ["30-a.conflist", "40-bad.conf"]
    assert snapshot.missing_plugins == {"late": ("later",)}
    assert [network.name for network in snapshot.networks] == ["late", "a", "b"]


def test_page_shows_what_an_explanation_says(conf: Directory) -> None:
    conf.network("05-lab.conflist", "lab", "lab")
    conf.network("10-front.conflist", "front")
    conf.network("20-back.conflist", "back")
    conf.write("10-front.conflist.bak", "{")
    said_here = "".join(f"{item}\n" for item in read(conf, missing="lab").explain())
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    assert f"```console\n{said_here.replace(str(conf.path), '/etc/cni/net.d')}```" in page


def test_snapshot_has_the_networks_of_the_directory(conf: Directory) -> None:
    for number in range(5):
        conf.network(f"{number}.conflist", f"net-{number}")
    assert tuple(read(conf).networks) == tuple(load_conf_dir(conf.path).networks)


def test_pinned_network_is_the_default_wherever_it_stands(conf: Directory) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b")
    snapshot = read(conf, pinned="b")
    assert snapshot.default is snapshot.networks[1]
    assert [item.reason for item in snapshot.explain()] == [
        "can be joined as 'a'; 'b' is pinned as the default",
        "pinned as the default",
    ]
    missing = read(conf, pinned="c")
    assert missing.default is None
    with pytest.raises(NetworkNotFoundError, match="'c'"):
        missing.find_default()


def test_bad_file_keeps_its_last_good_network_until_it_is_mended_or_removed(conf: Directory) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b")
    good = read(conf)
    conf.write("10-a.conflist", "{")
    bad = read(conf, previous=good)
    assert tuple(bad.networks) == tuple(good.networks)
    assert bad.default == good.default
    assert (bad.generation, said(bad)) == (1, {"10-a.conflist": "kept", "20-b.conflist": "in use"})
    assert len(bad.problems) == 1
    assert read(conf, previous=bad) is bad
    conf.network("10-a.conflist", "a", "other")
    mended = read(conf, previous=bad)
    assert mended.networks[0].plugins[0].type == "other"
    conf.write("10-a.conflist", "{")
    worse = read(conf, previous=mended)
    conf.remove("10-a.conflist")
    gone = read(conf, previous=worse)
    assert [network.name for network in gone.networks] == ["b"]
    assert gone.generation == 4


def test_good_file_counts_before_the_last_good_network_of_a_bad_one(conf: Directory) -> None:
    conf.network("10-a.conflist", "a")
    good = read(conf)
    conf.write("10-a.conflist", "{")
    conf.network("20-a.conflist", "a", "other")
    snapshot = read(conf, previous=good)
    assert snapshot.networks[0].plugins[0].type == "other"
    assert said(snapshot) == {"10-a.conflist": "broken", "20-a.conflist": "default"}


def test_unchanged_network_is_the_same_object_in_the_next_snapshot(conf: Directory) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b")
    first = read(conf)
    conf.network("20-b.conflist", "b", "ptp")
    second = read(conf, previous=first)
    assert second.find("a") is first.find("a")
    assert [plugin.type for plugin in second.find("b").plugins] == ["ptp"]


def test_drop_ins_that_come_change_and_go_are_seen_although_the_list_stays_the_same(conf: Directory) -> None:
    conf.network("10-a.conflist", "a")
    snapshot, drop_in = read(conf), conf.path / "a" / "10.conf"
    drop_in.parent.mkdir()
    for types in ("tuning", "portmap", ""):
        if types:
            drop_in.write_text(f'{{"type": "{types}"}}')
        else:
            drop_in.unlink()
        snapshot = read(conf, previous=snapshot)
        assert [plugin.type for plugin in snapshot.find("a").plugins] == ["bridge", *([types] if types else [])]


@pytest.mark.parametrize("target", ["a" * 300, "itself", "/proc/1/none/none", "none"])
def test_link_that_leads_nowhere_hides_no_network(conf: Directory, target: str) -> None:
    conf.network("10-a.conflist", "a")
    (conf.path / "itself").symlink_to(target)
    snapshot = read_snapshot(conf.path, lambda _: None)
    assert [network.name for network in snapshot.networks] == ["a"]
    assert not snapshot.problems


def test_directory_that_is_a_file_keeps_everything_and_is_a_problem(conf: Directory) -> None:
    conf.network("10-a.conflist", "a")
    good = read(conf)
    conf.remove("10-a.conflist")
    conf.path.rmdir()
    conf.path.write_text("")
    snapshot = read(conf, previous=good)
    assert tuple(snapshot.networks) == tuple(good.networks)
    assert "cannot be read" in snapshot.problems[0].msg
    assert read(conf).networks == ()


def test_changed_snapshot_is_told_and_an_equal_one_is_not(conf: Directory, make: Callable[..., Face]) -> None:
    networks = make()

    def act(number: int) -> None:
        conf.network(f"{number}.conflist", f"net-{number}")
        networks.networks._embedding.feed.reload()
        networks.networks._embedding.feed.reload()

    found = networks.first("changes", 3, act)
    assert [snapshot.generation for snapshot in found] == [0, 1, 2]
    assert [len(snapshot.networks) for snapshot in found] == [0, 1, 2]
    before = networks.snapshot
    assert networks.reload() is before
