"""The archive of sources, built and unpacked: ``python tests/support/unpacked.py DIRECTORY``, which is replaced."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def unpack(directory: Path) -> None:
    """Build the archive, and put what is in it into a directory."""
    shutil.rmtree(directory, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        build = (sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder)
        subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        shutil.move(next(path for path in Path(folder).iterdir() if path.is_dir()), directory)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
