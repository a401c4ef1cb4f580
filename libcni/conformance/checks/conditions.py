"""Checks of a plugin under the conditions that runtimes bring about: load, slowness, signals, full disks, long paths.

Source: SPEC 1.1.0, section 2; where that says nothing, what runtimes do every day.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from libcni.conformance.drive import Manner
from libcni.conformance.expect import (
    NotApplicableError,
    UnstatedError,
    error_document,
    expect,
    expect_success,
    listed,
    unstated,
)
from libcni.conformance.records import is_log

if TYPE_CHECKING:
    from collections.abc import Collection

    from libcni.conformance.calls import Answer
    from libcni.conformance.lab import Container, Lab
    from libcni.conformance.processes import Process

__all__ = [
    "added_in_parallel",
    "addresses_in_parallel",
    "any_directory",
    "clean_after_interrupt",
    "data_full",
    "data_read_only",
    "deleted_after_interrupt",
    "deleted_in_parallel",
    "identifier_long",
    "identifiers_alike",
    "input_in_pieces",
    "no_files_left",
    "no_process_left",
    "output_read_late",
    "path_relative",
    "paths_long",
    "repeats",
    "stdio_closed",
    "time_per_verb",
    "unstored_leaves_nothing",
]

_SEVERAL = 16


def _add_all(lab: Lab) -> list[Container]:
    containers = lab.containers(_SEVERAL)
    answers = lab.send_all([lab.request("ADD", container) for container in containers])
    for container, answer in zip(containers, answers, strict=True):
        expect_success(answer, f"for {_SEVERAL} containers at the same time")
        lab.add_known(container, answer)
    return containers


def added_in_parallel(lab: Lab) -> None:
    """ADD many containers at once."""
    _add_all(lab)


def addresses_in_parallel(lab: Lab) -> None:
    """Compare the addresses that were given at once."""
    containers = _add_all(lab)
    given = [address for container in containers for address in lab.addresses(container)]
    repeated = sorted({address for address in given if given.count(address) > 1})
    expect(not repeated, f"other addresses for each of {_SEVERAL} containers", f"given twice: {', '.join(repeated)}")


def deleted_in_parallel(lab: Lab) -> None:
    """DEL many containers at once."""
    containers = [lab.container() for _ in range(_SEVERAL)]
    for container in containers:
        lab.add(container)
    for answer in lab.send_all([lab.request("DEL", container) for container in containers]):
        expect_success(answer, f"for {_SEVERAL} containers at the same time")
    left = [path for container in containers for path in lab.traces(container)]
    expect(not left, "no record of any container", left)


def input_in_pieces(lab: Lab) -> None:
    """Write the configuration in small pieces."""
    answer = lab.send(lab.request("ADD", lab.container()), Manner(pause=0.3))
    expect_success(answer, "when standard input comes in small pieces")


def output_read_late(lab: Lab) -> None:
    """Read the result late, from a pipe that was full at first."""
    answer = lab.send(lab.request("ADD", lab.container()), Manner(stalled=0.3))
    expect_success(answer, "when standard output is read late")
    expect(answer.document is not None, "the result, complete", answer.summary, answer)


def _interrupted(lab: Lab) -> list[Container]:
    """End three ADDs at different times with SIGTERM."""
    if lab.subject.ifname == "lo":
        raise NotApplicableError("the loopback is always there")
    started = time.monotonic()
    lab.add(lab.container())
    usual = time.monotonic() - started
    containers = lab.containers(3)
    for container, part in zip(containers, (0.4, 0.6, 0.8), strict=True):
        lab.send(lab.request("ADD", container), Manner(terminate_after=usual * part))
    return containers


def deleted_after_interrupt(lab: Lab) -> None:
    """DEL after an ADD that was ended by SIGTERM."""
    for container in _interrupted(lab):
        expect_success(lab.send(lab.request("DEL", container)), "after an ADD that was ended by SIGTERM")


def clean_after_interrupt(lab: Lab) -> None:
    """Look for what is left after an ADD that was ended by SIGTERM, and a DEL."""
    for container in _interrupted(lab):
        answer = lab.send(lab.request("DEL", container))
        if container.before is None:
            left = [name for name in lab.look(container).links if name == container.ifname]
            expect(not left, "no interface after SIGTERM and DEL", left, answer)
        traces = lab.traces(container)
        expect(not traces, f"no file that mentions {container.id} after SIGTERM and DEL", traces, answer)


def _cannot_write(lab: Lab, container: Container, how: str) -> None:
    answer = lab.send(lab.request("ADD", container))
    if not answer.is_success:
        if error_document(answer) is None:
            raise UnstatedError(f"an error object when the data directory is {how}", unstated(answer), answer)
        return
    lab.add_known(container, answer)
    # Nothing could be stored, and still it was said to have worked: then the next container must not get the same.
    other = lab.container()
    second = lab.send(lab.request("ADD", other))
    if second.is_success:
        lab.add_known(other, second)
        shared = set(lab.addresses(container)) & set(lab.addresses(other))
        expect(
            not shared,
            f"an error when the data directory is {how}",
            f"two containers got {', '.join(sorted(shared))}",
            second,
        )


def unstored_leaves_nothing(lab: Lab) -> None:
    """ADD with a data directory that cannot be written, and look at the host and the container."""
    lab.add(lab.container())
    container = lab.container()
    before, inside = lab.state(), lab.state(container)
    _make_read_only(lab)
    answer = lab.send(lab.request("ADD", container))
    if answer.is_success:
        raise NotApplicableError("ADD succeeds without a data directory that can be written")
    left = lab.left_on_host(before) + inside.additions(lab.state(container))
    expect(not left, "nothing of an ADD that could not store what it had to", listed(left), answer)


def _make_read_only(lab: Lab) -> None:
    lab.machine.make_read_only(lab.machine.data)
    lab.note(f"mount --bind {lab.machine.data} {lab.machine.data}; mount -o remount,bind,ro {lab.machine.data}")


def data_read_only(lab: Lab) -> None:
    """ADD with a data directory that cannot be written."""
    container = lab.container()
    _make_read_only(lab)
    _cannot_write(lab, container, "read-only")


def data_full(lab: Lab) -> None:
    """ADD with a data directory that is full."""
    container = lab.container()
    lab.machine.fill(lab.machine.data)
    lab.note(f"mount -t tmpfs -o size=4096,nr_inodes=4 tmpfs {lab.machine.data}")
    lab.note(f"head -c 4096 /dev/zero > {lab.machine.data}/ballast")
    _cannot_write(lab, container, "full")


def path_relative(lab: Lab) -> None:
    """ADD with a relative directory in front of CNI_PATH."""
    container = lab.container()
    (lab.machine.work / "plugins").mkdir(exist_ok=True)
    lab.paths = ["plugins", *lab.paths]
    answer = lab.send(lab.request("ADD", container))
    expect_success(answer, "with a relative directory in CNI_PATH")


def paths_long(lab: Lab) -> None:
    """ADD with a long path to the namespace and a long CNI_PATH."""
    folder = lab.machine.root.joinpath(*["deep" * 12] * 8)
    container = lab.container(folder=folder)
    lab.paths = [*lab.paths, str(folder)]
    answer = lab.send(lab.request("ADD", container))
    expect_success(answer, f"with a path of {len(str(container.netns))} characters to the namespace")


def identifier_long(lab: Lab) -> None:
    """ADD and DEL with a container id of 128 characters."""
    container = lab.container("c" * 128)
    answer = lab.send(lab.request("ADD", container))
    expect_success(answer, "with a container id of 128 characters")
    lab.add_known(container, answer)
    expect_success(lab.send(lab.request("DEL", container)), "with a container id of 128 characters")


def identifiers_alike(lab: Lab) -> None:
    """ADD containers whose long ids differ at the end only."""
    for last in "ab":
        answer = lab.send(lab.request("ADD", lab.container("c" * 63 + last)))
        expect_success(answer, "with container ids that differ in the last of 64 characters")


def no_process_left(lab: Lab) -> None:
    """Look for processes after ADD and DEL."""
    container = lab.container()
    before = {process.number for process in lab.machine.processes()}
    answer = lab.add(container)
    lab.delete(container)
    deadline = time.monotonic() + 0.5
    while (left := _others(lab, before)) and time.monotonic() < deadline:
        time.sleep(0.02)
    expect(not left, "no process after ADD and DEL", [_command(process) for process in left], answer)


def _others(lab: Lab, numbers: Collection[int]) -> list[Process]:
    return [process for process in lab.machine.processes() if process.number not in numbers]


def _command(process: Process) -> str:
    try:
        return process.read("cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:  # pragma: no cover -- it ended in this moment
        return f"process {process.number}"


def time_per_verb(lab: Lab) -> None:
    """Take the time of each verb."""
    container = lab.container()
    answers: list[Answer] = [lab.send(lab.version_request())]
    answers.append(lab.add(container))
    if lab.supports("0.4.0"):
        answers.append(lab.send(lab.request("CHECK", container)))
    answers.append(lab.send(lab.request("DEL", container)))
    for answer in answers:
        taken = answer.output.duration
        expect(
            taken <= lab.subject.seconds,
            f"{answer.request.verb} within {lab.subject.seconds:g} s",
            f"{taken:.1f} s",
            answer,
        )


def no_files_left(lab: Lab) -> None:
    """Look at the current directory and the one for temporary files."""
    container = lab.container()
    answer = lab.add(container)
    lab.delete(container)
    found = [path for folder in (lab.machine.work, lab.machine.scratch) for path in folder.rglob("*")]
    left = [str(path) for path in found if not is_log(lab.subject, lab.machine, path)]
    expect(not left, "no file in the current directory and in TMPDIR", listed(left), answer)


def any_directory(lab: Lab) -> None:
    """ADD in a current directory that has been removed."""
    container = lab.container()
    gone = lab.machine.root / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    lab.note(f"mkdir {gone}; cd {gone}; rmdir {gone}")
    try:
        answer = lab.send(lab.request("ADD", container))
    finally:
        os.chdir(lab.machine.work)
    expect_success(answer, "in a current directory that is gone")


def repeats(lab: Lab) -> None:
    """ADD and DEL one container several times, more often than a small range has addresses."""
    container = lab.container()
    for number in range(1, 5):
        answer = lab.send(lab.request("ADD", container))
        expect_success(answer, f"time {number}, each followed by DEL")
        lab.add_known(container, answer)
        lab.delete(container)
    if not lab.subject.has_data:
        raise NotApplicableError("the plugin keeps nothing that could run out")


def stdio_closed(lab: Lab) -> None:
    """See whether something holds standard output or standard error open after the plugin has ended."""
    container = lab.container()
    for verb in ("ADD", "DEL"):
        answer = lab.send(lab.request(verb, container))
        holders = [_command(process) for process in lab.machine.processes() if _holds_pipe(process)]
        expect(
            not holders, f"standard output and error to end with {verb}", f"held open by {', '.join(holders)}", answer
        )


def _holds_pipe(process: Process) -> bool:
    return any(_link(process, f"fd/{number}").startswith("pipe:") for number in (1, 2))


def _link(process: Process, name: str) -> str:
    try:
        return process.link(name)
    except OSError:  # it is closed
        return ""
