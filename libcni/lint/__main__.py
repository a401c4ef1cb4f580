"""``python -m libcni.lint FILE``: write the page that explains every code."""

from __future__ import annotations

import sys
from pathlib import Path

from libcni.lint.manual import manual

__all__: list[str] = []

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manual(), encoding="utf-8")
