"""Puts the demo plugins into a plugin directory.

Owns the small start scripts: a plugin is an executable file that takes no arguments, and the files of an installed
package need not be executable. A script starts the interpreter that runs now, wherever it is.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

__all__ = ["PLUGIN_TYPES", "install_plugins"]

PLUGIN_TYPES = ("demo-pass", "demo-range")

_SCRIPT = """\
#!/bin/sh
PYTHONPATH={folder} exec {interpreter} -P -m plugins.{module}
"""


def install_plugins(directory: Path) -> list[Path]:
    """Write an executable for each demo plugin and return their paths.

    :param directory: an existing folder, to be named in ``CNI_PATH``.
    :raises OSError: if it cannot be written.
    """
    folder = shlex.quote(str(Path(__file__).parent))
    interpreter = shlex.quote(sys.executable)
    paths = [directory / plugin_type for plugin_type in PLUGIN_TYPES]
    for path in paths:
        module = path.name.replace("-", "_")
        path.write_text(_SCRIPT.format(folder=folder, interpreter=interpreter, module=module))
        path.chmod(0o755)
    return paths
