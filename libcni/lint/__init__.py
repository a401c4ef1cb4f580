"""Lint: the mistakes in network configurations that can be found before a plugin runs, each explained.

``lint_paths`` looks at files and directories and returns findings. Each has a stable code, a place, a sentence and a
hint; ``docs/lint.md`` lists the codes. Go libcni has no counterpart. Source: SPEC 1.1.0, section 1, and what the
plugins document.
"""

from __future__ import annotations

from libcni.lint.codes import CODES, Code, Severity
from libcni.lint.findings import Finding
from libcni.lint.mend import Mended, mend_paths
from libcni.lint.report import FORMATS, write_report
from libcni.lint.run import lint_paths

__all__ = ["CODES", "FORMATS", "Code", "Finding", "Mended", "Severity", "lint_paths", "mend_paths", "write_report"]
