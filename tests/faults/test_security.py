"""What is hostile from outside: links and folders planted in the cache, names, arguments; and what must stay secret."""

from __future__ import annotations

import functools
import json
import logging
import os
import pickle
import stat
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import (
    AsyncCNIConfig,
    CacheError,
    CNIConfig,
    CNIError,
    CNIErrorGroup,
    InvalidParameterError,
    PluginError,
    RuntimeConf,
    network_conf_from_bytes,
)
from libcni.invoke.find import find_in_path
from libcni.invoke.plugin import PluginCall
from tests.faults.world import World, attachment, environ, network
from tests.records import as_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.trials import Trials

SECRET = "hunter2-zK9"  # noqa: S105 -- it opens nothing
FLAVOURS = ("sync", "asyncio", "trio")


class Caller:
    """One flavour, whose verbs are called as if they were synchronous."""

    def __init__(self, flavour: str, world: World, **options: Any) -> None:
        kind: Any = CNIConfig if flavour == "sync" else AsyncCNIConfig
        defaults = {"cache_dir": world.cache, "environ": environ(), "durable": False, "lock_timeout": 2}
        self.config = kind([str(world.bin)], **{**defaults, **options})
        self._flavour = flavour

    def __call__(self, verb: str, *arguments: Any, **options: Any) -> Any:
        work = functools.partial(getattr(self.config, verb), *arguments, **options)
        return work() if self._flavour == "sync" else anyio.run(work, backend=self._flavour)


@pytest.fixture(params=FLAVOURS)
def caller(request: pytest.FixtureRequest, world: World) -> Caller:
    world.script("one")
    return Caller(request.param, world)


@pytest.fixture
def treasure(tmp_path: Path) -> Iterator[Path]:
    """Files outside of the cache directory, which must be the same afterwards."""
    folder = tmp_path / "treasure"
    folder.mkdir()
    (folder / "file").write_text("precious")
    before = sorted((path.name, path.read_bytes(), path.stat().st_mode) for path in folder.iterdir())
    yield folder
    assert sorted((path.name, path.read_bytes(), path.stat().st_mode) for path in folder.iterdir()) == before


def try_everything(caller: Caller) -> list[Any]:
    """Call every verb that touches the cache directory, and return what was raised."""
    raised: list[Any] = []
    net = network("one")
    calls: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("add_network_list", (net, attachment("c"))),
        ("check_network_list", (net, attachment("c"))),
        ("get_network_list_cached_result", (net, attachment("c"))),
        ("get_cached_attachments", ()),
        ("gc_network_list", (net, [])),
        ("recover", ()),
        ("pending", ()),
        ("del_network_list", (net, attachment("c"))),
    )
    for verb, arguments in calls:
        try:
            caller(verb, *arguments)
        except (CNIError, CNIErrorGroup) as error:
            raised.append(error)
    return raised


@pytest.mark.parametrize("name", ["results", "journal", "locks", "damaged"])
def test_folder_that_is_a_link_is_refused_and_nothing_outside_changes(
    caller: Caller, world: World, treasure: Path, trials_of: Callable[[str], Trials], name: str
) -> None:
    trials = trials_of("links planted in the cache directory")
    world.cache.mkdir(mode=0o700)
    (world.cache / name).symlink_to(treasure)
    if name == "damaged":  # something has to be moved there
        caller("add_network_list", network("one"), attachment("d"))
        (world.cache / "results" / "net-d-eth0").write_text("damage")
    raised = try_everything(caller)
    trials.check([] if any(isinstance(error, CNIError) for error in raised) else ["nothing was refused"], name)


@pytest.mark.parametrize("place", ["results/net-c-eth0", "journal/net@c@eth0", "journal/slots", "locks/all"])
@pytest.mark.parametrize("kind", ["link", "dangling", "hard-link", "fifo", "folder"])
def test_file_that_is_something_else_harms_nothing_outside(
    caller: Caller, world: World, treasure: Path, trials_of: Callable[[str], Trials], place: str, kind: str
) -> None:
    trials = trials_of("links planted in the cache directory")
    caller("get_cached_attachments")
    path = world.cache / place
    path.parent.mkdir(mode=0o700, parents=True)
    world.cache.chmod(0o700)
    make: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to(treasure / "file"),
        "dangling": lambda: path.symlink_to(treasure / "missing"),
        "hard-link": lambda: path.hardlink_to(treasure / "copy"),
        "fifo": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }
    if kind == "hard-link":
        # What has two names is not ours to change; only who may write here can make one.
        path.parent.joinpath("copy").write_text("precious")
        make[kind] = lambda: path.hardlink_to(path.parent / "copy")
    make[kind]()
    try_everything(caller)
    trials.check([] if not (treasure / "missing").exists() else ["a dangling link was followed"], f"{place}, {kind}")


def test_temporary_names_that_are_planted_are_not_written_through(
    caller: Caller, world: World, treasure: Path, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("links planted in the cache directory")
    caller("add_network_list", network("one"), attachment("c"))
    for name in ("results", "journal"):
        for number in range(3):
            (world.cache / name / f".net-c-eth0.{os.getpid()}.abc.{number}.tmp").symlink_to(treasure / "file")
    caller("recover")
    caller("del_network_list", network("one"), attachment("c"))
    trials.check([] if not world.held else ["held"], "temporary names")


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777, 0o720])
@pytest.mark.parametrize("name", ["", "results", "journal", "locks"])
def test_folder_that_others_can_write_to_is_refused_before_anything_runs(
    caller: Caller, world: World, trials_of: Callable[[str], Trials], mode: int, name: str
) -> None:
    trials = trials_of("folders that others can write to")
    caller("add_network_list", network("one"), attachment("before"))
    before = len(world.log())
    (world.cache / name).chmod(mode)
    with pytest.raises(CacheError, match="others can write"):
        caller("add_network_list", network("one"), attachment("c"))
    trials.check([] if len(world.log()) == before else ["something ran"], f"{mode:o} {name}")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_modes_are_private_whatever_the_umask(
    caller: Caller, world: World, trials_of: Callable[[str], Trials], mask: int
) -> None:
    trials = trials_of("modes under any umask")
    before = os.umask(mask)
    try:
        caller("add_network_list", network("one"), attachment("c"))
    finally:
        os.umask(before)
    wrong = [
        f"{path}: {path.stat().st_mode:o}"
        for path in (world.cache, *world.cache.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) != (0o700 if path.is_dir() else 0o600)
    ]
    trials.check(wrong, f"umask {mask:03o}")


HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc/passwd",
    "a\0b",
    "a\nb",
    "-a",
    "a b",
    "a;b",
    "a=b",
    "ä",
    "a\udc80",
    "a@b",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("verb", ["add", "check", "del"])
def test_hostile_container_id_is_refused_in_every_verb(
    caller: Caller, world: World, trials_of: Callable[[str], Trials], name: str, verb: str
) -> None:
    trials = trials_of("hostile names")
    with pytest.raises(InvalidParameterError):
        caller(f"{verb}_network_list", network("one"), attachment(name))
    trials.check([] if not world.log() and not world.cache.exists() else ["something happened"], ascii(name))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a:b", "a b", "a\0", "a\n", "x" * 16, "\u2028", "\ud800"], ids=ascii
)
@pytest.mark.parametrize("verb", ["add", "check", "del"])
def test_hostile_interface_name_is_refused_in_every_verb(
    caller: Caller, world: World, trials_of: Callable[[str], Trials], name: str, verb: str
) -> None:
    trials = trials_of("hostile names")
    with pytest.raises(InvalidParameterError):
        caller(f"{verb}_network_list", network("one"), RuntimeConf("c", "", name))
    trials.check([] if not world.log() and not world.cache.exists() else ["something happened"], ascii(name))


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_network_name_is_refused_when_it_is_loaded(trials_of: Callable[[str], Trials], name: str) -> None:
    trials = trials_of("hostile names")
    document = json.dumps({"cniVersion": "1.1.0", "name": name, "plugins": [{"type": "one"}]})
    with pytest.raises(CNIError):
        network_conf_from_bytes(document)
    trials.done()


@pytest.mark.parametrize("name", ["../one", "/bin/sh", "a/b", "..", ".", "", "a\\b", "a\0"], ids=ascii)
def test_plugin_name_cannot_leave_the_directories(world: World, trials_of: Callable[[str], Trials], name: str) -> None:
    trials = trials_of("hostile names")
    world.script("one")
    with pytest.raises(CNIError):
        find_in_path(name, [str(world.bin / "below"), str(world.bin)])
    with pytest.raises(CNIError):
        world.runtime().add_network_list(network(name), attachment("c"))
    trials.check([] if not world.log() else ["something ran"], ascii(name))


@pytest.mark.parametrize(
    "pair", [("A", "1;B=2"), ("A;B", "1"), ("A=B", "1"), ("", "1"), ("A", "\0"), ("A", "x\0;Y=1")], ids=ascii
)
def test_arguments_cannot_inject_others(
    caller: Caller, world: World, trials_of: Callable[[str], Trials], pair: tuple[str, str]
) -> None:
    trials = trials_of("CNI_ARGS injection")
    with pytest.raises(InvalidParameterError):
        caller("add_network_list", network("one"), attachment("c", args=[pair]))
    trials.check([] if not world.log() else ["something ran"], ascii(pair))


def test_environment_is_an_allow_list(
    caller: Caller, world: World, trials_of: Callable[[str], Trials], monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = trials_of("environ as an allow-list")
    monkeypatch.setenv("SECRET_OF_THE_RUNTIME", SECRET)
    monkeypatch.setenv("CNI_ARGS", SECRET)
    world.script("one", add=f'env >"{world.state}/env"')
    caller("add_network_list", network("one"), attachment("c"))
    text = (world.state / "env").read_text()
    trials.check([] if SECRET not in text and "CNI_COMMAND=ADD" in text else [text], "environ")


def secret_attachment(container: str = "c", **options: Any) -> RuntimeConf:
    return attachment(container, args=[("TOKEN", SECRET)], capability_args={"password": SECRET}, **options)


def all_texts(error: BaseException) -> str:
    """Return everything that an error says, also after it was sent to another process."""
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own
    parts = [str(error), repr(error), str(copied), repr(copied), repr(error.args), *getattr(error, "__notes__", [])]
    if isinstance(error, CNIError):
        parts.append(json.dumps(error.to_dict()))
    if isinstance(error, CNIErrorGroup):
        parts += [all_texts(each) for each in error.exceptions]
    return " ".join(parts)


def test_secrets_are_in_no_log_no_text_and_no_repr(
    caller: Caller, world: World, trials_of: Callable[[str], Trials], caplog: pytest.LogCaptureFixture
) -> None:
    trials = trials_of("secrets in logs, texts and reprs")
    caplog.set_level(logging.DEBUG)
    document = {"type": "one", "capabilities": {"password": True}}
    refuses = {"type": "refuses", "capabilities": {"password": True}}
    world.script("refuses", add="""echo '{"code":107,"msg":"no"}'; exit 1""")
    said: list[str] = []

    def expect(*arguments: Any, verb: str = "add_network_list") -> None:
        try:
            said.append(repr(caller(verb, *arguments)))
        except (CNIError, CNIErrorGroup) as error:
            said.append(all_texts(error))

    def net(*plugins: Any) -> Any:
        return network_conf_from_bytes(json.dumps({"cniVersion": "1.1.0", "name": "net", "plugins": plugins}))

    rt = secret_attachment()
    expect(net(document, refuses), rt)
    expect(net(document), rt)
    expect(net(document), rt)  # a second time
    expect(net({"type": "missing"}), rt)
    expect(net(document), attachment("c", args=[("TOKEN", f"{SECRET};")]))
    expect(net(document), attachment("c", args=[("A", f"\0{SECRET}")]))
    expect(net(document), attachment("c", capability_args={"password": {SECRET, 1}}))
    expect(net(document), attachment("c", capability_args={"password": [SECRET, float("nan")]}))
    for verb in ("get_cached_attachments", "pending", "recover"):
        expect(verb=verb)
    (world.cache / "results" / "net-c-eth0").write_text(f'{{"kind":"cniCacheV1","x":"{SECRET}",')
    expect(net(document), rt, verb="check_network_list")
    record = as_file(world.cache, "net@c@eth0")
    said.append(repr(caller.config._context.store.journal.find(rt.check("net"))))
    record.write_text(record.read_text().replace('"cniArgs":', '"cniArgs":7,"was":'))
    expect(net(document), [], verb="gc_network_list")
    expect(net(document), rt, verb="del_network_list")
    said += [repr(rt), repr(PluginCall("/p", SECRET.encode(), {"CNI_ARGS": SECRET}))]
    texts = [*said, *(entry.getMessage() for entry in caplog.records), caplog.text]
    trials.number += len(texts)
    trials.lost += [text for text in texts if SECRET in text]


def test_error_of_a_plugin_keeps_its_place_in_another_process(
    caller: Caller, world: World, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("secrets in logs, texts and reprs")
    world.script("one", add="exit 3")
    with pytest.raises(PluginError) as caught:
        caller("add_network_list", network("one"), secret_attachment())
    copied = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 -- our own
    trials.check([] if str(copied) == str(caught.value) and SECRET not in str(copied) else [str(copied)], "pickled")
