"""Two containers on a bridge, without root: in user, network and mount namespaces of this program's own.

    rootless.py /etc/cni/net.d /opt/cni/bin

The bridge and the addresses live in the new network namespace and end with this program; the host sees nothing of them.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile

from libcni import netns
from libcni.networks import BlockingNetworks

INSIDE = "LIBCNI_EXAMPLE_INSIDE"


def main(conf_dir: str, bin_dir: str) -> int:
    """Attach two containers, and let one answer the other."""
    with (
        tempfile.TemporaryDirectory() as cache,
        BlockingNetworks(conf_dir, [bin_dir], cache_dir=cache, watch=False) as networks,
        netns.create() as one,
        netns.create() as other,
    ):
        networks.setup("one", one)
        address = networks.setup("other", other).primary_address
        if address is None:
            print("the network gives no addresses", file=sys.stderr)
            return 1
        with other.inside():
            server = socket.create_server((str(address.ip), 8080))
        with one.inside():
            client = socket.create_connection(server.getsockname()[:2], timeout=10)
        with server, client:
            accepted, peer = server.accept()
            accepted.sendall(b"hello\n")
            accepted.close()
            print(f"{peer[0]} got {client.recv(100)!r} from {address}")
        for name in ("one", "other"):
            networks.remove(name)
    return 0


if __name__ == "__main__":
    if INSIDE not in os.environ:
        again = ["unshare", "--user", "--map-root-user", "--net", "--mount", sys.executable, *sys.argv]
        os.execvpe(again[0], again, {**os.environ, INSIDE: "1"})
    sys.exit(main(*sys.argv[1:]))
