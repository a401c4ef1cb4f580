"""Plugins that answer, log or cannot be started: written once, tested blocking, on asyncio and on trio."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from libcni.invoke.process.stderr_log import LINE_LIMIT
from libcni.invoke.runner import STDERR_LIMIT
from libcni.storage.operations import FileOperations
from libcni.storage.sync import Sync
from tests.process.conftest import PATIENCE, SOON, Flavour, Plugins, as_sync, eventually, wait_for

if TYPE_CHECKING:
    from libcni.invoke.steps import Steps

# What comes out.


def test_run_answer_is_returned_with_usage(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call('cat; echo " $HERE" ; echo said >&2; exit 3', stdin=b"asked"))
    assert output.stdout == f"asked {plugins.folder}\n".encode()
    assert output.stderr == b"said\n"
    assert (output.exit_status, output.signal) == (3, None)
    assert (output.timed_out, output.overflow) == (False, False)
    assert 0 < output.duration < SOON
    assert 0 <= output.cpu_seconds < SOON
    assert output.max_rss >= 256 * 1024


def test_run_signal_is_returned(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("kill -KILL $$"))
    assert (output.exit_status, output.signal) == (None, signal.SIGKILL)
    assert not output.timed_out


def test_run_invalid_utf8_passes_as_bytes(flavour: Flavour, plugins: Plugins) -> None:
    lines: list[str] = []
    output = flavour.run(plugins.call(r"printf '\377\n\376'; printf '\377\n\376' >&2", on_stderr=lines.append))
    assert output.stdout == output.stderr == b"\xff\n\xfe"
    assert lines == ["\ufffd", "\ufffd"]


def test_run_large_request_and_answer_pass_at_the_same_time(flavour: Flavour, plugins: Plugins) -> None:
    data = random.randbytes(1 << 21)
    output = flavour.run(plugins.call("exec cat", stdin=data))
    assert output.stdout == data


def test_run_large_request_that_is_never_read_does_no_harm(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("echo answer", stdin=b"x" * (1 << 21)))
    assert (output.stdout, output.exit_status) == (b"answer\n", 0)


def test_run_answer_before_the_request_is_read_counts(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("echo answer; exec cat >/dev/null", stdin=b"x" * (1 << 21)))
    assert (output.stdout, output.exit_status) == (b"answer\n", 0)


def test_run_request_not_read_with_default_sigpipe_does_not_kill_the_caller(flavour: Flavour, plugins: Plugins) -> None:
    previous = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        output = flavour.run(plugins.call("exec <&-; sleep 0.1; echo answer", stdin=b"x" * (1 << 20)))
    finally:
        signal.signal(signal.SIGPIPE, previous)
    assert output.stdout == b"answer\n"


@pytest.mark.parametrize("timeout", [None, 1e12], ids=str)
def test_run_without_a_near_deadline_waits_for_the_answer(
    flavour: Flavour, plugins: Plugins, timeout: float | None
) -> None:
    assert flavour.run(plugins.call("sleep 0.05; echo answer", timeout=timeout)).stdout == b"answer\n"


def test_run_on_start_gets_the_process_id(flavour: Flavour, plugins: Plugins) -> None:
    started: list[int] = []
    output = flavour.run(plugins.call("echo $$", on_start=started.append))
    assert started == [int(output.stdout)]


@pytest.mark.parametrize("size", [2, 500_000])
def test_run_request_is_held_back_until_on_start_has_returned(flavour: Flavour, plugins: Plugins, size: int) -> None:
    seen: list[bool] = []

    def look(_: int) -> None:
        time.sleep(0.1)
        seen.append((plugins.folder / "asked").exists())

    request = b"x" * size
    output = flavour.run(plugins.call('head -c 1 >"$HERE/asked"; cat', stdin=request, on_start=look))
    assert output.stdout == request[1:]
    assert seen == [True]
    assert (plugins.folder / "asked").read_bytes() == b"x"
    assert seen == [(plugins.folder / "asked").stat().st_size > 0]


def test_run_plugin_gets_no_request_when_on_start_raises(flavour: Flavour, plugins: Plugins) -> None:
    def fail(_: int) -> NoReturn:
        time.sleep(0.1)
        raise LookupError("from the callback")

    with pytest.raises(LookupError):
        flavour.run(plugins.call('cat >"$HERE/asked"', on_start=fail))
    assert (plugins.folder / "asked").read_bytes() == b""


# What the plugin finds.


def test_run_plugin_leads_a_group_with_clean_signals(flavour: Flavour, plugins: Plugins) -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    try:
        output = flavour.run(
            plugins.call("cut -d' ' -f1,5 /proc/$$/stat; exec grep -E '^Sig(Blk|Ign)' /proc/self/status")
        )
    finally:
        signal.signal(signal.SIGHUP, previous)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    pid, group, *masks = output.stdout.split()
    assert pid == group
    assert (masks[0], masks[2]) == (b"SigBlk:", b"SigIgn:")
    own_of_libc = 0b11 << 31  # signals 32 and 33: glibc has them ignored in everything it spawns
    assert [int(mask, 16) & ~own_of_libc for mask in masks[1::2]] == [0, 0]


def test_run_plugin_inherits_no_descriptor(flavour: Flavour, plugins: Plugins) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        output = flavour.run(plugins.call("ls -l /proc/$$/fd"))
        assert os.get_inheritable(writer)
        assert str(Path(f"/proc/self/fd/{writer}").readlink()) not in output.stdout.decode()
    finally:
        os.close(reader)
        os.close(writer)


def test_run_with_closed_standard_streams_works(flavour: Flavour, plugins: Plugins) -> None:
    code = f"""
        from pathlib import Path
        from tests.process.conftest import Flavour, Plugins
        plugins = Plugins(Path({str(plugins.folder)!r}))
        output = Flavour({flavour.name!r}).run(plugins.call("cat; echo said >&2", stdin=b"asked"))
        (plugins.folder / "result").write_bytes(output.stdout + output.stderr)
    """
    subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, textwrap.dedent(code)],
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert (plugins.folder / "result").read_bytes() == b"askedsaid\n"


# What cannot be started.


def test_run_missing_file_raises(flavour: Flavour, plugins: Plugins) -> None:
    path = str(plugins.folder / "missing")
    with pytest.raises(FileNotFoundError) as caught:
        flavour.run(plugins.call_of(path, stdin=b"x" * (1 << 20)))
    assert caught.value.filename == path


def test_run_file_without_execute_bit_raises(flavour: Flavour, plugins: Plugins) -> None:
    path = Path(plugins.script("exit 0"))
    path.chmod(0o644)
    with pytest.raises(PermissionError):
        flavour.run(plugins.call_of(str(path)))


def test_run_file_without_shebang_raises(flavour: Flavour, plugins: Plugins) -> None:
    path = Path(plugins.script("exit 0"))
    path.write_text("exit 0\n")
    with pytest.raises(OSError, match="Exec format error") as caught:
        flavour.run(plugins.call_of(str(path)))
    assert caught.value.errno == errno.ENOEXEC


def test_run_missing_interpreter_raises(flavour: Flavour, plugins: Plugins) -> None:
    path = Path(plugins.script("exit 0"))
    path.write_text("#!/nonexistent/interpreter\n")
    with pytest.raises(FileNotFoundError):
        flavour.run(plugins.call_of(str(path)))


def test_run_without_descriptors_left_raises(flavour: Flavour, plugins: Plugins) -> None:
    call = plugins.call("exit 0")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def attempt() -> None:
        runner = flavour.runner()
        extra = 0 if flavour.is_blocking else 1  # the poller of the asynchronous runner
        free = [os.dup(0) for _ in range(extra + 3)]  # room for one pipe and a half
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, hard))
        for fd in free:
            os.close(fd)
        try:
            with pytest.raises(OSError, match="Too many open files"):
                await runner.run(call)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    flavour.drive(attempt)


def test_run_busy_file_is_tried_again(flavour: Flavour, plugins: Plugins, busy: Path) -> None:
    writer = busy.open("r+b")
    timer = threading.Timer(0.15, writer.close)
    timer.start()
    output = flavour.run(plugins.call_of(str(busy), stdin=b"asked"))
    timer.join()
    assert (output.stdout, output.exit_status) == (b"asked", 0)
    assert output.duration >= 0.1


@pytest.mark.parametrize(("limit", "timeout"), [(0.1, PATIENCE), (PATIENCE, 0.1)], ids=["limit", "deadline"])
def test_run_file_that_stays_busy_raises(
    flavour: Flavour, plugins: Plugins, busy: Path, limit: float, timeout: float
) -> None:
    started = time.monotonic()
    with busy.open("r+b"), pytest.raises(OSError, match="Text file busy") as caught:
        flavour.run(plugins.call_of(str(busy), timeout=timeout), busy=limit)
    assert caught.value.errno == errno.ETXTBSY
    assert time.monotonic() - started < SOON


def test_run_file_replaced_meanwhile_answers_as_the_old_one(flavour: Flavour, plugins: Plugins) -> None:
    new = plugins.script("echo new", "new")

    def replace(_: str) -> None:
        Path(new).replace(path)
        (plugins.folder / "go").touch()

    path = plugins.script(f"echo ready >&2\n{wait_for('go')}\necho old", "plugin")
    call = plugins.call_of(path, on_stderr=replace)
    assert flavour.run(call).stdout == b"old\n"
    assert flavour.run(plugins.call_of(path)).stdout == b"new\n"


# What the plugin logs.


def test_run_stderr_lines_come_while_the_plugin_runs(flavour: Flavour, plugins: Plugins) -> None:
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        (plugins.folder / line).touch()

    body = f"echo one >&2\n{wait_for('one')}\nprintf 'two\\r\\n\\nthr' >&2; printf ee >&2"
    output = flavour.run(plugins.call(body, on_stderr=lambda line: note(line or "empty")))
    assert lines == ["one", "two", "empty", "three"]
    assert output.stderr == b"one\ntwo\r\n\nthree"


def test_run_flood_of_stderr_keeps_the_tail_in_bounded_memory(flavour: Flavour, plugins: Plugins) -> None:
    size = 100_000_000
    seen = longest = 0

    def note(line: str) -> None:
        nonlocal seen, longest
        seen, longest = seen + len(line), max(longest, len(line))

    call = plugins.call(f"head -c {size} /dev/zero | tr '\\0' x >&2; printf end >&2", on_stderr=note, timeout=60)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    output = flavour.run(call)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    assert output.stderr == b"x" * (STDERR_LIMIT - 3) + b"end"
    assert (seen, longest) == (size + 3, LINE_LIMIT)
    assert output.exit_status == 0


def test_run_long_line_is_not_cut_inside_a_character(flavour: Flavour, plugins: Plugins) -> None:
    lines: list[str] = []
    text = "x" + "ä" * LINE_LIMIT
    flavour.run(plugins.call("cat >&2; echo >&2; echo end >&2", stdin=text.encode(), on_stderr=lines.append))
    assert "".join(lines) == text + "end"
    assert lines[-1] == "end"
    assert all(len(line.encode()) <= LINE_LIMIT for line in lines)


def test_run_work_before_the_request_is_done_while_the_plugin_waits_for_it(flavour: Flavour, plugins: Plugins) -> None:
    seen: list[bytes] = []

    def look() -> None:
        assert eventually((plugins.folder / "asked").exists)
        time.sleep(0.1)
        seen.append((plugins.folder / "asked").read_bytes())

    for on_start in (None, lambda _: None):
        call = plugins.call(
            'cat >"$HERE/asked"; echo answer', stdin=b"request", on_start=on_start, before=as_sync(look)
        )
        assert flavour.run(call).stdout == b"answer\n"
        assert (plugins.folder / "asked").read_bytes() == b"request"
        (plugins.folder / "asked").unlink()
    assert seen == [b"", b""]


def _syncing(descriptor: int, seen: list[object], *, is_fatal: bool) -> Steps[None]:
    try:
        yield Sync(FileOperations().sync, descriptor)
        seen.append("synced")
    except OSError as error:
        seen.append(error.errno)
        if is_fatal:
            raise


def test_run_request_is_given_when_a_file_is_on_the_disk(flavour: Flavour, plugins: Plugins, tmp_path: Path) -> None:
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    seen: list[object] = []
    call = plugins.call("cat", stdin=b"request", before=_syncing(file, seen, is_fatal=True))
    assert flavour.run(call).stdout == b"request"
    assert seen == ["synced"]
    os.close(file)


@pytest.mark.parametrize("is_fatal", [True, False])
def test_run_sync_that_fails_may_keep_the_request_back(flavour: Flavour, plugins: Plugins, is_fatal: bool) -> None:
    reading, writing = os.pipe()  # which cannot be synced
    seen: list[object] = []
    call = plugins.call(
        'cat >"$HERE/asked"; cat "$HERE/asked"',
        stdin=b"request",
        before=_syncing(writing, seen, is_fatal=is_fatal),
    )
    if is_fatal:
        with pytest.raises(OSError, match="Invalid argument"):
            flavour.run(call, grace=PATIENCE)
        asked = plugins.folder / "asked"
        assert not asked.exists() or asked.read_bytes() == b""
    else:
        assert flavour.run(call).stdout == b"request"
    assert seen == [errno.EINVAL]
    os.close(reading)
    os.close(writing)


def test_run_work_of_a_program_that_does_not_start_is_not_begun(flavour: Flavour, plugins: Plugins) -> None:
    done: list[int] = []
    call = plugins.call_of(str(plugins.folder / "missing"), before=as_sync(lambda: done.append(1)))
    with pytest.raises(FileNotFoundError):
        flavour.run(call)
    assert done == []


@pytest.mark.parametrize("hook", ["on_stderr", "on_start", "on_slow", "before"])
def test_run_callback_that_raises_ends_the_plugin(flavour: Flavour, plugins: Plugins, hook: str) -> None:
    started: list[float] = []

    def fail(*_: object) -> NoReturn:
        started.append(time.monotonic())
        raise LookupError("from the callback")

    hooks: dict[str, Any] = {hook: as_sync(fail) if hook == "before" else fail}
    body = "trap 'echo bye >&2; exit' TERM; echo said >&2; while :; do sleep 0.05; done"
    with pytest.raises(LookupError, match="from the callback"):
        flavour.run(plugins.call(body, **hooks))
    assert len(started) == 1
    assert time.monotonic() - started[0] < SOON
