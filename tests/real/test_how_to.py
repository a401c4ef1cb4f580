"""The pages that say how to do something: each is run as it stands, in a network and a file system of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import kernel, pages

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGINS = "mkdir -p /opt/cni/bin && mount --bind /usr/lib/cni /opt/cni/bin\n"
NETWORKS = """\
mkdir -p /etc/cni/net.d net.d
cat > /etc/cni/net.d/10-mynet.conflist <<'END'
{"cniVersion": "1.0.0", "name": "mynet", "plugins": [
  {"type": "bridge", "bridge": "cni-my0", "isGateway": true,
   "ipam": {"type": "host-local", "subnet": "10.22.0.0/16"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
cat > /etc/cni/net.d/20-other.conflist <<'END'
{"cniVersion": "1.0.0", "name": "other", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.23.0.0/16"}}]}
END
cat > /etc/cni/net.d/30-dbnet.conflist <<'END'
{"cniVersion": "1.0.0", "name": "dbnet", "plugins": [
  {"type": "bridge", "bridge": "cni-db0", "ipam": {"type": "host-local", "subnet": "10.24.0.0/16"}}]}
END
"""
MISSPELT = """\
cat > net.d/10-lab.conflist <<'END'
{
  "cniVersion": "1.0.0",
  "name": "lab",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni-lab0",
      "isDefaultGatway": true,
      "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"}
    }
  ]
}
END
"""
MANIFESTS = """\
mkdir manifests
cat > manifests/lan.yaml <<'END'
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: lan}
spec:
  config: '{"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": {"type": "dhcp"}}'
END
"""
REPORTS = """\
cnitool conformance tuning --only version --report json=main.json > /dev/null || test -s main.json
for name in bridge mine this v1 v2; do cp main.json $name.json; done
mkdir -p venv/bin && cp .bin/cnitool venv/bin
"""
WORLDS = {
    "docs/conformance.md": REPORTS,
    "docs/plugin-authors.md": REPORTS,
    "docs/cnitool.md": NETWORKS
    + """\
cp /etc/cni/net.d/10-mynet.conflist net.d
mkdir -p /etc/bash_completion.d
mount -t tmpfs tmpfs /etc/bash_completion.d
ip netns add blue
""",
    "docs/editors.md": f"{NETWORKS}{MANIFESTS}cp /etc/cni/net.d/10-mynet.conflist net.d\n",
    "docs/from-go-libcni.md": f"{NETWORKS}ip netns add blue\n",
    "docs/how-to/operate.md": """\
mkdir -p /opt/libcni /etc/systemd/system
mount -t tmpfs tmpfs /opt/libcni
mount -t tmpfs tmpfs /etc/systemd/system
""",
    "docs/how-to/rootless.md": f"cp {pages.ROOT}/docs/examples/rootless.py .\n",
}
"""What a page takes for granted, beside the plugins."""

DIRECTORIES = ("/opt/cni", "/opt/cni/bin", "/opt/libcni", "/etc/systemd/system", "/etc/bash_completion.d")
"""What the worlds mount something on, and therefore make where it is missing."""

HOW_TO = sorted(f"docs/how-to/{path.name}" for path in (pages.ROOT / "docs" / "how-to").glob("*.md"))
OTHERS = [
    "docs/cnitool.md",
    "docs/conformance.md",
    "docs/editors.md",
    "docs/explanation/stored.md",
    "docs/from-go-libcni.md",
    "docs/plugin-authors.md",
]


@pytest.fixture(autouse=True, scope="module")
def _machine() -> Iterator[None]:
    if missing := kernel.missing_requirement():
        pytest.skip(missing)
    made = [path for path in map(Path, DIRECTORIES) if not path.exists()]
    yield
    for path in reversed(made):
        if path.exists():
            path.rmdir()


@pytest.mark.parametrize("page", [*HOW_TO, *OTHERS])
def test_page_works_as_pasted(page: str, tmp_path: Path) -> None:
    pages.run(page, tmp_path, world=PLUGINS + WORLDS.get(page, ""))


@pytest.mark.parametrize("name", ["add", "del"])
def test_picture_of_a_chain_is_that_of_a_run(name: str, runs: Path) -> None:
    committed = (pages.ROOT / "docs" / "explanation" / f"{name}.svg").read_text(encoding="utf-8")
    drawn = (runs / f"{name}.svg").read_text(encoding="utf-8")
    ET.fromstring(drawn)  # noqa: S314 -- it was drawn here
    assert re.findall(r">([^<>]+)</text>", without_times(drawn)) == re.findall(
        r">([^<>]+)</text>", without_times(committed)
    )
    assert drawn.count("<rect") == committed.count("<rect") == 4


def without_times(drawing: str) -> str:
    return re.sub(r"[\d.]+ ms", "… ms", drawing)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the page about a chain, and return the folder in which it has drawn its pictures."""
    folder = tmp_path_factory.mktemp("chain")
    pages.run("docs/explanation/chain.md", folder, world=PLUGINS)
    return folder


def test_sessions_of_the_readme_print_what_it_says(tmp_path: Path) -> None:
    pages.run("README.md", tmp_path, world=PLUGINS + NETWORKS + MISSPELT, languages=("console",))


def test_garbage_collector_of_the_page_deletes_what_no_container_has(tmp_path: Path) -> None:
    crictl = tmp_path / ".bin" / "crictl"
    crictl.parent.mkdir()
    crictl.write_text("#!/bin/sh\necho box-1\n")
    crictl.chmod(0o755)
    (collector,) = [
        block for block in pages.blocks(pages.ROOT / "docs/how-to/operate.md") if block.language == "python"
    ]
    attach = """
from libcni import netns
from libcni.networks import BlockingNetworks
with BlockingNetworks("/etc/cni/net.d", ["/opt/cni/bin"], owner="myruntime", watch=False) as networks:
    for name in ("box-1", "box-2"):
        networks.setup(name, netns.create(name))
"""
    program = f"python3 - <<'A'\n{attach}\nA\npython3 - <<'B'\n{collector.text}\nB\ncnitool attachments\n"
    done = pages.in_own_namespaces(f"{PLUGINS}{NETWORKS}{program}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "deleted mynet box-2 eth0\n" in done.stdout
    assert set(re.findall(r"box-\d", done.stdout.partition("NETWORK")[2])) == {"box-1"}


def test_units_of_the_page_are_what_systemd_takes(tmp_path: Path) -> None:
    units = [block for block in pages.blocks(pages.ROOT / "docs/how-to/operate.md") if block.language == "ini"]
    assert len(units) == 3
    for unit in units:
        place = pages.FILE.match(unit.text)
        assert place is not None
        # The program of the unit is not installed here.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.text, flags=re.MULTILINE)
        (tmp_path / place[1].rpartition("/")[2]).write_text(text)
        assert {"[Unit]", "Description"} <= set(re.split(r"[\n=]", unit.text))
    if shutil.which("systemd-analyze"):
        files = sorted(map(str, tmp_path.iterdir()))
        done = subprocess.run(
            ["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
