"""``python -m libcni.cli`` is ``cnitool``."""

from libcni.cli import main

main()
