"""Compiled models on disk, each tied to the very files that it was compiled from.

OpenVINO names a blob by the path and options of a model, and runs whatever lies under that name. So
every model has a folder named by its content and OpenVINO's version, and beside the blobs the
hashes of what was written; a blob that is not as it was written is thrown away.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import openvino as ov

HASHES = "hashes.json"
KEPT = 8  # models that were compiled last


def default_cache_dir() -> Path | None:
    """Return the user's folder for compiled models; None where there is no home."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return home / "cpu-detector"


@contextmanager
def model_cache(root: Path | str | None, model: Path) -> Iterator[Path | None]:
    """Yield the folder in which OpenVINO keeps a compiled model; None for no cache.

    A folder that cannot be made, or that others may write to, is not used.

    Args:
        root: the folder of all models; None for no cache.
        model: the .xml, with its .bin beside it.
    """
    folder = open_folder(Path(root), model) if root else None
    yield folder
    if folder:
        with suppress(OSError):
            hashes = {path.name: sha256(path) for path in blobs(folder)}
            (folder / HASHES).write_text(json.dumps(hashes))


def open_folder(root: Path, model: Path) -> Path | None:
    content = hashlib.sha256(ov.get_version().encode())
    for path in (model, model.with_suffix(".bin")):
        content.update(path.read_bytes())
    folder = root / content.hexdigest()[:32]
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_private(root):
            return None
        older = sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
        for path in older[:-KEPT]:
            shutil.rmtree(path, ignore_errors=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        os.utime(folder)
        if not is_as_written(folder):
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
    except OSError:
        return None
    return folder


def is_private(folder: Path) -> bool:
    """Return whether only this user may write to a folder."""
    state = folder.stat()
    return not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o022)


def is_as_written(folder: Path) -> bool:
    """Return whether every blob has the hash that was noted for it."""
    found = blobs(folder)
    try:
        hashes = json.loads((folder / HASHES).read_text()) if found else {}
    except (OSError, ValueError):
        return False
    return all(hashes.get(path.name) == sha256(path) for path in found)


def blobs(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != HASHES]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
