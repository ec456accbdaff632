"""Opens an export, zip or folder, for reading file by file.

In:   the path that the user gave
Out:  Source: the safe relative names of its files, and a function that reads one of them

Nothing is extracted: files are read into memory one at a time, so that no name from a zip
ever becomes a path.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stages.common.run import UserError
from stages.ingest.annotation_files import WANTED, hint, top_folder
from stages.ingest.findings import Findings
from stages.ingest.folders import folder_bytes, read_file, walk_folder
from stages.ingest.limits import Limits
from stages.ingest.names import shown
from stages.ingest.zips import checked_members, open_zip, read_member

JUNK = re.compile(r"(.*/)?(__MACOSX/.*|\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)", re.DOTALL)


@dataclass(frozen=True)
class Source:
    """Files to be read: an opened export, or a folder of originals.

    Attributes:
        path: what the user gave.
        files: relative names with '/'; of an export those below the folder that holds it all.
        read: the bytes of one of `files`; raises UserError where it cannot be read whole, with a
            message that goes behind the name.
    """

    path: Path
    files: frozenset[str]
    read: Callable[[str], bytes]


@contextmanager
def open_export(path: Path, limits: Limits, findings: Findings) -> Iterator[Source]:
    """Opens a zip or a folder and finds the folder in it that holds the export.

    Raises:
        UserError: not there, not readable, unsafe, too large, or not an export.
    """
    if path.is_dir():
        source = open_folder(path, limits)
        total_bytes = folder_bytes(path, source.files)
        if total_bytes > limits.max_total_bytes:
            limit = f"the limit is {limits.max_total_bytes} (ingest.max_total_gb)"
            raise UserError(
                f"{path} holds files of {total_bytes} bytes, {limit}; give less at once"
            )
        yield rooted(source, findings)
    elif not path.is_file():
        raise UserError(f"{path} is not there; {WANTED}, as a zip or a folder (data.export)")
    else:
        with open_zip(path) as archive:
            members = checked_members(archive, path, limits, findings)
            names = without_junk(members)
            yield rooted(
                Source(path, names, lambda name: read_member(archive, members[name])), findings
            )


def open_folder(path: Path, limits: Limits) -> Source:
    """All files of a folder."""
    read = partial(read_file, path, max_bytes=limits.max_file_bytes)
    return Source(path, without_junk(walk_folder(path)), read)


def without_junk(names: list[str]) -> frozenset[str]:
    """Names without what file managers leave behind."""
    return frozenset(name for name in names if not JUNK.fullmatch(name))


def rooted(source: Source, findings: Findings) -> Source:
    """The same files with names that start at the folder that holds the export.

    Raises:
        UserError: there is no export in it, or more than one.
    """
    try:
        top = top_folder(source.files)
    except UserError as refusal:
        raise UserError(f"{source.path} {refusal}") from refusal
    if top is None:
        raise UserError(f"{source.path} holds no annotations: {WANTED}; {hint(source.files)}")
    if not top:
        return source
    what = f"everything lies under the folder {shown(top)}; it is read there"
    findings.warn(source.path.name, what)
    inside = frozenset(name[len(top) :] for name in source.files if name.startswith(top))
    return Source(source.path, inside, lambda name: source.read(top + name))
