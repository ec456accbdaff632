"""Zips of the same bytes for the same files: no times, owners or permissions of this machine.

Nothing is compressed, since releases of zlib compress differently.
"""

import io
import zipfile
from pathlib import Path

from stages.common.cvat import add_member


def zip_folder(folder: Path) -> bytes:
    """Return a zip of all files of a folder, below its name, sorted by theirs."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return zip_files({p.relative_to(folder.parent).as_posix(): p.read_bytes() for p in files})


def zip_files(files: dict[str, bytes]) -> bytes:
    """Return a zip of files in this order, readable for all."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            add_member(archive, name, content)
    return buffer.getvalue()
