"""``python -m libcni.schema DIRECTORY``: write the generated schemas."""

from __future__ import annotations

import sys

from libcni.schema.documents import write

write(sys.argv[1])
