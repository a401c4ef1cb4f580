"""Lists as the well-known Kubernetes networks install them, with stand-ins that record every request byte by byte.

The configurations follow the public documentation of Flannel, Calico, Cilium and Istio.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import AsyncCNIConfig, CNIConfig, RuntimeConf, network_conf_from_file
from tests.support.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.recorder import Call

POD = (
    ("IgnoreUnknown", "1"),
    ("K8S_POD_NAMESPACE", "default"),
    ("K8S_POD_NAME", "web-0"),
    ("K8S_POD_INFRA_CONTAINER_ID", "0a1b2c"),
)
CNI_ARGS = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=0a1b2c"
NETNS = "/var/run/netns/pod-web-0"
PORTS = '[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]'
LIMITS = '{"ingressRate":1000000,"ingressBurst":2000000}'


@dataclass(frozen=True)
class Pod:
    """Runs verbs for one container on one network, in one of the flavours, and tells what the plugins were asked."""

    recorder: Recorder
    call: Callable[..., Any]
    runtime_conf: RuntimeConf

    def calls(self, verb: str, network: Any) -> list[Call]:
        self.call(verb, network, self.runtime_conf)
        return self.recorder.take()

    def environ(self, command: str) -> dict[str, str]:
        """Return the whole environment that a plugin must see."""
        return {
            "CNI_ARGS": CNI_ARGS,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "0a1b2c",
            "CNI_IFNAME": "eth0",
            "CNI_NETNS": NETNS,
            "CNI_PATH": str(self.recorder.bin_dir),
            "PATH": os.environ["PATH"],
            "NODE_NAME": "node-1",
        }


@pytest.fixture(params=["sync", "asyncio", "trio"])
def pod(request: pytest.FixtureRequest, tmp_path: Path) -> Pod:
    recorder = Recorder.make(tmp_path / "standins")
    environ = {"PATH": os.environ["PATH"], "NODE_NAME": "node-1", "CNI_COMMAND": "of the parent"}
    flavour = CNIConfig if request.param == "sync" else AsyncCNIConfig
    cni = flavour([str(recorder.bin_dir)], cache_dir=tmp_path / "cache", environ=environ)

    def call(verb: str, *arguments: Any) -> Any:
        work = functools.partial(getattr(cni, verb), *arguments)
        return work() if request.param == "sync" else anyio.run(work, backend=request.param)

    capability_args = {"portMappings": json.loads(PORTS), "bandwidth": json.loads(LIMITS), "ips": ["10.244.1.7"]}
    return Pod(recorder, call, RuntimeConf("0a1b2c", NETNS, "eth0", POD, capability_args))


def result(version: str, **more: Any) -> str:
    """Return what a stand-in prints."""
    ip: dict[str, Any] = {"version": "4"} if version < "1.0.0" else {}
    interfaces = [{"name": "cali123", "mac": "ee:ee:ee:ee:ee:ee"}, {"name": "eth0", "sandbox": NETNS}]
    ips = [{**ip, "interface": 1, "address": "10.244.1.7/32"}]
    return json.dumps({"cniVersion": version, "interfaces": interfaces, "ips": ips, **more}, separators=(",", ":"))


@dataclass(frozen=True)
class Chain:
    """A documented list: the members of each plugin's object as text, and the ``runtimeConfig`` that it must get."""

    name: str
    version: str
    plugins: tuple[tuple[str, str, str], ...]

    def text(self) -> str:
        objects = ",\n    ".join(f"{{{members}}}" for _, members, _ in self.plugins)
        return (
            f'{{\n  "name": "{self.name}",\n  "cniVersion": "{self.version}",\n  "plugins": [\n    {objects}\n  ]\n}}\n'
        )

    def request(self, index: int, previous: str) -> bytes:
        """Return the exact request of a plugin; capabilities are for the runtime and never part of it."""
        _, members, runtime_config = self.plugins[index]
        members = members.partition(',"capabilities"')[0]
        parts = [f'"cniVersion":"{self.version}"', f'"name":"{self.name}"', members]
        parts += [f'"runtimeConfig":{runtime_config}'] * bool(runtime_config)
        parts += [f'"prevResult":{previous}'] * bool(previous)
        return ("{" + ",".join(parts) + "}").encode()


PORTMAP = (
    "portmap",
    '"type":"portmap","snat":true,"capabilities":{"portMappings":true}',
    f'{{"portMappings":{PORTS}}}',
)
CALICO = Chain(
    "k8s-pod-network",
    "0.3.1",
    (
        (
            "calico",
            (
                '"type":"calico","log_level":"info","log_file_path":"/var/log/calico/cni/cni.log",'
                '"datastore_type":"kubernetes","nodename":"node-1","mtu":0,"ipam":{"type":"calico-ipam"},'
                '"policy":{"type":"k8s"},"kubernetes":{"kubeconfig":"/etc/cni/net.d/calico-kubeconfig"}'
            ),
            "",
        ),
        PORTMAP,
        (
            "bandwidth",
            '"type":"bandwidth","capabilities":{"bandwidth":true}',
            f'{{"bandwidth":{LIMITS}}}',
        ),
    ),
)
CILIUM = Chain(
    "generic-veth",
    "1.0.0",
    (
        ("ptp", '"type":"ptp","mtu":1450,"ipam":{"type":"host-local","subnet":"10.244.1.0/24"}', ""),
        PORTMAP,
        ("cilium-cni", '"type":"cilium-cni","enable-debug":false,"log-file":"/var/run/cilium/cilium-cni.log"', ""),
    ),
)
ISTIO = Chain(
    "k8s-pod-network",
    "1.1.0",
    (
        ("calico", '"type":"calico","mtu":1440,"ipam":{"type":"calico-ipam","assign_ipv4":"true"}', ""),
        PORTMAP,
        (
            "istio-cni",
            (
                '"type":"istio-cni","log_level":"info","log_uds_address":"/var/run/istio-cni/log.sock",'
                '"ambient_enabled":false,"exclude_namespaces":["istio-system","kube-system"],'
                '"kubernetes":{"kubeconfig":"/etc/cni/net.d/ZZZ-istio-cni-kubeconfig","cni_bin_dir":"/opt/cni/bin"}'
            ),
            "",
        ),
    ),
)


@pytest.mark.parametrize("chain", [CALICO, CILIUM, ISTIO], ids=["calico", "cilium", "istio"])
def test_documented_chain_sends_exact_requests(pod: Pod, tmp_path: Path, chain: Chain) -> None:
    types = [plugin for plugin, _, _ in chain.plugins]
    answers = [result(chain.version, dns={"domain": plugin}, extra={"of": plugin, "exact": 1}) for plugin in types]
    for plugin, answer in zip(types, answers, strict=True):
        pod.recorder.plugin(plugin, answer)
    path = tmp_path / "10-standin.conflist"
    path.write_text(chain.text())
    network = network_conf_from_file(path)

    added = pod.calls("add_network_list", network)
    assert [call.plugin for call in added] == types
    assert [call.stdin for call in added] == [
        chain.request(index, previous) for index, previous in enumerate(["", *answers[:-1]])
    ]
    assert [call.environ for call in added] == [pod.environ("ADD")] * len(types)

    stored = answers[-1] if chain.version != "0.3.1" else ""  # CHECK, and the result for a DEL, came with 0.4.0
    if stored:
        checked = pod.calls("check_network_list", network)
        assert [call.stdin for call in checked] == [chain.request(index, stored) for index in range(len(types))]
        assert [call.environ for call in checked] == [pod.environ("CHECK")] * len(types)

    deleted = pod.calls("del_network_list", network)
    assert [call.plugin for call in deleted] == types[::-1]
    assert [call.stdin for call in deleted] == [chain.request(index, stored) for index in range(len(types))][::-1]
    assert [call.environ for call in deleted] == [pod.environ("DEL")] * len(types)


FLANNEL = """\
state={state}/$CNI_CONTAINERID
delegate() {{
    IFS=:
    for folder in $CNI_PATH; do
        if [ -x "$folder/bridge-standin" ]; then exec "$folder/bridge-standin" < "$1"; fi
    done
    echo '{{"cniVersion":"0.3.1","code":100,"msg":"no bridge in CNI_PATH"}}'
    exit 1
}}
. {state}/subnet.env
case $CNI_COMMAND in
ADD)
    printf '%s' '{{"cniVersion":"0.3.1","hairpinMode":true,"ipMasq":false,"isDefaultGateway":true,"mtu":'$FLANNEL_MTU\
',"name":"cbr0","type":"bridge-standin","ipam":{{"type":"host-local","subnet":"'$FLANNEL_SUBNET'"}}}}' > "$state"
    delegate "$state" ;;
DEL)
    [ -e "$state" ] || exit 0
    mv "$state" "$state.last"
    delegate "$state.last" ;;
esac
"""
DELEGATED = (
    b'{"cniVersion":"0.3.1","hairpinMode":true,"ipMasq":false,"isDefaultGateway":true,"mtu":1450,"name":"cbr0",'
    b'"type":"bridge-standin","ipam":{"type":"host-local","subnet":"10.244.1.1/24"}}'
)


def test_flannel_style_plugin_delegates_through_cni_path(pod: Pod, tmp_path: Path) -> None:
    state = tmp_path / "flannel"
    state.mkdir()
    (state / "subnet.env").write_text("FLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\n")
    answer = result("0.3.1")
    pod.recorder.plugin("flannel", "never printed", and_then=FLANNEL.format(state=state))
    pod.recorder.plugin("bridge-standin", answer)
    pod.recorder.plugin("portmap", answer)
    members = '"type":"flannel","delegate":{"hairpinMode":true,"isDefaultGateway":true}'
    chain = Chain("cbr0", "0.3.1", (("flannel", members, ""), PORTMAP))
    path = tmp_path / "10-flannel.conflist"
    path.write_text(chain.text())
    network = network_conf_from_file(path)

    added = pod.calls("add_network_list", network)
    assert [(call.plugin, call.stdin) for call in added] == [
        ("flannel", chain.request(0, "")),
        ("bridge-standin", DELEGATED),
        ("portmap", chain.request(1, answer)),
    ]
    assert [call.environ for call in added] == [pod.environ("ADD")] * 3

    deleted = pod.calls("del_network_list", network)
    assert [(call.plugin, call.stdin) for call in deleted] == [
        ("portmap", chain.request(1, "")),
        ("flannel", chain.request(0, "")),
        ("bridge-standin", DELEGATED),
    ]
    assert [call.environ for call in deleted] == [pod.environ("DEL")] * 3

    again = pod.calls("del_network_list", network)
    assert [call.plugin for call in again] == ["portmap", "flannel"]
