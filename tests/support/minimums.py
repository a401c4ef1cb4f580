"""The lowest version of every package that is declared, as constraints for an installer.

``python -m tests.support.minimums FILE`` writes them: of what libcni needs, of its extras, and of its tests.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def requirements() -> list[str]:
    """Return what is declared for users and for tests."""
    document = tomllib.loads(PROJECT.read_text(encoding="utf-8"))
    project = document["project"]
    found = [*project["dependencies"], *document["dependency-groups"]["test"]]
    for extra in project["optional-dependencies"].values():
        found += [each for each in extra if not each.startswith(f"{project['name']}[")]
    return found


def minimum(requirement: str) -> str:
    """Return a requirement of the lowest version that another one allows."""
    text, _, marker = requirement.partition(";")
    match = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\w.]+)(?:,.*)?", text.strip())
    if match is None:
        raise ValueError(f"{requirement!r} has no lowest version")
    return f"{match[1]}=={match[2]}" + (f"; {marker.strip()}" if marker else "")


if __name__ == "__main__":
    lines = sorted({minimum(each) for each in requirements()})
    Path(sys.argv[1]).write_text("\n".join([*lines, ""]), encoding="utf-8")
