"""Checks of the conventions that plugins and runtimes agree on. Source: CONVENTIONS.md of the specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.conformance.expect import NotApplicableError, expect, expect_success
from libcni.conformance.lab import members

if TYPE_CHECKING:
    from libcni.conformance.lab import Lab
    from libcni.jsontext.scan import JSONObject

__all__ = [
    "args_ips",
    "args_other_ignored",
    "arguments_on_delete",
    "arguments_unknown_ignored",
    "capability_accepted",
    "capability_ips",
    "capability_mac",
    "capability_unknown",
    "dns_is_handed_on",
]


def capability_accepted(lab: Lab) -> None:
    """ADD with each capability in turn."""
    for name, value in lab.subject.capabilities.items():
        container = lab.container()
        answer = lab.send(lab.request("ADD", container).with_config(runtimeConfig={name: value}))
        expect_success(answer, f"with the capability {name}")


def capability_unknown(lab: Lab) -> None:
    """ADD with an unknown capability."""
    container = lab.container()
    answer = lab.send(lab.request("ADD", container).with_config(runtimeConfig={"example.org/none": [1]}))
    expect_success(answer, "with a capability that the plugin does not know")


def capability_mac(lab: Lab) -> None:
    """ADD with a hardware address of the runtime's choice."""
    container = lab.container()
    wanted = str(lab.subject.capabilities["mac"]).lower()
    answer = lab.add(container, runtimeConfig={"mac": wanted})
    link = lab.look(container).links.get(container.ifname)
    expect(link and link.mac == wanted, f"hardware address {wanted} in the container", str(link), answer)


def capability_ips(lab: Lab) -> None:
    """ADD with addresses of the runtime's choice."""
    container = lab.container()
    wanted: list[str] = lab.subject.capabilities["ips"]
    answer = lab.add(container, runtimeConfig={"ips": wanted})
    given = lab.addresses(container)
    missing = [
        address for address in wanted if address.partition("/")[0] not in {text.partition("/")[0] for text in given}
    ]
    expect(not missing, f"the addresses {', '.join(wanted)}", given, answer)


def args_ips(lab: Lab) -> None:
    """ADD with an address in ``args``."""
    container = lab.container()
    wanted = str(lab.subject.args_ip)
    answer = lab.add(container, args={"cni": {"ips": [wanted]}})
    given = [text.partition("/")[0] for text in lab.addresses(container)]
    expect(wanted.partition("/")[0] in given, f"the address {wanted}", given, answer)


def args_other_ignored(lab: Lab) -> None:
    """ADD with an entry in ``args`` that is for another program."""
    container = lab.container()
    answer = lab.send(
        lab.request("ADD", container).with_config(args={"example.org": {"labels": [{"key": "app", "value": "x"}]}})
    )
    expect_success(answer, "with args that are not for this plugin")


def arguments_unknown_ignored(lab: Lab) -> None:
    """ADD with unknown ``CNI_ARGS``, and the word that allows them."""
    container = lab.container()
    text = "IgnoreUnknown=1;EXAMPLE_POD_NAME=web"
    answer = lab.send(lab.request("ADD", container).with_environment(CNI_ARGS=text))
    expect_success(answer, f"with CNI_ARGS {text}")


def arguments_on_delete(lab: Lab) -> None:
    """DEL with the same ``CNI_ARGS``."""
    container = lab.container()
    lab.add(container)
    text = "IgnoreUnknown=1;EXAMPLE_POD_NAME=web"
    answer = lab.send(lab.request("DEL", container).with_environment(CNI_ARGS=text))
    expect_success(answer, f"with CNI_ARGS {text}")


def dns_is_handed_on(lab: Lab) -> None:
    """ADD with name servers in the configuration of the plugin."""
    container = lab.container()
    dns = {"nameservers": ["192.0.2.53"], "search": ["conformance.example"]}
    answer = lab.add(container, dns=dns)
    given: JSONObject = lab.result(container).get("dns") or {}
    if not given and not members(lab.result(container), "ips"):
        raise NotApplicableError("a network without addresses has no name servers")
    expect(
        given.get("nameservers") == dns["nameservers"],
        "the name servers of the configuration in the result",
        given,
        answer,
    )
