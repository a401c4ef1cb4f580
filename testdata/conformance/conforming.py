"""One small plugin that does what the specification says, in four kinds, and on request exactly one thing wrong.

``main("interface")`` gives each container a virtual cable and an address from a folder of leases, or from an IPAM
plugin when the configuration has ``ipam``; ``"ipam"`` only leases; ``"chained"`` adds a route to what is there;
``"meta"`` calls the plugin under ``delegate``. ``wrong("some-check")`` is true in the one mutant of that name: each
stands where a real plugin could have that fault. Only the standard library is used, and little of it: this program is
started some ten thousand times.
"""

import binascii
import errno
import os
import sys
import time
from _json import encode_basestring_ascii, make_scanner

VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]
SINCE = {"ADD": "0.3.1", "DEL": "0.3.1", "CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}
REQUIRED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "GC": ("CNI_PATH",),
    "STATUS": (),
}
NETWORK = "10.98.0."
NETWORK6 = "fd98::"
EXTRA_ROUTE = "198.51.100.0/24"
EXTRA_ROUTE6 = "2001:db8:51::/48"
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
REPLACEMENT = "conformance-delegate"

_active = ""
_seen = set()


class Rules:
    """How the scanner of the module json reads; that module itself takes half of this program's time to load."""

    strict, object_hook, object_pairs_hook, memo = True, None, None, {}
    parse_float, parse_int, parse_constant = float, int, float


def scan(text, start=0):
    """Decode the document at a position; return it, and where it ends."""
    while text[start : start + 1].isspace():
        start += 1
    try:
        return make_scanner(Rules)(text, start)
    except (StopIteration, SystemError) as error:  # the second when the scanner has no error class to use
        raise ValueError(f"no JSON here: {error}") from None


def decode(text):
    document, end = scan(text)
    if text[end:].strip():
        raise ValueError(f"more text at {end}")
    return document


def encode(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{encode_basestring_ascii(key)}: {encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(encode, value)) + "]"
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def wrong(check):
    """Say whether the fault of that name is asked for; what was asked is known afterwards."""
    _seen.add(check)
    return check == _active


class Failure(Exception):
    """The specification's error."""

    def __init__(self, code, msg, details=""):
        super().__init__(msg)
        self.code, self.msg, self.details = code, msg, details


class Request:
    """One call."""

    def __init__(self, verb, config, environ):
        self.verb, self.config, self.environ = verb, config, environ
        self.container_id = environ.get("CNI_CONTAINERID", "")
        self.netns = environ.get("CNI_NETNS", "")
        self.ifname = environ.get("CNI_IFNAME", "")
        self.version = config.get("cniVersion") or "0.1.0"
        self.previous = config.get("prevResult")
        self.runtime = config.get("runtimeConfig") or {}

    @property
    def key(self):
        identity = self.container_id[:63] if wrong("containerid-alike") else self.container_id
        return f"{binascii.crc32(f'{identity}/{self.ifname}'.encode()):08x}"

    @property
    def families(self):
        return self.config.get("families") or (self.config.get("ipam") or {}).get("families") or ["ipv4"]

    @property
    def host_link(self):
        return f"c{self.key}"

    @property
    def folder(self):
        return os.path.join(self.config.get("dataDir") or "/var/lib/cni/conforming", self.config["name"])

    def marker(self, kind):
        return os.path.join(self.folder, f"{kind}-{self.key}")


# ------------------------------------------------------------------------------------------------------- the protocol


def main(kind, active="", trace=""):
    """Answer one call."""
    global _active
    _active = active
    try:
        status = _answer(HANDLERS[kind])
    finally:
        if trace:
            with open(trace, "a") as file:
                file.write("".join(f"{name}\n" for name in _seen))
    sys.stdout.flush()
    os._exit(status)


def _answer(handlers):
    try:
        result = _dispatch(handlers)
    except Failure as failure:
        return _print_error(failure)
    except OSError as error:
        if (error.errno == errno.EROFS and wrong("data-read-only")) or (
            error.errno == errno.ENOSPC and wrong("data-full")
        ):
            return 1
        return _print_error(Failure(5, f"the file system refuses: {error}"))
    if result is not None:
        _print(result)
    return 0


def _print(document):
    text = encode(document)
    if "code" not in document and "supportedVersions" not in document and wrong("output-add-json"):
        text += "\ndone\n"
    if wrong("stdout-late"):
        os.set_blocking(1, False)
        try:
            os.write(1, text.encode())
        except BlockingIOError:
            pass
        return
    data = text.encode()
    while data:
        data = data[os.write(1, data) :]


def _print_error(failure):
    if wrong("output-error-json:stderr"):
        os.write(2, f"error: {failure.msg}\n".encode())
        return 1
    if wrong("output-error-status:stderr"):
        os.write(2, f"error: {failure.msg}\n".encode())
        return 0
    version = _last_version[0] or VERSIONS[-1]
    document = {"cniVersion": version, "code": failure.code, "msg": failure.msg, "details": failure.details}
    if wrong("output-error-version"):
        del document["cniVersion"]
    if wrong("output-error-members:code"):
        del document["code"]
    if wrong("output-error-members:type"):
        document["code"] = str(document["code"])
    if wrong("output-error-members:msg"):
        del document["msg"], document["details"]
    if wrong("output-error-members"):
        document["msg"], document["details"] = "", f"{failure.msg} {failure.details}"
    _print(document)
    if wrong("output-error-json"):
        os.write(1, b"\npanic: no reason\n")
    return 0 if wrong("output-error-status") else 1


_last_version = [""]


def _read_stdin():
    if wrong("stdin-pieces"):
        return os.read(0, 1 << 16)
    if wrong("stdin-huge"):
        parts = list(iter(lambda: os.read(0, 1 << 16), b""))
        return b"".join(parts)[: 1 << 16]
    return b"".join(iter(lambda: os.read(0, 1 << 16), b""))


def _decode(data):
    if not data.strip() and wrong("stdin-empty"):
        raise SystemExit(1)
    try:
        text = data.decode("utf-8", "replace" if wrong("stdin-not-utf8") else "strict")
        config = decode(text)
    except ValueError as error:
        is_cut = data[:1] == b"{"
        code = 7 if (is_cut and wrong("stdin-truncated")) or (not is_cut and wrong("stdin-not-json")) else 6
        raise Failure(code, "standard input is not a JSON document", str(error)) from None
    if not isinstance(config, dict):
        raise Failure(4 if wrong("stdin-not-object") else 6, "standard input is not a JSON object")
    return config


def _dispatch(handlers):
    environ = os.environ
    verb = environ.get("CNI_COMMAND", "")
    data = _read_stdin()
    if verb == "VERSION":
        return _version(data)
    if not verb:
        name = "a variable" if wrong("command-missing") else "CNI_COMMAND"
        raise Failure(4, f"{name} is missing")
    if verb not in REQUIRED:
        raise Failure(5 if wrong("command-unknown") else 4, f"unknown CNI_COMMAND {verb}")
    config = _decode(data)
    if isinstance(config.get("cniVersion"), str):
        _last_version[0] = config["cniVersion"]
    _check_variables(verb, environ)
    _check_name(config)
    request = Request(verb, config, environ)
    _log(request)
    _check_version(request, handlers)
    _check_oddities(request)
    return handlers[verb](request)


def _log(request):
    """Write to a log, which keeps what is in it for ever."""
    path = request.config.get("logFile")
    if path:
        with open(path, "a") as file:
            file.write(f"{request.verb} {request.container_id} {request.ifname}\n")


def _version(data):
    if not data.strip():
        if wrong("version-empty-stdin"):
            raise Failure(6, "standard input is empty")
        data = b"{}"
    version = _decode(data).get("cniVersion") or VERSIONS[-1]
    if not os.environ.get("CNI_NETNS") and wrong("version-bare"):
        raise Failure(4, "CNI_NETNS is missing")
    if version not in VERSIONS and wrong("version-unknown"):
        raise Failure(1, f"version {version} is not supported")
    if wrong("version-echo"):
        version = VERSIONS[-1]
    if wrong("version-answer"):
        version = 1.1
    return {"cniVersion": version, "supportedVersions": VERSIONS + (VERSIONS[-1:] if wrong("version-list") else [])}


def _check_variables(verb, environ):
    for name in REQUIRED[verb]:
        if not environ.get(name):
            check = f"{verb.lower()}-{name[4:].lower()}-missing"
            raise Failure(7 if wrong(check) else 4, f"{name} is missing")
    container_id, ifname = environ.get("CNI_CONTAINERID", ""), environ.get("CNI_IFNAME", "")
    if container_id and not _is_name(container_id):
        _bad("CNI_CONTAINERID", "containerid-bad")
    if len(ifname) > 15:
        _bad("CNI_IFNAME", "ifname-long")
    if ifname in {".", ".."} or any(character in "/:" or character.isspace() for character in ifname):
        _bad("CNI_IFNAME", "ifname-bad")


def _bad(variable, check):
    named = "a variable" if wrong("bad-variable-named") else variable
    raise Failure(100 if wrong(check) else 4, f"{named} has a value that is not allowed")


def _is_name(text):
    return text[0] in LETTERS and all(character in LETTERS or character in "_.-" for character in text)


def _check_name(config):
    name = config.get("name")
    if not name:
        raise Failure(100 if wrong("name-missing") else 7, "the network has no name")
    if not isinstance(name, str):
        raise Failure(100 if wrong("name-not-text") else 7, "the network's name is not a text")
    if not _is_name(name):
        raise Failure(100 if wrong("name-bad") else 7, "the network's name has a character that is not allowed")


def _check_version(request, handlers):
    if request.version in VERSIONS and request.version >= SINCE[request.verb]:
        return
    if wrong(f"version-unsupported-{request.verb.lower()}"):
        request.version = VERSIONS[-1]
        return
    if request.verb == "ADD" and wrong("version-unsupported-early"):
        request.version = VERSIONS[-1]
        handlers["ADD"](request)
    raise Failure(1, f"version {request.version} is not supported", f"supported are {', '.join(VERSIONS)}")


def _check_oddities(request):
    """Where a plugin could stumble over what it does not know."""
    if "CNI_EXAMPLE" in request.environ and wrong("environment-unknown"):
        raise Failure(4, "unknown variable CNI_EXAMPLE")
    if "example.org/none" in request.runtime and wrong("capability-unknown"):
        raise Failure(7, "unknown capability example.org/none")
    if "bandwidth" in request.runtime and wrong("capability-accepted"):
        raise Failure(7, "unknown capability bandwidth")
    if isinstance((request.config.get("args") or {}).get("example.org"), dict) and wrong("args-other"):
        raise Failure(7, "unknown args example.org")
    if "EXAMPLE_POD_NAME" in request.environ.get("CNI_ARGS", "") and (
        wrong("cni-args-unknown") if request.verb == "ADD" else wrong("cni-args-del")
    ):
        raise Failure(4, "unknown argument in CNI_ARGS")
    if len(request.netns) > 256 and wrong("path-long"):
        raise Failure(4, "CNI_NETNS is too long")
    if len(request.container_id) > 100 and wrong("containerid-long"):
        raise Failure(4, "CNI_CONTAINERID is too long")
    if request.netns.startswith("/proc/") and wrong("add-proc-netns"):
        raise Failure(4, "CNI_NETNS is not below /run/netns")
    if any(not part.startswith("/") for part in request.environ.get("CNI_PATH", "/").split(":")) and wrong(
        "path-relative"
    ):
        raise Failure(4, "CNI_PATH has a relative directory")
    if request.verb == "ADD" and wrong("any-directory"):
        os.getcwd()
    if request.verb == "ADD" and wrong("no-files-left"):
        with open("debug.log", "w") as file:
            file.write("added\n")
    if request.verb == "ADD" and wrong("no-process-left"):
        _spawn_sleeper(quiet=True)
    if request.verb == "ADD" and wrong("stdio-closed"):
        _spawn_sleeper(quiet=False)
    if request.verb == "ADD" and wrong("add-succeeds"):
        raise Failure(100, "not today")


def _spawn_sleeper(*, quiet):
    actions = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in range(3)] if quiet else []
    os.posix_spawnp("sleep", ["sleep", "8"], os.environ, file_actions=actions, setsid=True)


# --------------------------------------------------------------------------------------------------------- the kernel


def run(command, data, environ=None, *, quiet=False):
    """Run a program; return its exit status and what it printed."""
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, in_read, 0), (os.POSIX_SPAWN_DUP2, out_write, 1)]
    actions += [(os.POSIX_SPAWN_DUP2, out_write, 2)] if environ is None else []
    actions += [(os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_RDWR, 0)] if quiet else []
    pid = os.posix_spawnp(command[0], command, environ or os.environ, file_actions=actions)
    os.close(in_read)
    os.close(out_write)
    os.write(in_write, data)
    os.close(in_write)
    printed = b"".join(iter(lambda: os.read(out_read, 1 << 16), b""))
    os.close(out_read)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), printed


def ip(*lines, netns="", options=()):
    """Run ``ip`` commands, on the host or in a namespace."""
    inside = ["nsenter", f"--net={netns}"] if netns else []
    batch = "".join(f"{line}\n" for line in lines)
    status, printed = run([*inside, "ip", *options, "-batch", "-"], batch.encode())
    if status:
        raise Failure(100, "ip failed", f"{batch}: {printed.decode()}")
    return printed.decode()


def try_ip(*lines, netns=""):
    """Run ``ip`` commands of which some may fail."""
    try:
        ip(*lines, netns=netns, options=["-force"])
    except Failure:
        return False
    return True


def exists_on_host(link):
    return os.path.exists(f"/sys/class/net/{link}")


def look(netns, families=("ipv4",)):
    """Return the links of a namespace with their addresses, and its routes."""
    text = ip("address show", "route show", netns=netns, options=["-json"])
    links, end = scan(text)
    routes, _ = scan(text, end)
    found = {link["ifname"]: {info["local"] for info in link["addr_info"]} for link in links if link}
    present = {"0.0.0.0/0" if route["dst"] == "default" else route["dst"] for route in routes}
    if "ipv6" in families:
        routes, _ = scan(ip("route show", netns=netns, options=["-6", "-json"]))
        present |= {"::/0" if route["dst"] == "default" else route["dst"] for route in routes}
    return found, present


EXTRAS = {
    "rule": ("ip", "rule", "{verb}", "from", "192.0.2.{number}"),
    "route": ("ip", "route", "{verb}", "192.0.2.{number}", "dev", "lo"),
    "address": ("ip", "address", "{verb}", "192.0.2.{number}/32", "dev", "lo"),
    "link": ("ip", "link", "{verb}", "x{key}", "type", "veth", "peer", "name", "y{key}"),
    "firewall": ("nft", "{verb}", "chain", "ip", "conforming", "c{key}"),
}
"""Commands that make something on the host, or take it away, which belongs to one container."""

CARELESS = (
    "del-host-clean:link",
    "del-host-clean:sysctl",
    "del-rules:firewall",
    "del-no-netns:firewall",
    "del-no-netns:link",
    "del-netns-gone:rule",
    "del-netns-gone-state:address",
    "del-no-prevresult:firewall",
    "gc-removes:rule",
    "gc-empty:firewall",
    "del-host-clean:route",
)
"""Faults of a plugin that makes something on the host, and forgets it in one case."""


def extra(kind, verb, request):
    """Make something on the host for a container, or take it away."""
    number = int(request.key[:2], 16)
    if kind == "sysctl":
        with open("/proc/sys/net/ipv4/ip_default_ttl", "w") as file:
            file.write(str(64 + number % 100 if verb == "add" else 64))
        return
    if kind == "firewall" and verb == "add":
        run(["nft", "add", "table", "ip", "conforming"], b"")
    words = EXTRAS[kind][: 4 if kind == "link" and verb == "delete" else None]
    run([word.format(verb=verb, number=number, key=request.key) for word in words], b"")


def careless(verb, request, case=""):
    """Make what the fault of this mutant forgets, or take it away unless this is the case of the fault."""
    for fault in CARELESS:
        if wrong(fault):
            check, _, kind = fault.partition(":")
            if check not in case.split():
                extra(kind, verb, request)


# --------------------------------------------------------------------------------------------------------- the leases


def take_address(request):
    """Take the first free address, or the one that is asked for."""
    wanted = request.runtime.get("ips") if not wrong("capability-ips") else None
    asked = (request.config.get("args") or {}).get("cni", {}).get("ips")
    if asked and not wrong("args-ips"):
        wanted = wanted or asked
    numbers = [int(wanted[0].partition("/")[0].rpartition(".")[2])] if wanted else range(2, 255)
    temporary = os.path.join(request.folder, f".{request.key}")
    with open(temporary, "w") as file:
        file.write(f"{request.container_id} {request.ifname}")
    try:
        return _take(request, numbers, temporary)
    finally:
        os.unlink(temporary)


def _take(request, numbers, temporary):
    taken = lease_files(request.folder)
    if len(taken) == 1 and wrong("add-second-container"):
        os.rename(temporary, os.path.join(request.folder, f"{taken[0]}.{request.key}"))
        open(temporary, "w").close()
        return taken[0]
    if wrong("parallel-addresses"):
        time.sleep(0.1)
        address = next(f"{NETWORK}{number}" for number in numbers if f"{NETWORK}{number}" not in taken)
        with open(os.path.join(request.folder, address), "w") as file:
            file.write(f"{request.container_id} {request.ifname}")
        return address
    for number in numbers:
        address = f"{NETWORK}{number}"
        try:
            os.link(temporary, os.path.join(request.folder, address))
        except FileExistsError:
            continue
        return address
    raise Failure(101, "no address is free")


def lease_files(folder):
    return sorted(name for name in os.listdir(folder) if name.startswith(NETWORK)) if os.path.isdir(folder) else []


def leases(folder):
    """Return the container id and interface of each lease, by file name."""
    found = {}
    for name in lease_files(folder):
        try:
            with open(os.path.join(folder, name)) as file:
                found[name] = tuple(file.read().split())
        except FileNotFoundError:
            pass
    return found


def others(request):
    """Return the folders of all networks."""
    parent = os.path.dirname(request.folder)
    return [os.path.join(parent, name) for name in os.listdir(parent)] if os.path.isdir(parent) else []


def release(folder, owners):
    for name, owner in leases(folder).items():
        if owner in owners:
            remove(os.path.join(folder, name))


def remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def touch(path, text=""):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


# ------------------------------------------------------------------------------------------------------ the delegates


def delegate(request, name, *, config=None, verb=""):
    """Call another plugin with the same variables; return what it printed."""
    section = config.get(name) if name == "ipam" else config
    kind = section["type"]
    is_test = kind == REPLACEMENT
    paths = request.environ.get("CNI_PATH", "").split(":")
    if is_test and wrong("delegate-path"):
        paths = paths[:1]
    path = next((os.path.join(part, kind) for part in paths if os.path.isfile(os.path.join(part, kind))), "")
    if not path:
        if is_test and wrong("delegate-absent"):
            return {"ips": [{"address": f"{NETWORK}5/24", "gateway": f"{NETWORK}1"}]}
        raise Failure(100, f"plugin {kind} is in no directory of CNI_PATH")
    environ = dict(request.environ)
    if verb:
        environ["CNI_COMMAND"] = verb
    if is_test and wrong("delegate-environment"):
        environ["CNI_ARGS"] = "X=1"
    sent = dict(config)
    if is_test and wrong("delegate-stdin"):
        sent.pop("example.org/kept", None)
        if name in sent:
            sent[name] = {key: value for key, value in sent[name].items() if key != "example.org/kept"}
    status, printed = run([path], encode(sent).encode(), environ, quiet=is_test and wrong("delegate-stderr"))
    document = decode(printed.decode()) if printed.strip() else None
    if status:
        if is_test and environ["CNI_COMMAND"] == "ADD" and wrong("delegate-error"):
            return {"ips": [{"address": f"{NETWORK}5/24", "gateway": f"{NETWORK}1"}]}
        if is_test and wrong(f"delegate-{environ['CNI_COMMAND'].lower()}-error"):
            return None
        said = "" if is_test and wrong("delegate-error-text") else (document or {}).get("msg", "")
        raise Failure((document or {}).get("code", 100), f"plugin {kind} failed: {said}")
    return document


def delegate_add(request, name, config):
    """ADD, and after a failure DEL."""
    try:
        return delegate(request, name, config=config)
    except Failure:
        if not wrong("delegate-del-after-error"):
            delegate_quietly(request, name, config)
        if wrong("delegate-failed-clean"):
            ip(f"link add {request.host_link} type veth peer name p{request.key}")
        raise


def delegate_quietly(request, name, config):
    try:
        delegate(request, name, config=config, verb="DEL")
    except Failure:
        pass


def hands_on(request, section):
    """Say whether the verb goes on to the delegate."""
    return not (section.get("type") == REPLACEMENT and wrong(f"delegate-{request.verb.lower()}"))


# ------------------------------------------------------------------------------------------------- kind: an interface


def add_interface(request):
    os.makedirs(request.folder, exist_ok=True)
    _before_add(request)
    try:
        result = _add_interface(request)
    except Failure:
        if wrong("del-failed-add"):
            touch(request.marker("failed"))
        if wrong("del-failed-add-state"):
            touch(os.path.join(request.folder, f"failed-{request.container_id}"))
        if wrong("del-failed-add-state:rule"):
            extra("rule", "add", request)
        raise
    careless("add", request)
    _after_add(request)
    return result


def _before_add(request):
    if wrong("status-no-gate") and os.path.exists("/var/lib/cni/not-ready"):
        raise Failure(50, "STATUS said that this is not possible")
    if wrong("parallel-add"):
        lock = os.path.join(request.folder, "lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise Failure(11, "another ADD is running") from None
        time.sleep(0.05)
    if wrong("sigterm-del"):
        touch(request.marker("begun"))
        time.sleep(0.3)
    if wrong("sigterm-clean"):
        touch(os.path.join(request.folder, f"begun-{request.container_id}"))
        time.sleep(0.3)
    if os.path.exists(request.marker("gone")) and wrong("del-add-again"):
        raise Failure(100, "this container was deleted")
    if wrong("add-del-repeated"):
        with open(request.marker("count"), "a+") as file:
            file.write("x")
            file.seek(0)
            if len(file.read()) > 2:
                raise Failure(100, "this container was added too often")
    if wrong("add-second-interface") and any(
        o[0] == request.container_id and o[1] != request.ifname for o in leases(request.folder).values()
    ):
        raise Failure(100, "this container has an interface")


def _after_add(request):
    remove(os.path.join(request.folder, "lock")) if wrong("parallel-add") else None
    remove(request.marker("begun")) if wrong("sigterm-del") else None
    remove(os.path.join(request.folder, f"begun-{request.container_id}")) if wrong("sigterm-clean") else None


def _add_interface(request):
    if not os.path.exists(request.netns):
        if wrong("netns-absent"):
            return _result(request, _entries(request, f"{NETWORK}5"), _mac(request, "02cf"), _mac(request, "02ce"))
        for kind in ("link", "address", "rule"):
            if wrong(f"add-failed-clean:{kind}"):
                extra(kind, "add", request)
        raise Failure(3, f"the namespace {request.netns} does not exist")
    if (
        "ipam" in request.config
        and request.config["ipam"]["type"] == REPLACEMENT
        and wrong("delegate-del-after-own-error")
    ):
        delegate(request, "ipam", config=request.config)
    kept = _refuse_existing(request)
    if kept:
        return kept
    if "ipam" in request.config:
        entries = delegate_add(request, "ipam", request.config)["ips"]
    else:
        entries = _entries(request, _take_or_leave(request))
    try:
        return _make(request, entries)
    except Failure:
        try_ip(f"link delete {request.host_link}")
        if "ipam" in request.config:
            delegate_quietly(request, "ipam", request.config)
        else:
            release(request.folder, [(request.container_id, request.ifname)])
        raise


def _take_or_leave(request):
    try:
        return take_address(request)
    except OSError:
        if wrong("data-unwritable-clean"):
            ip(f"link add {request.host_link} type veth peer name p{request.key}")
        raise


def _refuse_existing(request):
    links, _ = look(request.netns)
    name = _name(request)
    if name not in links:
        return None
    if not exists_on_host(request.host_link):
        if wrong("add-failed-clean"):
            ip(f"link add {request.host_link} type veth peer name p{request.key}")
        if not wrong("add-foreign-interface"):
            raise Failure(100, f"interface {name} exists in the container")
        ip(f"link delete {name}", netns=request.netns)
        return None
    if wrong("add-twice"):
        return _result(request, _entries(request, min(links[name])), _mac(request, "02cf"), _mac(request, "02ce"))
    if wrong("add-twice-harmless"):
        ip(f"link set {name} down", netns=request.netns)
    raise Failure(100, f"interface {name} exists in the container")


def _name(request):
    return f"x{request.ifname}" if wrong("result-ifname") else request.ifname


def _mac(request, prefix):
    digits = prefix + request.key
    return ":".join(digits[index : index + 2] for index in range(0, 12, 2))


def _entries(request, address):
    """Return the addresses of a result, one of each family."""
    return [_address_entry(request, address, family) for family in request.families]


def _make(request, entries):
    mac = _mac(request, "02cf")
    if request.runtime.get("mac") and not wrong("capability-mac"):
        mac = request.runtime["mac"]
    name, host_mac = _name(request), _mac(request, "02ce")
    number = entries[0]["address"].partition("/")[0].replace(":", ".").rpartition(".")[2]
    ip(
        f"link add {request.host_link} mtu 1400 address {host_mac} type veth "
        f"peer name {name} mtu 1400 address {mac} netns {request.netns}",
        f"link set {request.host_link} up",
        *([f"address replace 192.0.2.{number}/32 dev lo"] if wrong("add-host-untouched") else []),
    )
    via = {":" in entry["gateway"]: entry["gateway"].partition("/")[0] for entry in entries}
    routes = [f"route append {route['dst']} via {via[':' in route['dst']]} dev {name}" for route in _routes(request)]
    if any(":" in route for route in routes) and wrong("add-route:ipv6"):
        routes = [route for route in routes if "::/0" not in route]
    ip(
        *[f"address add {_with_length(entry)} dev {name} nodad" for entry in entries],
        *([] if wrong("add-up") else [f"link set {name} up"]),
        *routes,
        *(["address replace 192.0.2.9/32 dev lo"] if wrong("add-nothing-else") else []),
        *([f"route append {EXTRA_ROUTE} via {NETWORK}1 dev {name}"] if wrong("add-no-other-route") else []),
        netns=request.netns,
    )
    return _result(request, entries, mac, host_mac)


def _with_length(entry):
    address, _, length = entry["address"].partition("/")
    if ":" in address:
        return f"{address}/{65 if wrong('add-address:ipv6') else length or 64}"
    return f"{address}/{25 if wrong('add-address') else length or 24}"


def _routes(request):
    return [] if wrong("add-up") else request.config.get("routes", [])


def _result(request, entries, mac, host_mac):
    inside = {"name": _name(request), "mac": "02:00:00:00:00:99" if wrong("add-mac") else mac, "sandbox": request.netns}
    host = {"name": request.host_link, "mac": host_mac}
    if request.version == "1.1.0":
        inside["mtu"] = 1500 if wrong("add-mtu") else 1400
    if wrong("result-sandbox"):
        inside["sandbox"] = "/proc/1/ns/net"
    interfaces = [host, inside]
    interfaces += [{"name": "ghost0", "sandbox": request.netns}] if wrong("add-interface") else []
    interfaces += [{"name": "ghost1"}] if wrong("add-host-interface") else []
    interfaces += [{"name": "lo", "sandbox": request.netns}] if wrong("add-address:inside") else []
    index = 7 if wrong("result-index") else 0 if wrong("add-address:host") else 2 if wrong("add-address:inside") else 1
    entries = [{**entry, "interface": index} for entry in entries]
    routes = [dict(route) for route in _routes(request)]
    if wrong("add-route"):
        routes.append({"dst": "203.0.113.0/24"})
    if wrong("add-route-gateway"):
        routes = [{**route, "gw": f"{NETWORK6 if ':' in route['dst'] else NETWORK}254"} for route in routes]
    dns = {} if wrong("dns") else request.config.get("dns", [] if wrong("result-schema") else {})
    return {
        "cniVersion": _said_version(request),
        "interfaces": interfaces,
        "ips": entries,
        "routes": routes,
        "dns": dns,
    }


def _said_version(request):
    return VERSIONS[-1] if wrong("result-version") else request.version


def _address_entry(request, address, family):
    entry = {"address": address if wrong("result-cidr") else f"{address}/24", "gateway": f"{NETWORK}1"}
    if family == "ipv6":
        number = address.rpartition(".")[2]
        entry = {"address": f"{NETWORK6}{number}/64", "gateway": f"{NETWORK6}ffff"}
    if wrong("result-gateway"):
        entry["gateway"] += "/24"
    if request.version < "1.0.0":
        entry["version"] = "6" if family == "ipv6" else "4"
    return entry


def delete_interface(request):
    is_usual = os.path.exists(request.netns) and request.previous is not None
    owner = (request.container_id, request.ifname)
    if not request.netns and wrong("del-no-netns"):
        raise Failure(4, "CNI_NETNS is missing")
    if not os.path.isdir(request.folder) and wrong("del-before-add"):
        raise Failure(100, "nothing was ever added")
    has_link = exists_on_host(request.host_link)
    if request.netns and not os.path.exists(request.netns) and wrong("del-netns-gone-state"):
        return
    careless("delete", request, _case(request))
    if has_link and wrong("del-other-interface"):
        _delete_all_links(request)
    if wrong("parallel-del"):
        os.makedirs(request.folder, exist_ok=True)
        lock = os.path.join(request.folder, "lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            raise Failure(11, "another DEL is running") from None
        time.sleep(0.05)
        remove(lock)
    if wrong("add-host-untouched"):
        numbers = [name.rpartition(".")[2] for name, found in leases(request.folder).items() if found == owner]
        try_ip(*[f"address delete 192.0.2.{number}/32 dev lo" for number in numbers])
    if has_link and not try_ip(f"link delete {request.host_link}") and exists_on_host(request.host_link):
        raise Failure(100, f"{request.host_link} cannot be deleted")
    _delete_leases(request, owner)
    _leave_behind(request, is_usual)
    _complain(request, is_usual, has_link)
    return


def _case(request):
    """Return the checks whose case a DEL is."""
    if not request.netns:
        return "del-no-netns"
    if not os.path.exists(request.netns):
        return "del-netns-gone del-netns-gone-state"
    usual = "del-host-clean del-rules"
    return "del-no-prevresult" if request.previous is None else usual


def _delete_all_links(request):
    for owner in leases(request.folder).values():
        if owner[0] == request.container_id:
            other = Request(request.verb, request.config, {**request.environ, "CNI_IFNAME": owner[1]})
            try_ip(f"link delete {other.host_link}")


def _delete_leases(request, owner):
    if "ipam" in request.config:
        if hands_on(request, request.config["ipam"]):
            delegate(request, "ipam", config=request.config)
        return
    owners = list(leases(request.folder).values()) if wrong("del-others-kept") else [owner]
    if wrong("del-other-interface:lease"):
        owners = [found for found in leases(request.folder).values() if found[0] == owner[0]]
    if request.previous is None and wrong("del-no-prevresult:lease"):
        return
    for folder in others(request) if wrong("del-other-network") else [request.folder]:
        release(folder, owners)
    remove(os.path.join(request.folder, f".{request.key}"))


def _leave_behind(request, is_usual):
    """What a careless plugin forgets."""
    if os.path.exists(request.netns) and wrong("del-container-clean") and len(look(request.netns)[0]) == 1:
        ip("link add left0 type veth peer name left1", netns=request.netns)
    if is_usual and wrong("del-host-clean"):
        try_ip(f"link add l{request.key} type veth peer name r{request.key}")
    if is_usual and wrong("del-rules"):
        try_ip(f"rule add from 192.0.2.{int(request.key[:2], 16)}")
    if is_usual and wrong("del-state"):
        touch(os.path.join(request.folder, f"deleted-{request.container_id}"))
    if wrong("del-add-again"):
        touch(request.marker("gone"))


def _complain(request, is_usual, has_link):
    """What a strict plugin takes for an error."""
    if is_usual and has_link and wrong("del-succeeds"):
        raise Failure(100, "the interface was there")
    if is_usual and not has_link and wrong("del-twice"):
        raise Failure(100, "the interface is gone")
    if request.netns and not os.path.exists(request.netns) and wrong("del-netns-gone"):
        raise Failure(3, f"the namespace {request.netns} does not exist")
    if request.previous is None and has_link and wrong("del-no-prevresult"):
        raise Failure(7, "prevResult is missing")
    if os.path.exists(request.marker("failed")) and wrong("del-failed-add"):
        raise Failure(100, "the ADD had failed")
    if os.path.exists(request.marker("begun")) and wrong("sigterm-del"):
        raise Failure(100, "the ADD is still running")
    if wrong("output-quiet"):
        os.write(1, b"deleted\n")


def check_interface(request):
    if not os.path.exists(request.netns):
        if wrong("check-netns-gone"):
            return
        raise Failure(3, f"the namespace {request.netns} does not exist")
    if request.previous is None:
        if wrong("check-no-prevresult"):
            return
        raise Failure(7, "prevResult is missing")
    if wrong("check-passes"):
        raise Failure(100, "one cannot be sure")
    if wrong("check-repeats") and len(lease_files(request.folder)) > 1:
        raise Failure(100, "there is another container")
    if wrong("check-harmless"):
        touch(os.path.join(request.folder, "checked"))
    if wrong("time"):
        time.sleep(2.5)
    _check_lease(request)
    if "ipam" in request.config and hands_on(request, request.config["ipam"]):
        try:
            delegate(request, "ipam", config=request.config)
        except Failure:
            if not wrong("delegate-check-error"):
                raise
    if not (
        os.path.isdir(request.folder) and (request.container_id, request.ifname) in leases(request.folder).values()
    ):
        if "ipam" not in request.config and wrong("check-after-del"):
            return
    _check_kernel(request)
    return


def _check_lease(request):
    if "ipam" in request.config or (request.container_id, request.ifname) in leases(request.folder).values():
        return
    if not wrong("check-after-del"):
        raise Failure(100, f"{request.container_id} has no address for {request.ifname}")


def _check_kernel(request):
    links, routes = look(request.netns, request.families)
    name = _name(request)
    _check_strangers(request, links.get(name, ()), routes)
    if name not in links:
        if wrong("check-interface"):
            return
        raise Failure(100, "an interface is gone" if wrong("check-interface-named") else f"interface {name} is gone")
    for entry in request.previous.get("ips", []):
        address = entry["address"].partition("/")[0]
        if address not in links[name]:
            if wrong("check-address:ipv6" if ":" in address else "check-address"):
                return
            raise Failure(
                100, "an address is gone" if wrong("check-address-named") else f"address {address} is gone from {name}"
            )
    for route in _routes(request):
        if route["dst"] not in routes and not _is_overlooked(route["dst"]):
            raise Failure(
                100, "a route is gone" if wrong("check-route-named") else f"the route to {route['dst']} is gone"
            )


def _is_overlooked(dst):
    return wrong("check-route:ipv6") or wrong("add-route:ipv6") if ":" in dst else wrong("check-route")


def _check_strangers(request, addresses, routes):
    """What a strict plugin takes for damage."""
    known = {entry["address"].partition("/")[0] for entry in request.previous.get("ips", [])}
    if wrong("check-later-changes") and {text for text in addresses if not text.startswith("fe80:")} - known:
        raise Failure(100, "there is a foreign address")
    if wrong("check-later-changes:route") and any(text.startswith(("198.18.", "2001:db8:d:")) for text in routes):
        raise Failure(100, "there is a foreign route")
    if wrong("check-later-changes:rule"):
        text = ip("rule show", netns=request.netns, options=["-json"])
        if len(scan(text)[0]) > 3:
            raise Failure(100, "there is a foreign rule")
    if wrong("check-later-result") and len(known) > len(request.families):
        raise Failure(100, "prevResult has a foreign address")


def status(request):
    section = (
        request.config.get("ipam") or request.config.get("delegate") or (request.config.get("delegates") or [None])[0]
    )
    if section is not None:
        if hands_on(request, section):
            name = "ipam" if "ipam" in request.config else "delegate"
            delegate(request, name, config=request.config if name == "ipam" else meta_config(request))
        return
    if not os.path.isdir(os.path.dirname(request.config.get("dataDir") or "/var/lib/cni/conforming")):
        if wrong("status-no-gate"):
            touch("/var/lib/cni/not-ready")
        raise Failure(100 if wrong("status-not-ready") else 50, "the folder for the leases is missing")
    if not request.container_id and wrong("status-ready"):
        raise Failure(4, "CNI_CONTAINERID is missing")
    if wrong("output-quiet-status"):
        os.write(1, b"ready\n")
    if wrong("status-harmless"):
        touch(os.path.join(request.folder, "asked"))
    return


def collect(request):
    section = (
        request.config.get("ipam") or request.config.get("delegate") or (request.config.get("delegates") or [None])[0]
    )
    if section is not None:
        if hands_on(request, section):
            name = "ipam" if "ipam" in request.config else "delegate"
            delegate(request, name, config=request.config if name == "ipam" else meta_config(request))
        return
    valid = [(entry["containerID"], entry["ifname"]) for entry in request.config.get("cni.dev/valid-attachments", [])]
    if not os.path.isdir(request.folder) and wrong("gc-before-add"):
        raise Failure(100, "nothing was ever added")
    if wrong("gc-twice"):
        if os.path.exists(os.path.join(request.folder, "collected")):
            raise Failure(100, "there is nothing to do")
        touch(os.path.join(request.folder, "collected"))
    if (valid and wrong("gc-removes")) or (not valid and wrong("gc-empty")):
        return
    if wrong("gc-keeps"):
        valid = valid[1:]
    if wrong("output-quiet-gc"):
        os.write(1, b"collected\n")
    if wrong("gc-interface"):
        kept = {container_id for container_id, _ in valid}
        valid = [owner for owner in leases(request.folder).values() if owner[0] in kept]
    folders = [request.folder]
    if wrong("gc-other-network"):
        folders = others(request)
    for folder in folders:
        stale = [owner for owner in leases(folder).values() if owner not in valid]
        for container_id, ifname in stale:
            other = Request(request.verb, request.config, {"CNI_CONTAINERID": container_id, "CNI_IFNAME": ifname})
            careless("delete", other, "gc-removes" if valid else "gc-empty")
            if exists_on_host(other.host_link):
                try_ip(f"link delete {other.host_link}")
        release(folder, stale)
    return


# ----------------------------------------------------------------------------------------------------- kind: an IPAM


def add_address(request):
    os.makedirs(request.folder, exist_ok=True)
    if (request.container_id, request.ifname) in leases(request.folder).values():
        raise Failure(100, f"{request.container_id} has an address for {request.ifname}")
    result = {
        "cniVersion": request.version,
        "ips": _entries(request, take_address(request)),
        "routes": request.config["ipam"].get("routes", []),
        "dns": {},
    }
    if wrong("ipam-no-interfaces"):
        result["interfaces"] = [{"name": request.ifname}]
    return result


def delete_address(request):
    owners = [(request.container_id, request.ifname)]
    if wrong("del-other-interface:ipam"):
        owners = [found for found in leases(request.folder).values() if found[0] == request.container_id]
    for folder in others(request) if wrong("del-other-network:ipam") else [request.folder]:
        release(folder, owners)
    remove(os.path.join(request.folder, f".{request.key}"))


def check_address(request):
    if (request.container_id, request.ifname) not in leases(request.folder).values():
        raise Failure(100, f"{request.container_id} has no address for {request.ifname}")


def in_ipam(handler):
    """Take the folder of the leases from the section ``ipam``, and no delegate."""

    def handle(request):
        section = request.config.get("ipam") or {}
        config = {**request.config, "dataDir": section.get("dataDir") or request.config.get("dataDir")}
        if handler is not add_address:
            config.pop("ipam", None)
        changed = Request(request.verb, config, request.environ)
        changed.version = request.version
        return handler(changed)

    return handle


# --------------------------------------------------------------------------------------------------- kind: in a chain


def add_route(request):
    previous = request.previous
    if previous is None:
        if wrong("chained-first"):
            raise SystemExit(2)
        raise Failure(7, "prevResult is missing")
    if not isinstance(previous.get("ips"), list) or not isinstance(previous.get("interfaces"), list):
        if not wrong("chained-wrong"):
            raise Failure(6, "prevResult is no result")
        return {**previous, "ips": []}
    added = _extra_routes(previous)
    ip(*[f"route replace {dst} via {gateway} dev {request.ifname}" for dst, gateway in added], netns=request.netns)
    _mark(request, "add")
    result = {**previous, "cniVersion": request.version}
    result["routes"] = [
        *([] if wrong("chained-kept") else previous.get("routes", [])),
        *[{"dst": dst, "gw": gateway} for dst, gateway in added],
    ]
    if wrong("chained-kept:gateway"):
        result["ips"] = [_without(entry, "gateway") for entry in previous["ips"]]
    if wrong("chained-kept:mac"):
        result["interfaces"] = [_without(entry, "mac") for entry in previous["interfaces"]]
    if wrong("chained-kept:place"):
        result["ips"] = [{**entry, "interface": 0} for entry in previous["ips"]]
    if wrong("chained-dns-kept"):
        result["dns"] = {}
    return result


def _without(entry, name):
    return {key: value for key, value in entry.items() if key != name}


def _extra_routes(previous):
    """Return destination and gateway of the route to add for each family that the container has."""
    found = {":" in entry["gateway"]: entry["gateway"] for entry in previous["ips"] if entry.get("gateway")}
    return [(EXTRA_ROUTE6 if is_new else EXTRA_ROUTE, gateway) for is_new, gateway in found.items()]


MARKS = {
    "del-container-clean:sysctl": ("sysctl", "-q", "-w", "net.core.somaxconn={}"),
    "del-container-clean:qdisc": ("tc", "qdisc", "{}", "dev", "{ifname}", "root", "pfifo"),
    "del-host-clean:neighbour": ("ip", "neigh", "{}", "192.0.2.7", "lladdr", "02:00:00:00:00:01", "dev", "{host}"),
    "del-host-clean:qdisc": ("tc", "qdisc", "{}", "dev", "{host}", "ingress"),
}
"""Faults of a plugin that changes one more thing, and does not set it back."""


def _mark(request, verb):
    for fault, words in MARKS.items():
        if wrong(fault):
            host = request.previous["interfaces"][0]["name"]
            place = "501" if words[0] == "sysctl" else verb
            command = [word.format(place, ifname=request.ifname, host=host) for word in words]
            inside = [] if fault.startswith("del-host") else ["nsenter", f"--net={request.netns}"]
            run([*inside, *command], b"")


def delete_route(request):
    if os.path.exists(request.netns):
        try_ip(f"route delete {EXTRA_ROUTE}", f"route delete {EXTRA_ROUTE6}", netns=request.netns)


def check_route(request):
    if request.previous is None:
        raise Failure(7, "prevResult is missing")
    links, routes = look(request.netns, ["ipv6"])
    if request.ifname not in links:
        raise Failure(100, f"interface {request.ifname} is gone")
    for dst, _ in _extra_routes(request.previous):
        if dst not in routes and not wrong("check-undone"):
            raise Failure(100, f"the route to {dst} is gone")


# ------------------------------------------------------------------------------------------ kind: calls another plugin


def meta_config(request):
    if request.config.get("whole"):  # as section 4 has it: the delegate gets the configuration that the plugin got
        return {**request.config, "type": _section(request)["type"]}
    config = {**_section(request), "name": request.config["name"], "cniVersion": request.version}
    shared = ("prevResult", "runtimeConfig", "args", "dns", "cni.dev/valid-attachments", "cni.dev/attachments")
    return config | {name: request.config[name] for name in shared if name in request.config}


def _section(request):
    """Return the section of the delegate, of several the first."""
    return request.config["delegates"][0] if "delegates" in request.config else request.config["delegate"]


def hand_on(request):
    config = meta_config(request)
    if not hands_on(request, config):
        return None
    if request.verb == "ADD":
        if os.path.exists(request.netns) and request.ifname in look(request.netns)[0]:
            raise Failure(100, f"interface {request.ifname} exists in the container")
        return delegate_add(request, "delegate", config)
    try:
        delegate(request, "delegate", config=config)
    except Failure:
        if not (request.verb == "CHECK" and wrong("delegate-check-error")):
            raise
    return None


HANDLERS = {
    "interface": {
        "ADD": add_interface,
        "DEL": delete_interface,
        "CHECK": check_interface,
        "GC": collect,
        "STATUS": status,
    },
    "ipam": {
        "ADD": in_ipam(add_address),
        "DEL": in_ipam(delete_address),
        "CHECK": in_ipam(check_address),
        "GC": in_ipam(collect),
        "STATUS": in_ipam(status),
    },
    "chained": {
        "ADD": add_route,
        "DEL": delete_route,
        "CHECK": check_route,
        "GC": lambda _request: None,
        "STATUS": lambda _request: None,
    },
    "meta": {"ADD": hand_on, "DEL": hand_on, "CHECK": hand_on, "GC": collect, "STATUS": status},
}
