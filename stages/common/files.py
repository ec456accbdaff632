"""Read and write files so that nobody ever sees a half-written one."""

import csv
import ctypes
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stages.common.run import UserError

FORMULA = ("=", "+", "-", "@")
# Of <fcntl.h> and <linux/fs.h> on Linux, of <sys/stdio.h> on macOS.
LINUX_AT_FDCWD, LINUX_RENAME_EXCHANGE, MACOS_RENAME_SWAP = -100, 2, 2


@contextmanager
def atomic_path(out: Path) -> Iterator[Path]:
    """Yield a temporary path with the suffix of `out`, and rename it onto `out` at the end.

    The body may make the temporary path a file or a folder. On any exception it is deleted
    and `out` stays as it was. At any moment, killed or not, `out` is the whole old or the whole
    new one. Only on file systems that cannot exchange two names (some network file systems) is a
    folder missing for the moment between two renames.

    Raises:
        UserError: `out` cannot be written.
    """
    created = [folder for folder in out.parents if not folder.exists()]
    scratch = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(out)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.stem}-{os.getpid()}-", dir=out.parent))
        yield scratch / out.name
        put_in_place(scratch / out.name, out)
    except OSError as error:
        # A write that fails names no file; one that names another file is not about `out`.
        if scratch and (error.errno is None or named_outside(error, scratch)):
            raise
        reason = f"{error.strerror}; free space or name another place"
        raise UserError(f"cannot write {out}: {reason}") from error
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        for folder in created:
            with suppress(OSError):
                folder.rmdir()


def named_outside(error: OSError, folder: Path) -> bool:
    """Return whether an error names a file that is not in `folder`."""
    return error.filename is not None and folder not in Path(str(error.filename)).parents


def remove_leftovers(out: Path) -> None:
    """Delete temporary folders for `out` that killed processes of this machine left behind."""
    name = re.compile(rf"\.{re.escape(out.stem)}-([1-9]\d{{0,8}})-[a-z0-9_]{{8}}")
    for path in out.parent.iterdir():
        match = name.fullmatch(path.name)
        if match and not is_running(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def put_in_place(new: Path, out: Path) -> None:
    """Rename `new` onto `out`; what was there moves into the folder of `new`."""
    # rename(2) replaces a file by a file at once, but no folder that holds anything.
    folders = out.is_dir() or new.is_dir()
    if folders and os.path.lexists(out):
        if exchange(new, out):
            return
        out.rename(new.with_name(f"{new.name}.replaced"))
    new.replace(out)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two paths in one step; False if the system cannot do that."""
    libc = ctypes.CDLL(None)
    paths = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    try:
        if sys.platform == "darwin":
            return libc.renamex_np(*paths, MACOS_RENAME_SWAP) == 0
        here = LINUX_AT_FDCWD
        return libc.renameat2(here, paths[0], here, paths[1], LINUX_RENAME_EXCHANGE) == 0
    except AttributeError:  # a C library without this function
        return False


def write_json(out: Path, content: Any) -> None:
    """Write JSON with sorted keys and indentation, so that a diff of two commits reads well."""
    write_text(out, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(out: Path, text: str) -> None:
    write_bytes(out, text.encode("utf-8"))


def write_bytes(out: Path, content: bytes) -> None:
    with atomic_path(out) as tmp:
        tmp.write_bytes(content)


def write_csv(out: Path, heading: tuple[str, ...], rows: Iterable[tuple]) -> None:
    """Write a table with one line of headings.

    A spreadsheet would run a text that begins like a formula, so it gets an apostrophe (OWASP, CSV
    injection).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heading)
    for row in rows:
        writer.writerow([f"'{cell}" if is_formula(cell) else cell for cell in row])
    write_text(out, text.getvalue())


def is_formula(cell: Any) -> bool:
    return isinstance(cell, str) and cell.startswith(FORMULA)


def as_markdown(text: str) -> str:
    """Return untrusted text for Markdown: no tag, link, image, mention or end of a table cell."""
    return re.sub(r"[<|@]|(?<=\])\(", lambda found: f"&#{ord(found[0])};", text)


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        UserError: the file is missing, not UTF-8 or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; run the stage that writes it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}); export or write it again") from error


def size_mb(path: Path) -> float:
    """Return the size of a file, or of all files in a folder, in MB (10**6 bytes), 3 digits."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return round(sum(p.stat().st_size for p in files) / 1e6, 3)
