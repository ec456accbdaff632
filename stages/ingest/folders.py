"""Reads a folder: the names of its files, their size, and one file at a time."""

import os
from collections.abc import Iterable
from pathlib import Path

from stages.common.run import UserError


def walk_folder(root: Path) -> list[str]:
    """Relative names of all regular files; linked folders, pipes and devices are left out."""
    found = []
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            # DVC may have put links to files of its cache here, so links to files are read.
            if path.is_file():
                found.append(path.relative_to(root).as_posix())
    return found


def folder_bytes(root: Path, names: Iterable[str]) -> int:
    """The size of these files together."""
    return sum((root / name).stat().st_size for name in names)


def read_file(root: Path, name: str, max_bytes: int) -> bytes:
    """The bytes of one file of a folder.

    Raises:
        UserError: it cannot be read or is too large; the message goes behind its name.
    """
    try:
        with (root / name).open("rb") as handle:
            if os.fstat(handle.fileno()).st_size > max_bytes:
                limit = f"{max_bytes} bytes for a file (ingest.max_file_mb)"
                raise UserError(f"is over the size limit of {limit}")
            return handle.read()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error
