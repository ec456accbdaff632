"""The wheel of `detector/`, the same bytes for the same files, and the lock of what it runs on."""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.bundle.archive import zip_files
from stages.common.files import write_bytes
from stages.common.run import UserError

PROJECT = Path(__file__).resolve().parents[2]
# What pyproject.toml asks for, and what these ask for.
RUNTIME = ("numpy", "opencv-python", "openvino", "openvino-telemetry")


def runtime_lock(lock: Path) -> str:
    """Return the lines of a lock, versions and hashes, for what the wheel runs on.

    Raises:
        UserError: a package is missing there.
    """
    text = lock.read_text(encoding="utf-8")
    found = {name: re.findall(rf"^{name}==(?:.*\\\n)*.*\n", text, re.MULTILINE) for name in RUNTIME}
    if missing := [name for name, blocks in found.items() if not blocks]:
        raise UserError(f"{lock} lacks {', '.join(missing)}; run `make lock`")
    return "".join(block for blocks in found.values() for block in blocks)


def locked_versions(lock: str) -> dict[str, str]:
    """Map the packages of a lock to their versions; those of other Pythons after "or"."""
    versions: dict[str, str] = {}
    for name, version in re.findall(r"^([\w-]+)==(\S+)", lock, re.MULTILINE):
        versions[name] = f"{versions[name]} or {version}" if name in versions else version
    return versions


def build_wheel(folder: Path, readme: str) -> Path:
    """Build the wheel of `detector/` into a folder, without a network.

    Args:
        folder: where it is written.
        readme: its description. The project's own has the figures of the last run, which must not
            make another wheel.

    Raises:
        UserError: it cannot be built.
    """
    with TemporaryDirectory() as scratch:
        project = Path(scratch, "project")
        for name in ("detector", "requirements"):
            shutil.copytree(PROJECT / name, project / name)
        for name in ("pyproject.toml", "LICENSE"):
            shutil.copy(PROJECT / name, project)
        (project / "README.md").write_text(readme, encoding="utf-8")
        built = pip_wheel(project)
        # pip keeps times and permissions of the files.
        with zipfile.ZipFile(built) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    write_bytes(folder / built.name, zip_files(files))
    return folder / built.name


def pip_wheel(project: Path) -> Path:
    """Build the wheel of a project beside it, with the setuptools that is installed.

    Raises:
        UserError: it cannot be built.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-index", "--no-build-isolation"),
            *("--wheel-dir", project.parent, project),
        ],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["pip failed without a word"])[-1]
        raise UserError(f"the wheel of detector/ cannot be built: {reason}; see pyproject.toml")
    (built,) = project.parent.glob("*.whl")
    return built


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
