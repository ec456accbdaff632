"""Reading and writing files so that nobody ever meets half of one."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.common.errors import Refusal


@contextmanager
def atomic_path(out: Path) -> Iterator[Path]:
    """A temporary path beside `out`, with the same suffix, renamed onto it at the end.

    The body may make the temporary path a file or a folder. On any exception it is deleted
    and `out` stays as it was.

    Raises:
        Refusal: the folder of `out` cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.stem}-", dir=out.parent))
    except OSError as error:
        raise Refusal(f"cannot write {out}: {error.strerror}; name another place") from error
    try:
        yield scratch / out.name
        new = scratch / out.name
        if out.exists() and (out.is_dir() or new.is_dir()):
            # rename(2) replaces no folder but an empty one: the old one steps aside first.
            out.rename(scratch / "replaced")
        new.replace(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_json(out: Path, content: Any) -> None:
    """Writes JSON with sorted keys and indentation, so that a diff of two commits reads well."""
    write_text(out, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(out: Path, text: str) -> None:
    with atomic_path(out) as tmp:
        tmp.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Parses a JSON file.

    Raises:
        Refusal: the file is missing, not UTF-8 or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Refusal(
            f"cannot read {path}: {error.strerror}; run the stage that writes it"
        ) from error
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path} is not JSON ({error}); export or write it again") from error


def size_mb(path: Path) -> float:
    """The size of a file, or of all files in a folder, in MB (10**6 bytes), 3 digits."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return round(sum(p.stat().st_size for p in files) / 1e6, 3)
