"""Files and directories: which are read, in which order, and what a bad one does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcni import (
    ConfigError,
    InvalidParameterError,
    NetworkNotFoundError,
    NoConfigsFoundError,
    conf_files,
    conf_from_file,
    conf_list_from_file,
    load_conf,
    load_conf_dir,
    load_conf_list,
    load_network_conf,
    network_conf_from_file,
    network_plugin_confs_from_files,
)
from libcni.config import load as loader
from libcni.jsontext.encode import dump

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = (".conf", ".conflist", ".json")


def write_list(path: Path, name: str = "net", *types: str, **members: Any) -> Path:
    plugins = [{"type": kind} for kind in types or ("bridge",)]
    path.write_text(dump({"cniVersion": "1.0.0", "name": name, "plugins": plugins} | members))
    return path


def write_plugin(path: Path, name: str = "net", kind: str = "bridge", **members: Any) -> Path:
    path.write_text(dump({"cniVersion": "0.4.0", "name": name, "type": kind} | members))
    return path


# Listing


def test_conf_files_of_missing_directory_is_empty(tmp_path: Path) -> None:
    assert conf_files(tmp_path / "missing", ALL) == []


def test_conf_files_have_the_extensions_and_are_no_directories(tmp_path: Path) -> None:
    names = [".conf", "a.conf", "b.conflist", "c.json", "d.CONF", "e.conf~", "f", "conf", "g.conf.bak", "h.yaml"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "x.conf").mkdir()
    (tmp_path / "y.conf").symlink_to(tmp_path / "x.conf")
    assert [path.name for path in conf_files(tmp_path, [".conf"])] == [".conf", "a.conf"]
    assert [path.name for path in conf_files(str(tmp_path), ALL)] == [".conf", "a.conf", "b.conflist", "c.json"]
    assert conf_files(tmp_path, []) == []
    assert all(path.parent == tmp_path for path in conf_files(tmp_path, ALL))


def test_conf_files_are_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    # Bytes 42, 61, 62, c3a4, f09f and a byte that is no UTF-8: as text, with its stand-in, that one would come earlier.
    names = [b"B.conf", b"a.conf", b"b.conf", "ä.conf".encode(), "🂡.conf".encode(), b"\xff.conf"]
    for name in reversed(names):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    assert [os.fsencode(path.name) for path in conf_files(tmp_path, ALL)] == names


def test_conf_files_of_a_file_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        conf_files(tmp_path / "file", ALL)


@pytest.mark.parametrize(
    "load", [load_conf_dir, conf_from_file, network_conf_from_file], ids=lambda load: load.__name__
)
def test_path_with_nul_is_an_invalid_parameter(load: Callable[[str], object]) -> None:
    with pytest.raises(InvalidParameterError):
        load("/etc/cni\0/net.d")


# One file


def test_network_from_file_knows_its_source(tmp_path: Path) -> None:
    path = write_list(tmp_path / "a.conflist")
    loaded = network_conf_from_file(str(path))
    assert (loaded.source, loaded.raw) == (path, path.read_bytes())
    assert loaded == conf_list_from_file(path)


def test_mistake_in_a_file_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.conflist"
    path.write_text('{"name": "net",\n "plugins": [{}]}')
    with pytest.raises(ConfigError) as caught:
        network_conf_from_file(path)
    assert str(caught.value) == f"{path}: line 2, column 14: plugins[0].type: is required"
    assert caught.value.source == path


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    for load in (network_conf_from_file, conf_from_file):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "missing")


def test_file_without_any_plugin_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.conflist"
    path.write_text('{"name": "net", "cniVersion": "1.0.0"}')
    with pytest.raises(ConfigError, match="no plugins: none in the list") as caught:
        network_conf_from_file(path)
    assert (caught.value.field, caught.value.source) == ("plugins", path)
    assert (caught.value.line, caught.value.column) == (1, 1)


@pytest.mark.timeout(10)
def test_fifo_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="is not a regular file"):
        conf_from_file(path)
    assert [problem.source for problem in load_conf_dir(tmp_path).problems] == [path]


def test_file_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "SIZE_LIMIT", 20)
    path = write_plugin(tmp_path / "a.conf")
    with pytest.raises(ConfigError, match="is larger than 20 bytes"):
        conf_from_file(path)


# Drop-in plugins


def test_drop_ins_are_appended_in_order_and_are_in_the_document(tmp_path: Path) -> None:
    path = write_list(tmp_path / "a.conflist", "net", "bridge", own=1.0)
    folder = tmp_path / "net"
    folder.mkdir()
    for name, kind in (("20.conf", "second"), ("10.conf", "first")):
        (folder / name).write_text(f' {{"type": "{kind}", "mtu": 1.50}}\n')
    write_list(folder / "30.conflist")
    (folder / "40.json").write_text("not read")
    loaded = network_conf_from_file(path)
    assert [plugin.type for plugin in loaded.plugins] == ["bridge", "first", "second"]
    assert json.loads(loaded.raw)["plugins"][1:] == [{"type": "first", "mtu": 1.5}, {"type": "second", "mtu": 1.5}]
    assert b'"own":1.0' in loaded.raw
    assert b'"mtu": 1.50' in loaded.raw
    assert loaded.source == path
    assert network_plugin_confs_from_files(tmp_path, "net") == list(loaded.plugins[1:])


def test_drop_ins_alone_make_a_network(tmp_path: Path) -> None:
    path = tmp_path / "a.conflist"
    path.write_text('{"cniVersion": "1.1.0", "name": "net", "disableCheck": "true", "disableGC": true}')
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "a.conf").write_text('{"type": "bridge"}')
    loaded = network_conf_from_file(path)
    assert [plugin.type for plugin in loaded.plugins] == ["bridge"]
    assert (loaded.disable_check, loaded.disable_gc) == (True, True)
    assert json.loads(loaded.raw)["plugins"] == [{"type": "bridge"}]


def test_drop_ins_are_left_alone_when_only_inlined_plugins_count(tmp_path: Path) -> None:
    path = write_list(tmp_path / "a.conflist", "net", "bridge", loadOnlyInlinedPlugins=True)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "a.conf").write_text("broken")
    assert [plugin.type for plugin in network_conf_from_file(path).plugins] == ["bridge"]


def test_broken_drop_in_makes_the_network_unusable_and_is_named(tmp_path: Path) -> None:
    path = write_list(tmp_path / "a.conflist")
    (tmp_path / "net").mkdir()
    bad = tmp_path / "net" / "a.conf"
    bad.write_text("{}")
    with pytest.raises(ConfigError) as caught:
        network_conf_from_file(path)
    assert (caught.value.source, caught.value.field) == (bad, "type")


def test_unreadable_drop_in_is_the_file_that_is_named(tmp_path: Path) -> None:
    write_list(tmp_path / "a.conflist")
    (tmp_path / "net").mkdir()
    bad = tmp_path / "net" / "loop.conf"
    bad.symlink_to(bad)
    loaded = load_conf_dir(tmp_path)
    assert loaded.networks == ()
    assert [problem.source for problem in loaded.problems] == [bad]
    assert "cannot be read: Too many levels of symbolic links" in str(loaded.problems[0])


def test_dangling_drop_in_is_no_error(tmp_path: Path) -> None:
    path = write_list(tmp_path / "a.conflist")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / ".#a.conf").symlink_to("user@host.1:2")
    assert len(network_conf_from_file(path).plugins) == 1


def test_file_in_place_of_the_drop_in_folder_is_no_error(tmp_path: Path) -> None:
    path = write_list(tmp_path / "a.conflist")
    (tmp_path / "net").touch()
    assert len(network_conf_from_file(path).plugins) == 1


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a\n"], ids=ascii)
def test_drop_ins_of_a_bad_name_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidParameterError):
        network_plugin_confs_from_files(tmp_path, name)


# By name


def test_load_finds_lists_first_and_then_single_plugins(tmp_path: Path) -> None:
    write_plugin(tmp_path / "00.conf", "net", "from-conf")
    write_list(tmp_path / "99.conflist", "net", "from-list")
    write_plugin(tmp_path / "01.json", "other", "from-json")
    assert load_network_conf(tmp_path, "net").plugins[0].type == "from-list"
    other = load_conf_list(str(tmp_path), "other")
    assert (other.plugins[0].type, other.cni_version, other.source) == ("from-json", "0.4.0", tmp_path / "01.json")
    assert load_conf(tmp_path, "net").type == "from-conf"


def test_load_of_two_with_one_name_takes_the_first(tmp_path: Path) -> None:
    write_list(tmp_path / "20.conflist", "net", "second")
    write_list(tmp_path / "10.conflist", "net", "first")
    assert load_network_conf(tmp_path, "net").plugins[0].type == "first"


@pytest.mark.parametrize("load", [load_network_conf, load_conf], ids=lambda load: load.__name__)
def test_load_from_missing_or_empty_directory_finds_no_configuration(
    tmp_path: Path, load: Callable[[Path, str], object]
) -> None:
    for directory in (tmp_path / "missing", tmp_path):
        with pytest.raises(NoConfigsFoundError) as caught:
            load(directory, "net")
        assert caught.value.directory == directory


@pytest.mark.parametrize("load", [load_network_conf, load_conf], ids=lambda load: load.__name__)
@pytest.mark.parametrize("name", ["missing", "../net", "", "\udcff"], ids=ascii)
def test_load_of_unknown_name_is_not_found(tmp_path: Path, load: Callable[[Path, str], object], name: str) -> None:
    write_list(tmp_path / "10.conflist")
    write_plugin(tmp_path / "20.conf")
    with pytest.raises(NetworkNotFoundError) as caught:
        load(tmp_path, name)
    assert (caught.value.directory, caught.value.name, caught.value.problems) == (tmp_path, name, ())


def test_bad_file_is_passed_over_when_a_good_one_has_the_name(tmp_path: Path) -> None:
    write_list(tmp_path / "10.conflist", "net", "a/b")
    (tmp_path / "20.conflist").write_text("{")
    write_list(tmp_path / "30.conflist", "net", "good")
    assert load_network_conf(tmp_path, "net").plugins[0].type == "good"


def test_bad_files_are_all_named_when_no_good_one_has_the_name(tmp_path: Path) -> None:
    bad_type = write_list(tmp_path / "10.conflist", "net", "a/b")
    truncated = tmp_path / "20.conflist"
    truncated.write_text("{")
    array = tmp_path / "30.json"
    array.write_text("[]")
    loop = tmp_path / "40.conf"
    loop.symlink_to(loop)
    other = write_list(tmp_path / "50.conflist", "other", "c/d")
    with pytest.raises(NetworkNotFoundError) as caught:
        load_network_conf(tmp_path, "net")
    assert [problem.source for problem in caught.value.problems] == [bad_type, truncated, array, loop, other]
    for path in (bad_type, truncated, array, loop, other):
        assert str(path) in str(caught.value)
    assert "plugins[0].type" in str(caught.value)


def test_load_conf_names_bad_files_too(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("")
    with pytest.raises(NetworkNotFoundError) as caught:
        load_conf(tmp_path, "net")
    assert [problem.source for problem in caught.value.problems] == [tmp_path / "a.conf"]


# A whole directory


def test_directory_is_read_in_one_lexical_order(tmp_path: Path) -> None:
    write_plugin(tmp_path / "10.json", "one")
    write_list(tmp_path / "20.conflist", "two")
    write_plugin(tmp_path / "30.conf", "three")
    write_list(tmp_path / "05.conflist", "zero")
    loaded = load_conf_dir(tmp_path)
    assert [network.name for network in loaded.networks] == ["zero", "one", "two", "three"]
    assert loaded.default is loaded.networks[0]
    assert loaded.problems == ()
    assert isinstance(loaded.networks, tuple)


def test_empty_or_missing_directory_has_no_default(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        loaded = load_conf_dir(directory)
        assert (loaded.networks, loaded.problems, loaded.default) == ((), (), None)


def test_second_network_of_one_name_is_a_problem(tmp_path: Path) -> None:
    first = write_list(tmp_path / "10.conflist", "net", "first")
    second = tmp_path / "20.conf"
    second.write_text('{"type": "second",\n "name": "net"}')
    loaded = load_conf_dir(tmp_path)
    assert [network.plugins[0].type for network in loaded.networks] == ["first"]
    problem = loaded.problems[0]
    assert (problem.source, problem.field, problem.line, problem.column) == (second, "name", 2, 10)
    assert str(first) in problem.msg


def test_bad_files_hide_no_good_one(tmp_path: Path) -> None:
    (tmp_path / "10.conflist").write_text("{")
    (tmp_path / "11.conf").write_text('{"type": "nameless"}')
    (tmp_path / "12.conf").symlink_to(tmp_path / "12.conf")
    (tmp_path / "13.conflist").write_text(dump({"name": "n", "cniVersion": "9.0.0", "plugins": [{"type": "a"}]}))
    write_list(tmp_path / "20.conflist", "good")
    loaded = load_conf_dir(tmp_path)
    assert [network.name for network in loaded.networks] == ["good"]
    assert [os.path.basename(problem.source or "") for problem in loaded.problems] == [  # noqa: PTH119 -- may be absent
        "10.conflist",
        "11.conf",
        "12.conf",
        "13.conflist",
    ]
    assert loaded.default is loaded.networks[0]


def test_links_to_nothing_and_lock_files_are_no_problem(tmp_path: Path) -> None:
    (tmp_path / "10.conflist").symlink_to(tmp_path / "missing")
    (tmp_path / ".#20.conf").symlink_to("user@host.1234:5678")
    (tmp_path / "30.conf").mkdir()
    write_list(tmp_path / "real", "net")
    (tmp_path / "40.conflist").symlink_to("real")
    loaded = load_conf_dir(tmp_path)
    assert [network.name for network in loaded.networks] == ["net"]
    assert loaded.problems == ()


def test_file_that_vanishes_after_the_listing_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = write_list(tmp_path / "10.conflist", "gone")
    write_list(tmp_path / "20.conflist", "net")
    list_directory = loader._list

    def listed(*arguments: Any) -> list[str]:
        found = list_directory(*arguments)
        gone.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(loader, "_list", listed)
    loaded = load_conf_dir(tmp_path)
    assert ([network.name for network in loaded.networks], loaded.problems) == (["net"], ())
    with pytest.raises(NetworkNotFoundError) as caught:
        load_network_conf(tmp_path, "gone")
    assert caught.value.problems == ()


def test_drop_in_that_vanishes_after_the_listing_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_list", lambda *_: [str(tmp_path / "gone.conf")])
    assert network_plugin_confs_from_files(tmp_path, "net") == []
