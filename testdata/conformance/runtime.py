"""One small runtime tool that does what the specification says, and on request exactly one thing wrong.

``main("")`` understands ``add|check|del|gc|status NETWORK NETNS`` and the variables of the Go project's ``cnitool``, as
far as the checks of runtimes need it; ``main("rt-some-check")`` has the fault of that name.
"""

import os
import sys

from conforming import decode, encode, run

KNOWN = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
STATE = "/var/lib/cni/conforming-runtime"
IDENTIFIER = "conforming-container"

_active = ""
_seen = set()


def wrong(check):
    """Say whether the fault of that name is asked for."""
    _seen.add(check)
    return check == _active


class Failure(Exception):
    """What is told to the user."""


def main(active="", trace=""):
    """Do what the command line says."""
    global _active
    _active = active
    try:
        _main()
    finally:
        if trace:
            with open(trace, "a") as file:
                file.write("".join(f"{name}\n" for name in _seen))


def _main():
    verb, name, *rest = sys.argv[1:]
    network = find_network(name)
    if network["cniVersion"] not in KNOWN:
        raise SystemExit(f"version {network['cniVersion']} is not supported")
    try:
        VERBS[verb](network, rest)
    except Failure as failure:
        print(failure, file=sys.stderr)
        raise SystemExit(1) from None


def find_network(name):
    folder = os.environ["NETCONFPATH"]
    for file in sorted(os.listdir(folder)):
        with open(os.path.join(folder, file)) as stream:
            network = decode(stream.read())
        if network["name"] == name:
            return network
    raise SystemExit(f"no network {name}")


def version_of(network):
    listed = network.get("cniVersions", [])
    if wrong("rt-version-highest"):
        listed = []
    return max([network["cniVersion"], *listed], key=KNOWN.index)


def environment(verb, netns, *, has_container=True):
    own = {name: value for name, value in os.environ.items() if not name.startswith("CNI_")}
    own |= {"CNI_COMMAND": verb, "CNI_PATH": os.environ["CNI_PATH"]}
    if not has_container and not wrong(f"rt-{verb.lower()}-container"):
        return own
    identifier = f"{IDENTIFIER}-{verb.lower()}" if wrong("rt-containerid") else IDENTIFIER
    own |= {
        "CNI_CONTAINERID": identifier,
        "CNI_NETNS": netns,
        "CNI_IFNAME": os.environ.get("CNI_IFNAME", "eth0"),
        "CNI_ARGS": os.environ.get("CNI_ARGS", ""),
    }
    for variable in ("NETNS", "IFNAME", "ARGS", "PATH"):
        if wrong(f"rt-{variable.lower()}"):
            own[f"CNI_{variable}"] = {"PATH": f"{own['CNI_PATH']}:/nowhere"}.get(variable, "other")
    if verb == "DEL" and wrong("rt-environment"):
        own["CNI_ARGS"] = "IgnoreUnknown=1"
    return own


def request(network, plugin, verb, previous=None):
    config = dict(plugin)
    removed = {"capabilities", "prevResult"} | {key for key in config if key.startswith("cni.dev/")}
    faults = {"capabilities": "rt-capabilities-removed", "prevResult": "rt-prevresult-removed"}
    for key in removed:
        if not wrong(faults.get(key, "rt-reserved-removed")):
            config.pop(key, None)
    if "big" in config and wrong("rt-members-kept"):
        config["big"] = int(float(config["big"]))
    if wrong("rt-members-apart"):
        config = {**{key: value for other in network["plugins"] for key, value in other.items()}, **config}
        config.pop("capabilities", None)
        config.pop("prevResult", None)
        config = {key: value for key, value in config.items() if not key.startswith("cni.dev/")}
    if "disableCheck" in network and wrong("rt-list-members"):
        config["disableCheck"] = network["disableCheck"]
    if not wrong("rt-name"):
        config["name"] = network["name"]
    if not wrong("rt-version"):
        config["cniVersion"] = version_of(network)
    arguments = decode(os.environ.get("CAP_ARGS") or "{}")
    chosen = {key: value for key, value in arguments.items() if is_sent(key, plugin.get("capabilities", {}))}
    if chosen and verb in {"ADD", "CHECK", "DEL"}:
        config["runtimeConfig"] = chosen
    if previous is not None:
        config["prevResult"] = previous
    return config


def is_sent(key, declared):
    if wrong("rt-capability"):
        return False
    if wrong("rt-capability-undeclared") and key not in declared and key == "portMappings":
        return True
    if wrong("rt-capability-false") and key in declared:
        return True
    if wrong("rt-capability-other") and key == "other":
        return True
    return bool(declared.get(key))


def execute(plugin, config, variables):
    inside = f"nsenter --net={variables['CNI_NETNS']} " if "CNI_NETNS" in variables and wrong("rt-domain") else ""
    path = os.path.join(os.environ["CNI_PATH"], plugin["type"])
    if not os.path.exists(path):
        if wrong("rt-add-missing"):
            return config.get("prevResult")
        raise Failure(f"plugin {plugin['type']} is missing")
    data = encode([config] if wrong("rt-stdin") else config).encode()
    log = "/dev/stdout" if wrong("rt-result-only") else "/dev/null"
    status, printed = run(["sh", "-c", f"exec {inside}{path} 2>>{log}"], data, variables)
    document, text = None, printed.decode()
    if log == "/dev/stdout" and text.startswith("log of"):
        line, _, text = text.partition("\n")
        print(line)
    if text.strip():
        document = decode(text)
    if status:
        raise Failure(f"plugin {plugin['type']}: {document['msg']}")
    return document


def stored():
    try:
        with open(STATE) as file:
            return decode(file.read())
    except FileNotFoundError:
        return None


def at_least(network, version):
    return KNOWN.index(version_of(network)) >= KNOWN.index(version)


def add(network, rest):
    if stored() is not None and not wrong("rt-add-again"):
        raise Failure("the container is added already")
    result = first = None
    plugins = network["plugins"][::-1] if wrong("rt-add-order") else network["plugins"]
    failures = []
    for number, plugin in enumerate(plugins):
        previous = {"cniVersion": version_of(network)} if number == 0 and wrong("rt-prevresult-first") else result
        if number == 2 and wrong("rt-prevresult-next"):
            previous = first
        try:
            result = execute(plugin, request(network, plugin, "ADD", previous), environment("ADD", rest[0]))
        except Failure as failure:
            if wrong("rt-add-undo"):
                with open(f"{STATE}-failed", "w"):
                    pass
            failures.append(failure)
            if not wrong("rt-add-stops"):
                break
        if number == 0:
            first = result
    if failures:
        if wrong("rt-add-error"):
            raise Failure("something failed")
        raise failures[0]
    os.makedirs(os.path.dirname(STATE), exist_ok=True)
    with open(STATE, "w") as file:
        file.write(encode(result))
    shown = first if wrong("rt-result") else result
    if wrong("rt-result-version"):
        shown = {**shown, "cniVersion": "1.0.0"}
    print(encode(shown))
    if wrong("rt-add"):
        raise SystemExit(3)


def run_all(network, verb, plugins, rest, previous):
    stops = not wrong(f"rt-{verb.lower()}-stops")
    failures = []
    for plugin in plugins:
        config = request(network, plugin, verb, None if wrong(f"rt-prevresult-{verb.lower()}") else previous)
        try:
            execute(plugin, config, environment(verb, rest[0]))
        except Failure as failure:
            failures.append(failure)
            if stops:
                break
    if failures:
        if wrong(f"rt-{verb.lower()}-error"):
            raise Failure("something failed")
        raise failures[0]


def check(network, rest):
    if (network.get("disableCheck") and not wrong("rt-check-disabled")) or (
        not at_least(network, "0.4.0") and not wrong("rt-check-old")
    ):
        return
    if stored() is None and not wrong("rt-check-after-del" if os.path.exists(f"{STATE}-gone") else "rt-check-unknown"):
        raise Failure("the container is not added")
    plugins = network["plugins"][::-1] if wrong("rt-check-order") else network["plugins"]
    run_all(network, "CHECK", plugins, rest, stored())


def delete(network, rest):
    known = stored()
    if os.path.exists(f"{STATE}-failed") and wrong("rt-add-undo"):
        return
    if known is None and not os.path.exists(f"{STATE}-gone") and wrong("rt-del-unknown"):
        return
    if known is None and os.path.exists(f"{STATE}-gone") and wrong("rt-del-again"):
        return
    plugins = network["plugins"] if wrong("rt-del-order") else network["plugins"][::-1]
    previous = known if at_least(network, "0.4.0") or wrong("rt-prevresult-old") else None
    if wrong("rt-del-retry") and os.path.exists(f"{STATE}-tried"):
        plugins = plugins[-1:]
    if wrong("rt-del-retry") and known is not None:
        with open(f"{STATE}-tried", "w"):
            pass
    run_all(network, "DEL", plugins, rest, previous)
    if wrong("rt-del-retry") and os.path.exists(f"{STATE}-tried"):
        os.unlink(f"{STATE}-tried")
    if known is not None:
        os.unlink(STATE)
        with open(f"{STATE}-gone", "w"):
            pass


def collect(network, rest):
    if (network.get("disableGC") and not wrong("rt-gc-disabled")) or (
        not at_least(network, "1.1.0") and not wrong("rt-gc-old")
    ):
        return
    kept = [dict(zip(("containerID", "ifname"), rest[1].split("/"), strict=True))] if rest[0] == "--keep" else []
    known = stored()
    if wrong("rt-gc-stale"):
        collect_all(network, kept)
    if known is not None and (not kept or wrong("rt-gc-kept")):
        run_all(network, "DEL", network["plugins"][::-1], ["/nowhere"], known)
        os.unlink(STATE)
    if not wrong("rt-gc-stale"):
        collect_all(network, kept)


def collect_all(network, kept):
    listed = None if not kept and wrong("rt-gc-array") else [] if wrong("rt-gc-list") else kept
    failures = []
    for plugin in network["plugins"][1:] if wrong("rt-gc") else network["plugins"]:
        config = request(network, plugin, "GC") | {"cni.dev/valid-attachments": listed}
        try:
            execute(plugin, config, environment("GC", "/nowhere", has_container=False))
        except Failure as failure:
            failures.append(failure)
            if wrong("rt-gc-errors"):
                break
    if failures:
        raise failures[0]


def status(network, rest):
    del rest
    for plugin in network["plugins"][1:] if wrong("rt-status") else network["plugins"]:
        try:
            execute(plugin, request(network, plugin, "STATUS"), environment("STATUS", "/nowhere", has_container=False))
        except Failure:
            if not wrong("rt-status-error"):
                raise


VERBS = {"add": add, "check": check, "del": delete, "gc": collect, "status": status}
