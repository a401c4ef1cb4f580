"""Network namespaces on the kernel: made, opened, listed, looked into, entered, deleted; and what ``ip netns`` sees."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcni import CNIConfig, CNIError, RuntimeConf, load_network_conf, netns
from libcni.netns import named
from tests.real.networks import bridged, host_local, network
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.real.flavours import Folders

ROOT = Path(__file__).parents[2]
OWN = "/proc/thread-self/ns/net"


@pytest.fixture
def name() -> Iterator[str]:
    """Reserve a name, and remove what is left of it."""
    chosen = kernel.random_name("ns-")
    yield chosen
    subprocess.run(["ip", "netns", "delete", chosen], capture_output=True, check=False, timeout=30)
    Path(f"/run/netns/{chosen}").unlink(missing_ok=True)


def known_to_ip() -> list[str]:
    return [line.split()[0] for line in kernel.run("ip", "netns", "list").splitlines() if line]


def test_named_namespace_is_known_to_ip_and_gone_at_the_end(name: str) -> None:
    with netns.create(name) as made:
        assert (made.name, made.path) == (name, f"/run/netns/{name}")
        assert name in known_to_ip()
        assert name in [each.name for each in netns.list()]
        assert [link["ifname"] for link in json.loads(kernel.run("ip", "-n", name, "-json", "link"))] == ["lo"]
        assert made.identity.cookie
    assert name not in known_to_ip()
    assert not Path(f"/run/netns/{name}").exists()
    made.delete()  # once more is no error


def test_namespace_made_by_ip_is_opened_by_either_path_and_deleted(name: str) -> None:
    kernel.run("ip", "netns", "add", name)
    with netns.open(f"/var/run/netns/{name}") as opened, netns.open(f"/run/netns/{name}") as again:
        assert opened.name == again.name == name
        assert opened.identity.is_same(again.identity)
    assert name in known_to_ip()  # what was only opened stays
    netns.open(f"/run/netns/{name}").delete()
    assert name not in known_to_ip()


def test_namespace_deleted_by_ip_is_no_error(name: str) -> None:
    with netns.create(name):
        kernel.run("ip", "netns", "delete", name)
    assert name not in known_to_ip()


def test_name_that_leads_elsewhere_by_now_stays(name: str) -> None:
    made = netns.create(name)
    kernel.run("ip", "netns", "delete", name)
    kernel.run("ip", "netns", "add", name)
    assert made.path == f"/proc/{os.getpid()}/fd/{made._descriptor}"
    made.delete()
    assert name in known_to_ip()


def test_name_that_is_taken_is_refused_and_stays(name: str) -> None:
    kernel.run("ip", "netns", "add", name)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- the number alone
    with pytest.raises(FileExistsError, match="exists"):
        netns.create(name)
    assert name in known_to_ip()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 -- the number alone


def test_file_that_a_crash_has_left_is_used_when_it_is_old(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leftover = Path(f"/run/netns/{name}")
    leftover.touch()
    assert name not in [each.name for each in netns.list()]
    with pytest.raises(FileExistsError):  # something may be about to mount there
        netns.create(name)
    monkeypatch.setattr(named, "_LEFTOVER_AGE", 0.0)
    time.sleep(0.01)
    with netns.create(name):
        assert name in known_to_ip()
    assert not leftover.exists()


def test_other_file_of_the_name_is_never_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "_LEFTOVER_AGE", -1.0)
    file = Path(f"/run/netns/{name}")
    file.write_text("a letter")
    with pytest.raises(FileExistsError):
        netns.create(name)
    file.unlink()
    file.symlink_to("/proc/self/ns/net")
    with pytest.raises(FileExistsError):
        netns.create(name)
    assert file.is_symlink()


def test_of_many_that_want_one_name_one_gets_it(name: str) -> None:
    def attempt(_: int) -> netns.NetNS | None:
        try:
            return netns.create(name)
        except FileExistsError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [each for each in pool.map(attempt, range(8)) if each is not None]
    assert len(made) == 1
    mounts = Path("/proc/self/mountinfo").read_text()
    assert mounts.count(f"/run/netns/{name} ") == 1
    made[0].delete()


def test_name_in_use_in_another_mount_namespace_is_removed(name: str) -> None:
    made = netns.create(name)
    with subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "300"]) as process:
        try:
            deadline = time.monotonic() + 10
            host = Path("/proc/self/ns/mnt").readlink()
            while Path(f"/proc/{process.pid}/ns/mnt").readlink() == host:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            made.delete()
            assert not Path(f"/run/netns/{name}").exists()
        finally:
            process.kill()


def test_name_with_several_mounts_is_removed(name: str) -> None:
    made = netns.create(name)
    kernel.run("mount", "--bind", made.path, made.path)
    made.delete()
    assert name not in known_to_ip()
    assert f"/run/netns/{name} " not in Path("/proc/self/mountinfo").read_text()


def test_name_under_which_ever_more_is_mounted_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "_STACKED", 1)
    made = netns.create(name)
    kernel.run("mount", "--bind", made.path, made.path)
    with pytest.raises(OSError, match="busy"):
        made.delete()
    made.delete()


def test_name_that_goes_while_they_are_listed_is_left_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with netns.create(name):
        monkeypatch.setattr(named, "names", lambda: [name, f"{name}x"])
        assert [each.name for each in netns.list()] == [name]


def test_lock_of_the_folder_is_not_waited_for_without_an_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "_LOCK_TRIES", 2)
    descriptor = os.open("/run/netns", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="holds the lock"):
            netns.create(name)
    finally:
        os.close(descriptor)
    netns.create(name).delete()


def test_failed_mount_leaves_no_file(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        named.add_name(name, "/nothing")
    assert not Path(f"/run/netns/{name}").exists()


def test_folder_is_made_and_shared_in_a_mount_namespace_without_it(tmp_path: Path) -> None:
    program = "from libcni import netns; netns.create('blue'); print([each.name for each in netns.list()])"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs tmpfs /run && exec {sys.executable} -c "$0"', program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("['blue']\n", "")


def test_anonymous_namespace_serves_a_chain_and_ends_with_its_last_holder(
    folders: Folders, bridge: str, tmp_path: Path
) -> None:
    folders.write(network("anon", bridged(bridge, host_local(tmp_path))))
    cni = CNIConfig([folders.bin], cache_dir=folders.cache)
    loaded = load_network_conf(folders.conf, "anon")
    with netns.create() as made:
        assert made.name is None
        assert "anonymous" in repr(made)
        made.set_up("lo")
        container = RuntimeConf("box", made.path, "eth0")
        result = cni.add_network_list(loaded, container)
        links = {link.name: link for link in made.links()}
        assert links.keys() == {"lo", "eth0"}
        assert links["lo"].is_up
        assert links["eth0"].kind == "veth"
        assert links["eth0"].mac == result.interfaces[2].mac
        assert made.addresses("eth0")[0].address == result.ips[0].address
        assert made.addresses("eth7") == ()
        default = next(route for route in made.routes() if str(route.dst) == "0.0.0.0/0")
        assert (str(default.gateway), default.ifname) == ("10.231.7.1", "eth0")
        cni.check_network_list(loaded, container)
        cni.del_network_list(loaded, container)
        path = made.path
    assert not Path(path).exists()


def test_namespace_of_a_process_outlives_it_while_it_is_held() -> None:
    with kernel.process_namespace() as (there, process), netns.open(process.pid) as opened:
        assert opened.path == there.path
        identity = opened.identity
        process.kill()
        process.wait()
        assert opened.path == f"/proc/{os.getpid()}/fd/{opened._descriptor}"
        assert opened.identity.is_same(identity)
        assert [link.name for link in opened.links()] == ["lo"]
    with pytest.raises(CNIError, match="was closed"):
        opened.links()


def test_inside_moves_the_calling_thread_alone_and_brings_it_back() -> None:
    home = os.readlink(OWN)  # noqa: PTH115 -- text out
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- the number alone
    seen: list[str] = []
    go, done = threading.Event(), threading.Event()

    def other() -> None:
        go.wait(10)
        seen.append(os.readlink(OWN))  # noqa: PTH115 -- text out
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with netns.create() as first, netns.create() as second:
        with first.inside():
            inside = os.readlink(OWN)  # noqa: PTH115 -- text out
            go.set()
            assert done.wait(10)
            with second.inside():
                assert os.readlink(OWN) not in {home, inside}  # noqa: PTH115 -- text out
            assert os.readlink(OWN) == inside  # noqa: PTH115 -- text out
            child = subprocess.run(["readlink", "/proc/self/ns/net"], capture_output=True, text=True, check=True)
            assert child.stdout.strip() == inside
        assert os.readlink(OWN) == home  # noqa: PTH115 -- text out
        with pytest.raises(ZeroDivisionError), first.inside():
            _ = 1 // 0
        assert os.readlink(OWN) == home  # noqa: PTH115 -- text out
    thread.join()
    assert seen == [home]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 -- the number alone


def test_thread_that_cannot_go_back_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome: list[BaseException] = []

    def work() -> None:
        calls = iter([0, 0, errno.EPERM])
        from libcni.storage.apart import enter  # noqa: PLC0415 -- the real one

        def refuse_the_third(descriptor: int) -> None:
            number = next(calls)
            if number:
                raise OSError(number, os.strerror(number))
            enter(descriptor)

        monkeypatch.setattr("libcni.netns.namespace.enter", refuse_the_third)
        with pytest.raises(CNIError, match="must not be used any more") as caught, made.inside():
            pass
        outcome.append(caught.value)

    with netns.create() as made:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert isinstance(outcome[0].__cause__, PermissionError)


def test_leaving_from_another_thread_is_refused() -> None:
    with netns.create() as made:
        inside = made.inside()
        thread = threading.Thread(target=inside.__enter__)
        thread.start()
        thread.join()
        with pytest.raises(CNIError, match="another thread"):
            inside.__exit__(None, None, None)


def test_interface_that_is_not_there_cannot_be_set_up(name: str) -> None:
    with netns.create(name) as made, pytest.raises(OSError, match="No such device: interface 'eth9'"):
        made.set_up("eth9")


def test_without_root_the_error_says_what_is_needed() -> None:
    program = "from libcni import netns\ntry: netns.create()\nexcept PermissionError as error: print(error)"
    # It may read what it runs, wherever that is, and nothing else that root may.
    may_read = (
        "--bounding-set=-all,+dac_read_search",
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
    )
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", *may_read, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "can only be made by root" in done.stdout, done.stderr


def test_in_a_user_namespace_an_anonymous_one_can_be_made() -> None:
    program = "from libcni import netns; n = netns.create(); n.set_up('lo'); print(n.links()[0].is_up)"
    assert kernel.run("unshare", "--user", "--map-root-user", "--", sys.executable, "-c", program) == "True\n"


def test_examples_of_the_page_run(name: str) -> None:
    text = (ROOT / "docs" / "namespaces.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        kernel.run(sys.executable, "-W", "error", "-c", example.replace("blue", name))
    assert name not in known_to_ip()


def test_killed_process_leaves_no_anonymous_namespace() -> None:
    program = "from libcni import netns; n = netns.create(); print(n.path, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().decode().strip())
        assert path.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not path.exists()
