"""``python -m libcni`` is ``cnitool``."""

from libcni.cli import main

main()
