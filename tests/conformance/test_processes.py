"""Processes that checks kill: those that are theirs, whatever has the numbers of those that were."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcni.conformance import isolation
from libcni.conformance.drive import Manner, run_call
from libcni.conformance.processes import Process, find_children, find_processes, kill_groups, own_child
from libcni.errors import CNIError
from libcni.invoke.runner import HookedCall
from tests.support.descriptors import open_count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

PATIENCE = 20


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@contextmanager
def started(script: str) -> Generator[tuple[subprocess.Popen[str], list[Process]]]:
    """Start a shell that leads a group; yield it and the processes whose numbers it prints, up to an empty line."""
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, process_group=0) as shell:
        assert shell.stdout is not None
        processes = [own_child(shell.pid)]
        try:
            processes += [Process(int(line)) for line in iter(shell.stdout.readline, "\n")]
            yield shell, processes[1:]
        finally:
            for process in processes:
                process.kill()


def is_running(process: Process | int) -> bool:
    try:
        return (Process(process) if isinstance(process, int) else process).state().is_running
    except (FileNotFoundError, ProcessLookupError):
        return False


def in_machine(work: Callable[[isolation.Machine], None], tmp_path: Path) -> None:
    """Do something with a machine, in a thread that leaves the namespaces of the tests."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with isolation.open_machine(isolation.ROOT, [*isolation.PRIVATE_FOLDERS], [str(tmp_path)]) as machine:
                work(machine)
        except BaseException as error:  # noqa: BLE001 -- it is raised in the test's thread
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


# ---------------------------------------------------------------------------------------------------------- one process


def test_process_that_has_ended_is_not_there_whatever_has_its_number() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        process = own_child(child.pid)
        assert process.state()[1:] == (os.getpid(), os.getpgid(0))
        assert wait_until(lambda: process.read("cmdline") == b"sleep\x0060\x00")
        assert process.kill()
        child.wait()

    assert not process.kill()
    assert not process.has_number()
    with pytest.raises(ProcessLookupError):
        process.link("ns/net")


def test_zombie_has_its_number_and_does_not_run() -> None:
    with subprocess.Popen(["true"]) as child:
        process = own_child(child.pid)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert process.has_number()
        assert process.kill()
        assert not process.state().is_running


def test_name_of_a_process_does_not_disturb_its_state() -> None:
    code = "open('/proc/self/comm', 'w').write(') Z 1 (1 2'); print('\\n', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        assert own_child(child.pid).state().parent == os.getpid()
        child.communicate()


def test_descriptor_is_closed_with_the_last_reference() -> None:
    before = open_count()
    process = own = Process(os.getpid())
    assert open_count() == before + 1
    del process
    assert own.has_number()
    del own
    assert open_count() == before


def test_number_that_nothing_has_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        Process(2**30)


@pytest.mark.parametrize("number", [1, 2**30], ids=["parent of others", "nothing"])
def test_number_that_is_no_child_is_refused(number: int) -> None:
    with pytest.raises(CNIError, match=f"does not show process {number} as a child"):
        own_child(number)


def test_children_are_those_of_parents_that_are_there() -> None:
    with started('sh -c "sleep 60 & echo \\$\\$; echo \\$!; echo; wait" & wait') as (shell, (parent, child)):
        numbers = {process.number for process in find_children([own_child(shell.pid), parent])}
        assert numbers == {parent.number, child.number}
        parent.kill()
        assert wait_until(lambda: not find_children([parent]))


def test_signal_that_makes_no_sense_is_an_error() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        with pytest.raises(OSError, match=f"signal to process {child.pid}: Invalid argument"):
            own_child(child.pid).send(1000)  # type: ignore[arg-type]  # the kernel has to refuse it
        child.kill()


def test_process_of_another_user_is_not_signalled(namespaces: None) -> None:
    del namespaces
    with subprocess.Popen(["sleep", "60"]) as child:
        process = own_child(child.pid)
        pid = os.fork()
        if not pid:
            try:
                os.setuid(65534)
                os._exit(int(process.kill()))
            finally:
                os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert child.poll() is None
        child.kill()


# --------------------------------------------------------------------------------------------------------------- groups


def test_groups_are_killed_and_nothing_else() -> None:
    script = "sleep 60 & echo $!; setsid sh -c 'echo $$; exec sleep 60' & sleep 0.2; echo; wait"
    with started(script) as (first, (member, other)), started("sleep 60 & echo $!; echo; wait") as (second, (more,)):
        kill_groups([own_child(first.pid), own_child(second.pid)])

        assert [first.wait(PATIENCE), second.wait(PATIENCE)] == [-signal.SIGKILL] * 2
        assert wait_until(lambda: not is_running(member) and not is_running(more))
        assert is_running(other)


def test_group_whose_leader_was_reaped_is_left_alone() -> None:
    with started("sleep 60 & echo $!; echo") as (shell, (member,)):
        leader = own_child(shell.pid)
        shell.wait(PATIENCE)

        kill_groups([leader])

        assert is_running(member)


def test_group_that_forks_on_and_on_is_killed() -> None:
    with started("(while :; do sleep 0.001; done) & echo $!; echo; wait") as (shell, (member,)):
        kill_groups([own_child(shell.pid)])

        assert shell.wait(PATIENCE) == -signal.SIGKILL
        assert wait_until(lambda: not is_running(member))


def test_no_group_takes_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "libcni.conformance.processes.find_processes", lambda _: pytest.fail("there is nothing to find")
    )

    kill_groups([])


@pytest.mark.parametrize("manner", [Manner(pause=0.01), Manner(terminate_after=0.2)], ids=["ends", "terminated"])
def test_group_is_signalled_only_while_its_leader_is_not_reaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manner: Manner
) -> None:
    plugin = tmp_path / "leaves"
    ending = "exit 0" if manner.pause else "sleep 60 & wait"
    plugin.write_text(f"#!/bin/sh\ncat >/dev/null; sleep 60 >/dev/null 2>&1 & echo $!; {ending}\n")
    plugin.chmod(0o755)
    sent: list[int] = []
    killpg = os.killpg

    def checked(group: int, number: int) -> None:
        os.waitid(os.P_PID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # raises if it was reaped
        sent.append(number)
        killpg(group, number)

    monkeypatch.setattr(os, "killpg", checked)

    output = run_call(HookedCall(str(plugin), b"{}", dict(os.environ), PATIENCE), manner)

    assert sent[-1] == signal.SIGKILL
    assert (signal.SIGTERM in sent) == bool(manner.terminate_after)
    assert wait_until(lambda: not is_running(int(output.stdout)))


def test_group_of_a_plugin_that_something_else_reaped_is_not_signalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "ends"
    plugin.write_text("#!/bin/sh\n")
    plugin.chmod(0o755)
    monkeypatch.setattr(os, "killpg", lambda *_: pytest.fail("the number may be that of another group"))

    def reap(pid: int) -> None:
        os.waitpid(pid, 0)

    call = HookedCall(str(plugin), b"{}", {}, PATIENCE, on_start=reap)
    with pytest.raises(ChildProcessError):
        run_call(call, Manner(pause=0.01))


# ------------------------------------------------------------------------------------------------------------- machines


def test_process_whose_namespace_got_a_number_that_was_given_back_stays_alive(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    bystanders: list[subprocess.Popen[bytes]] = []

    def work(machine: isolation.Machine) -> None:
        assert wait_until(lambda: is_given_again(machine)), "no number was given again"

    def is_given_again(machine: isolation.Machine) -> bool:
        names = [f"ns-{number}" for number in range(8)]
        numbers = {f"net:[{machine.add_namespace(name).stat().st_ino}]" for name in names}
        for name in names:
            machine.remove_namespace(name)
        if any(start() in numbers for _ in range(16)):
            return True
        # Numbers that came free meanwhile have moved the order, and files of namespaces in /proc have taken these.
        end([*bystanders])
        time.sleep(0.3)  # until the kernel has all of them back
        return False

    def end(some: list[subprocess.Popen[bytes]]) -> None:
        for process in some:
            bystanders.remove(process)
            process.kill()
            process.wait(PATIENCE)

    def start() -> str:
        script = "readlink /proc/self/ns/net; exec sleep 60"
        command = ["nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt", "unshare", "--net", "sh", "-c", script]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        bystanders.append(process)
        assert process.stdout is not None
        with process.stdout:
            return process.stdout.readline().decode().strip()

    try:
        in_machine(work, tmp_path)
        assert [process.poll() for process in bystanders] == [None] * len(bystanders)
    finally:
        end([*bystanders])


LEFT = (
    "exec unshare --mount sh -c 'echo $$; (while ! test -e {go}; do sleep 0.01; done; sleep 60 & echo $!; wait) & wait'"
)
"""A plugin's own process with mounts of its own, known by its network namespace alone; its child comes later."""


@pytest.mark.parametrize("opened", [False, True], ids=["gone", "opened"])
def test_process_in_a_namespace_that_was_removed_is_killed_and_so_is_its_later_child(
    namespaces: None, tmp_path: Path, *, opened: bool
) -> None:
    del namespaces
    found: list[Process] = []

    def work(machine: isolation.Machine) -> None:
        path = machine.add_namespace("ns-1")
        namespace = path.stat()
        descriptor = machine.open_namespace("ns-1") if opened else None
        command = ["nsenter", f"--net={path}", "setsid", "--fork", "sh", "-c", LEFT.format(go=tmp_path / "go")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as left:
            assert left.stdout is not None
            found.append(Process(int(left.stdout.readline())))
            machine.remove_namespace("ns-1")
            (tmp_path / "go").touch()
            found.append(Process(int(left.stdout.readline())))
        assert descriptor is None or os.path.samestat(os.fstat(descriptor), namespace)

    in_machine(work, tmp_path)

    assert wait_until(lambda: not any(is_running(process) for process in found))


def test_machine_closes_every_descriptor(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    before = open_count()

    def work(machine: isolation.Machine) -> None:
        for number in range(3):
            machine.add_namespace(f"ns-{number}")
        machine.open_namespace("ns-0")
        machine.remove_namespace("ns-0")
        machine.remove_namespace("ns-1")
        assert not machine.processes()

    in_machine(work, tmp_path)

    assert open_count() == before


def test_namespace_that_was_removed_is_gone_in_the_kernel(namespaces: None, tmp_path: Path) -> None:
    del namespaces

    def work(machine: isolation.Machine) -> None:
        path = machine.add_namespace("ns-1")
        subprocess.run(f"ip link add out0 type veth peer name in0 netns {path}".split(), check=True, timeout=PATIENCE)
        machine.remove_namespace("ns-1")
        assert wait_until(lambda: "out0" not in Path("/proc/thread-self/net/dev").read_text())

    in_machine(work, tmp_path)


def test_found_processes_are_never_this_program() -> None:
    assert not [process for process in find_processes(lambda _: True) if process.number == os.getpid()]
