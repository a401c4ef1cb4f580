"""The tests of this folder need node and a module of npm: ``tox -e editor`` installs it, and sets the variable."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("LIBCNI_EDITOR") else ["test_language_service.py"]
