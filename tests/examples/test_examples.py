"""The example programs, run as their documentation says, with reference plugins."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcni import netns
from libcni.networks import BlockingNetworks
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LIMIT = 60.0
"""Seconds."""
SANDBOXES = 200 if os.environ.get("LIBCNI_FAULTS") == "full" else 24
AT_ONCE = 16
GATEWAY = "10.236.0.1"


@pytest.fixture(autouse=True)
def _host() -> None:
    missing = kernel.missing_requirement()
    if missing:
        pytest.skip(missing)
    kernel.reset_firewall()


@pytest.fixture
def directories(tmp_path: Path) -> Iterator[list[str]]:
    """Return the options of an example for a configuration directory with one bridge, and for a cache directory."""
    with kernel.bridge_name() as bridge:
        allocator = {"type": "host-local", "ranges": [[{"subnet": "10.236.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}
        plugin: dict[str, Any] = {"type": "bridge", "bridge": bridge, "isGateway": True}
        plugin["ipam"] = {**allocator, "dataDir": str(tmp_path / "leases")}
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        for folder, plugins in (("net.d", [plugin, portmap]), ("plain.d", [plugin])):
            document = {"cniVersion": "1.0.0", "name": "front", "plugins": plugins}
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "10-front.conflist").write_text(json.dumps(document))
        yield [
            f"--conf-dir={tmp_path / 'net.d'}",
            f"--bin-dir={kernel.PLUGIN_DIR}",
            f"--cache-dir={tmp_path / 'cache'}",
        ]


def start(example: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(EXAMPLES / example), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def leases(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "leases").glob("*/10.*"))


def assert_nothing_is_left(tmp_path: Path) -> None:
    assert leases(tmp_path) == []
    with BlockingNetworks(tmp_path, [], cache_dir=tmp_path / "cache", watch=False) as networks:
        assert networks.attachments() == []
    assert not [name for name in kernel.HOST.links() if name.startswith("veth")]
    assert "--to-destination" not in kernel.firewall_rules()


SERVER = r"""
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (struct sockaddr *)&place, sizeof place) || listen(server, 1)) return 1;
    int client = accept(server, 0, 0);
    return write(client, "hello\n", 6) != 6;
}
"""


def answer_from(address: tuple[str, int], process: subprocess.Popen[str]) -> bytes:
    """Return what a server says, which may not be up yet."""
    until = time.monotonic() + LIMIT
    while True:
        try:
            with socket.create_connection(address, timeout=5) as client:
                return client.recv(100)
        except OSError:
            assert time.monotonic() < until, process.communicate(timeout=5)
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)


def test_container_of_runc_answers_at_its_published_port(directories: list[str], tmp_path: Path) -> None:
    assert shutil.which("runc"), "runc is not installed"
    rootfs = tmp_path / "rootfs"
    for folder in ("bin", "proc"):
        (rootfs / folder).mkdir(parents=True)
    (tmp_path / "server.c").write_text(SERVER)
    subprocess.run(["gcc", "-static", "-o", rootfs / "bin" / "server", tmp_path / "server.c"], check=True)
    name = kernel.random_name("web")
    options = [*directories, f"--rootfs={rootfs}", "--publish=28080:8080"]
    with start("run_container.py", *options, name, "/bin/server") as process:
        assert answer_from((GATEWAY, 28080), process) == b"hello\n"
        output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (0, "")
    assert output.startswith("10.236.")
    assert_nothing_is_left(tmp_path)
    assert not (Path(netns.DIRECTORY) / name).exists()


def test_containers_of_a_pod_reach_each_other_at_localhost(directories: list[str], tmp_path: Path) -> None:
    serve = f"exec {sys.executable} -c 'import socket; s = socket.create_server((\"127.0.0.1\", 8080)); s.accept()'"
    connect = (
        f"exec {sys.executable} -c 'import socket, time\n"
        "while True:\n"
        ' try: socket.create_connection(("127.0.0.1", 8080)); raise SystemExit(7)\n'
        " except OSError: time.sleep(0.02)'"
    )
    name = kernel.random_name("pod")
    with start("pod.py", *directories, name, serve, connect) as process:
        output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (7, "")
    assert output.startswith("10.236.")
    assert_nothing_is_left(tmp_path)


class Service:
    """The sandbox service, and a client of it."""

    def __init__(self, directories: list[str], tmp_path: Path) -> None:
        self.socket = tmp_path / f"{uuid.uuid4().hex[:8]}.sock"
        self.state = tmp_path / "sandboxes"
        self.process = start("sandbox_service.py", *directories, f"--state={self.state}", str(self.socket))
        until = time.monotonic() + LIMIT
        while not self._is_answering():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)

    def _is_answering(self) -> bool:
        """Return whether it accepts connections: the file of the socket comes before that."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    def call(self, method: str, **members: Any) -> Any:
        """Return the answer to one request; ``None`` when the service dies meanwhile."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(LIMIT)
                client.connect(str(self.socket))
                client.sendall(json.dumps({"method": method, **members}).encode() + b"\n")
                line = client.makefile().readline()
        except OSError:
            return None
        return json.loads(line) if line else None

    def run(self, number: int) -> Any:
        metadata = {"name": f"web-{number}", "namespace": "default", "uid": str(number)}
        ports = [{"host_port": 21000 + number, "container_port": 80}]
        return self.call("RunPodSandbox", config={"metadata": metadata, "port_mappings": ports})

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=LIMIT)


def test_sandbox_service_survives_a_kill_in_the_middle(directories: list[str], tmp_path: Path) -> None:
    service = Service(directories, tmp_path)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(service.run, number) for number in range(SANDBOXES)]
        while sum(job.done() for job in jobs) < SANDBOXES // 2:
            time.sleep(0.01)
        service.end(signal.SIGKILL)
        done = [job.result()["pod_sandbox_id"] for job in jobs if job.result() is not None]
    assert SANDBOXES // 2 <= len(done) < SANDBOXES

    service = Service(directories, tmp_path)
    try:
        conditions = {each["type"]: each["status"] for each in service.call("Status")["status"]["conditions"]}
        assert conditions == {"RuntimeReady": True, "NetworkReady": True}
        # What was completed is there, and nothing else: what the kill met in its set-up was taken down at the start.
        # The answer to a sandbox that was complete in the last moment may not have come.
        complete = sorted(path.stem for path in service.state.glob("*.json"))
        assert set(done) <= set(complete)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            statuses = list(pool.map(lambda each: service.call("PodSandboxStatus", pod_sandbox_id=each), complete))
            addresses = [status["status"]["network"]["ip"] for status in statuses]
            assert sorted(addresses) == leases(tmp_path)
            assert kernel.HOST.reaches(addresses[0])
            assert "error" in service.call("PodSandboxStatus", pod_sandbox_id="never-there")
            stopped = list(
                pool.map(lambda each: service.call("StopPodSandbox", pod_sandbox_id=each), [*complete, "gone"])
            )
        assert stopped == [{}] * (len(complete) + 1)
        assert_nothing_is_left(tmp_path)
        assert not [each for each in netns.list() if (each.name or "").startswith("sandbox-")]
    finally:
        service.end(signal.SIGTERM)


def get(port: int, path: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return client.makefile().read()


def test_node_agent_reconciles_and_exposes_metrics(directories: list[str], tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    alive.write_text("box-0\n")
    with (
        netns.create() as one,
        netns.create() as other,
        BlockingNetworks(
            tmp_path / "net.d", [kernel.PLUGIN_DIR], cache_dir=tmp_path / "cache", watch=False
        ) as networks,
    ):
        for name, box in (("box-0", one), ("box-1", other)):
            networks.setup(name, box)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        listen = f"--listen=127.0.0.1:{port}"
        with start("node_agent.py", *directories, f"--list=cat {alive}", "--interval=0.2", listen) as agent:
            try:
                until = time.monotonic() + LIMIT
                while [item.container_id for item in networks.attachments()] != ["box-0"]:
                    assert agent.poll() is None, agent.communicate()
                    assert time.monotonic() < until
                    time.sleep(0.05)
                assert get(port, "/readyz").startswith("HTTP/1.0 200 OK")
                metrics = get(port, "/metrics")
                assert re.search(r'^libcni_plugin_calls_total\{.*plugin="bridge".*\} 1', metrics, re.MULTILINE), metrics
                alive.unlink()  # nothing is known now, and nothing deleted
                time.sleep(0.5)
                assert len(networks.attachments()) == 1
            finally:
                agent.terminate()
                _, errors = agent.communicate(timeout=LIMIT)
        assert agent.returncode == 0, errors
        assert "INFO default network: front" in errors
        assert "front/box-1/eth0: unexpected, delete" in errors
        assert "WARNING not reconciled" in errors
        networks.remove("box-0")
    assert_nothing_is_left(tmp_path)


def test_bridge_works_without_root(directories: list[str], tmp_path: Path) -> None:
    del directories
    arguments = (str(tmp_path / "plain.d"), str(kernel.PLUGIN_DIR))
    with start("rootless.py", *arguments) as process:
        output, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (0, "")
    assert re.fullmatch(r"10\.236\.0\.\d+ got b'hello\\n' from 10\.236\.0\.\d+/16\n", output)
    assert leases(tmp_path) == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120


def test_manifest_of_the_agent_is_valid() -> None:
    validate = Path(sys.executable).with_name("kubernetes-validate")
    subprocess.run([validate, "--strict", EXAMPLES / "daemonset.yaml"], check=True, timeout=LIMIT)


def test_example_of_the_page_runs(directories: list[str], tmp_path: Path) -> None:
    del directories
    page = (EXAMPLES.parent / "networks.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    name = kernel.random_name("cni-")
    for written, here in (
        ('"/etc/cni/net.d", ["/opt/cni/bin"]', f'"{tmp_path / "net.d"}", ["{kernel.PLUGIN_DIR}"]'),
        ('owner="myruntime"', f'owner="myruntime", cache_dir="{tmp_path / "cache"}"'),
        ('create("box-1")', f'create("{name}")'),
    ):
        assert code.count(written) == 1
        code = code.replace(written, here)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("10.236.")
    assert_nothing_is_left(tmp_path)
