"""Network namespaces of containers: make, open and list them, look inside, enter them.

A namespace is named (``ip netns`` sees it), anonymous (it ends with this process), or that of a process. Only reading
links, addresses and routes needs an extra, ``netns``. Linux only. Source: ``network_namespaces(7)``, ``setns(2)``.
"""

from libcni.netns.named import DIRECTORY
from libcni.netns.namespace import NetNS, create, list, open  # noqa: A004 -- read as netns.open, netns.list
from libcni.netns.reading import Address, Link, Route

__all__ = ["DIRECTORY", "Address", "Link", "NetNS", "Route", "create", "list", "open"]
