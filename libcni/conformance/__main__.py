"""``python -m libcni.conformance PAGE``: write the tables of sentences and known faults into a page."""

from __future__ import annotations

import sys
from pathlib import Path

from libcni.conformance.tables import with_tables

if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
