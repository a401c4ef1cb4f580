"""Plugins that outlived the process that ran them: the noted one, and those that only their environment tells."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from libcni import AsyncCNIConfig, CNIConfig, CNIError, RuntimeConf
from libcni.attachment import AttachmentKey
from libcni.config import parse_network
from libcni.conformance.processes import kill_groups, own_child
from libcni.record import State, record_of
from libcni.store import Store
from libcni.testing import ScriptedRunner
from tests.records import as_file, begin_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = AttachmentKey("net", "box", "eth0")
RT = RuntimeConf("box", "", "eth0")
CONFIG = b'{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "slow"}]}'


@pytest.fixture
def left_behind(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a plugin of the container, as a runtime does that is killed right afterwards."""
    plugin = tmp_path / "bin" / "slow"
    plugin.parent.mkdir()
    plugin.write_text("#!/bin/sh\nsleep 60 &\nwait\n")
    plugin.chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "box", "CNI_IFNAME": "eth0"}
    with subprocess.Popen([str(plugin)], env=environ, start_new_session=True) as process:
        try:
            time.sleep(0.1)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("is_noted", [True, False], ids=["noted", "found-by-its-environment"])
def test_recovery_ends_a_plugin_before_it_deletes(
    tmp_path: Path, left_behind: subprocess.Popen[bytes], is_noted: bool
) -> None:
    cache_dir = tmp_path / "cache"
    journal = Store(str(cache_dir), durable=False).journal
    begin_record(journal, record_of(KEY, RT, config=CONFIG, owner=None, state=State.ADDING))
    if is_noted:
        with journal.open(KEY) as opened:
            opened.note_plugin(left_behind.pid)
    runner = ScriptedRunner()
    config = CNIConfig([tmp_path / "bin"], cache_dir=cache_dir, runner=runner, durable=False)
    assert [report.done for report in config.recover()] == [True]
    assert left_behind.wait(10) != 0
    assert runner.history == [("DEL", "slow")]
    assert config.pending() == []


def test_event_loop_goes_on_while_a_plugin_that_was_left_behind_is_ended(tmp_path: Path) -> None:
    plugin = tmp_path / "bin" / "slow"
    plugin.parent.mkdir()
    plugin.write_text("#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n")
    plugin.chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "box", "CNI_IFNAME": "eth0"}
    journal = Store(str(tmp_path / "cache"), durable=False).journal
    begin_record(journal, record_of(KEY, RT, config=CONFIG, owner=None, state=State.ADDING))
    config = AsyncCNIConfig([tmp_path / "bin"], cache_dir=tmp_path / "cache", durable=False)
    gaps: list[float] = []

    async def main() -> None:
        async with anyio.create_task_group() as tasks:

            async def tick() -> None:
                while True:
                    started = time.monotonic()
                    await anyio.sleep(0.01)
                    gaps.append(time.monotonic() - started)

            tasks.start_soon(tick)
            with pytest.raises(CNIError):  # the plugin deletes nothing
                await config.del_network_list(parse_network(CONFIG), RT, timeout=0.1)
            tasks.cancel_scope.cancel()

    with subprocess.Popen([str(plugin)], env=environ, stdout=subprocess.PIPE, start_new_session=True) as process:
        leader = own_child(process.pid)
        try:
            assert process.stdout is not None
            process.stdout.readline()
            anyio.run(main)
            assert process.poll() is not None
        finally:
            kill_groups([leader])
    assert len(gaps) >= 20  # it took the grace of 2 s
    assert max(gaps) < 1


def test_plugin_that_recovers_its_own_container_does_not_end_itself(tmp_path: Path) -> None:
    cache_dir, bin_dir = tmp_path / "cache", tmp_path / "bin"
    journal = Store(str(cache_dir), durable=False).journal
    begin_record(journal, record_of(KEY, RT, config=CONFIG, owner=None, state=State.NEEDS_DELETE))
    bin_dir.mkdir()
    (bin_dir / "meta.py").write_text(
        "from libcni import CNIConfig\n"
        "from libcni.testing import ScriptedRunner\n"
        f"config = CNIConfig([{str(bin_dir)!r}], cache_dir={str(cache_dir)!r}, runner=ScriptedRunner())\n"
        "print([report.done for report in config.recover()])\n"
    )
    (bin_dir / "meta").write_text(f"#!/bin/sh\n{sys.executable} {bin_dir}/meta.py\n")
    (bin_dir / "meta").chmod(0o755)
    environ = dict(os.environ) | {"CNI_CONTAINERID": "box", "CNI_IFNAME": "eth0"}
    done = subprocess.run([str(bin_dir / "meta")], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "[True]\n"), done.stderr


def test_plugin_of_a_container_with_the_same_paths_is_left_alone(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a file system of its own")
    folder = tmp_path / "bin"
    folder.mkdir()
    script = (
        f"mount -t tmpfs tmpfs {folder} && printf '#!/bin/sh\\necho ready\\nsleep 60 & wait\\n' >{folder}/slow"
        f" && chmod 755 {folder}/slow && exec {folder}/slow"
    )
    environ = {"PATH": os.environ["PATH"], "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "box", "CNI_IFNAME": "eth0"}
    words = ["unshare", "--mount", "sh", "-c", script]
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, start_new_session=True) as process:
        leader = own_child(process.pid)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            journal = Store(str(tmp_path / "cache"), durable=False).journal
            begin_record(journal, record_of(KEY, RT, config=CONFIG, owner=None, state=State.ADDING))
            config = CNIConfig([folder], cache_dir=tmp_path / "cache", runner=ScriptedRunner(), durable=False)
            assert [report.done for report in config.recover()] == [True]
            assert process.poll() is None
        finally:
            kill_groups([leader])


def test_process_that_only_has_the_number_is_left_alone(tmp_path: Path) -> None:
    journal = Store(str(tmp_path), durable=False).journal
    begin_record(journal, record_of(KEY, RT, config=CONFIG, owner=None, state=State.ADDING))
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            with journal.open(KEY) as opened:
                opened.note_plugin(process.pid)
            path = as_file(tmp_path)
            noted = path.read_bytes()
            # As if the noted plugin had been started long ago, and its number gone to another process since.
            started = noted.split(b'"plugin":"', 1)[1].split(b'"', 1)[0]
            path.write_bytes(noted.replace(started, f"{process.pid} 1.00".ljust(len(started)).encode()))
            config = CNIConfig(["/missing"], cache_dir=tmp_path, runner=ScriptedRunner(), durable=False)
            assert [report.done for report in config.recover()] == [True]
            assert process.poll() is None
        finally:
            process.kill()
