"""``python -m libcni.schema DIRECTORY``: write the generated schemas."""

from __future__ import annotations

import sys

from libcni.schema.documents import write

__all__: list[str] = []

if __name__ == "__main__":
    write(sys.argv[1])
