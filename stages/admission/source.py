"""Open an export, zip or folder, for reading file by file.

Nothing is extracted: every member of a zip is checked before the first is read, and files are read
into memory one at a time, so that no name from a zip ever becomes a path.

The limits in params.yaml have room for real data: ten hours of 1280x720 video as PNG, one frame a
second, are about 40 GB, the JSON of COCO's 118,000 images is 450 MB, a 4K frame has 8 megapixels,
and JSON deflates about 20:1 where a zip bomb reaches 1000:1.
"""

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from stages.admission.findings import Findings, quote
from stages.admission.other_formats import other_file
from stages.common.params import Ingest
from stages.common.run import UserError

EXPECTED = (
    'expected a CVAT "COCO 1.0" export: annotations/instances_default.json (or another subset) '
    "and images/"
)
# Left behind by file managers.
JUNK = re.compile(r"(.*/)?(__MACOSX/.*|\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)", re.DOTALL)
# Smaller members may unpack to any multiple: a black image in a BMP is no danger.
RATIO_FROM_BYTES = 2**20
GB, MB = 10**9, 10**6
# Linux, macOS and Windows allow 255 bytes for a part of a path. Linux allows 4096 for all of it:
# a quarter leaves room for the folder that the name is joined to.
MAX_PART_BYTES, MAX_NAME_BYTES = 255, 1024
# With these a name reads other than it is, and reorders what is written after it.
REORDERING = r"\u202a-\u202e\u2066-\u2069"
# Why a name must not become a path here, and how to recognize it.
UNSAFE_NAMES = {
    "is empty": r"^\Z",
    "holds a NUL character": r"\0",
    "holds a control character or half of a surrogate pair": r"[\0-\x1f\x7f-\x9f\ud800-\udfff]",
    "holds a character that overrides the writing direction": f"[{REORDERING}]",
    "starts with a drive letter": r"^[A-Za-z]:",
    "holds a backslash where '/' is expected": r"\\",
    "is an absolute path": r"^/",
    "leaves its folder by '..'": r"(^|/)\.\.(/|\Z)",
    "is not a plain path to a file": r"(^|/)\.?(/|\Z)",
}


def name_fault(name: str) -> str | None:
    """Say why a relative file name from a JSON or a zip is refused.

    Returns:
        None for a name with '/' between its parts that stays in the folder it is joined to.
    """
    for reason, pattern in UNSAFE_NAMES.items():
        if re.search(pattern, name):
            return reason
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if max(len(part.encode()) for part in name.split("/")) > MAX_PART_BYTES:
        return f"has a part longer than {MAX_PART_BYTES} bytes"
    return None


def plain_path(name: str) -> str | None:
    """Return the parts of a path of another computer, or of a URL, that may name a file here.

    Returns:
        A safe name with '/' for `C:\\a\\b.jpg`, `..\\a\\b.jpg`, `./a/b.jpg`, `a//b.jpg`, `/a/b.jpg`
        and `https://host/a/b.jpg?x`; None for a name that is refused whatever it may mean.
    """
    if url := re.match(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*/([^?#]*)", name):
        name = unquote(url[1])
    if "/" in name and ".." in name.split("/"):
        return None
    parts = re.split(r"[/\\]", re.sub(r"^[A-Za-z]:", "", name))
    plain = "/".join(part for part in parts if part not in ("", ".", ".."))
    return None if name.endswith(("/", "\\", "/.")) or name_fault(plain) else plain


@dataclass(frozen=True)
class Source:
    """Files that can be read: an opened export, or a folder of originals.

    Attributes:
        path: as the user gave it.
        files: relative names with '/'.
        read: return the bytes of one of `files`. Raises UserError if it cannot be read whole; the
            message continues the name of the file.
    """

    path: Path
    files: frozenset[str]
    read: Callable[[str], bytes]


@contextmanager
def open_source(path: Path, limits: Ingest, findings: Findings) -> Iterator[Source]:
    """Open a zip or a folder.

    Raises:
        UserError: it is missing, unreadable, unsafe or too large.
    """
    if path.is_dir():
        source = open_folder(path, limits)
        total_bytes = folder_bytes(path, source.files)
        if total_bytes > limits.max_total_gb * GB:
            what = f"{path} holds files of {total_bytes} bytes, the limit is "
            raise UserError(f"{what}{total_limit(limits)}; give less at once")
        yield source
    elif not path.is_file():
        raise UserError(f"{path} is not there; {EXPECTED}, as a zip or a folder (data.export)")
    else:
        with open_zip(path) as archive:
            members = checked_members(archive, path, limits, findings)
            yield Source(path, without_junk(members), lambda n: read_member(archive, members[n]))


def total_limit(limits: Ingest) -> str:
    return f"{limits.max_total_gb * GB:.0f} bytes (ingest.max_total_gb)"


def without_junk(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in names if not JUNK.fullmatch(name))


def open_folder(root: Path, limits: Ingest) -> Source:
    """Find all regular files of a folder; linked folders, pipes and devices are left out."""
    names = []
    for folder, _, files in os.walk(root):
        # DVC may have put links to files of its cache here, so links to files are read.
        paths = [path for name in files if (path := Path(folder, name)).is_file()]
        names += [path.relative_to(root).as_posix() for path in paths]
    return Source(root, without_junk(names), partial(read_file, root, limits))


def folder_bytes(root: Path, names: Iterable[str]) -> int:
    """Add up the sizes of these files."""
    return sum((root / name).stat().st_size for name in names)


def read_file(root: Path, limits: Ingest, name: str) -> bytes:
    """Read one file of a folder; see `Source.read`."""
    try:
        with (root / name).open("rb") as handle:
            if os.fstat(handle.fileno()).st_size > limits.max_file_mb * MB:
                limit = f"{limits.max_file_mb * MB:.0f} bytes for a file (ingest.max_file_mb)"
                raise UserError(f"is over the size limit of {limit}")
            return handle.read()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}") from error


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip and read its list of members.

    Raises:
        UserError: it is not a zip, or only a part of one.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        if path.stat().st_size and os.access(path, os.R_OK) and (other := other_file(path)):
            raise UserError(f"{path} is {other}") from error
        reason = "it is empty, 0 bytes" if path.stat().st_size == 0 else str(error)
        raise UserError(
            f"{path} is neither a folder nor a whole zip ({reason}): truncated or something "
            "else; download the export again"
        ) from error


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Read one member of a zip, all of it but never more than it declared; see `Source.read`."""
    try:
        # zipfile stops at the declared size, which was checked, and compares the CRC there.
        return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"is corrupt in the zip ({error}); download the export again") from error


def checked_members(
    archive: zipfile.ZipFile, path: Path, limits: Ingest, findings: Findings
) -> dict[str, zipfile.ZipInfo]:
    """Check every member of a zip and return its files by name, without a leading `./`.

    Raises:
        UserError: members are unsafe or together too large; up to 50 are named.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for member in archive.infolist():
        name = plain_name(member.filename)
        if not name and member.is_dir():
            continue
        duplicate = "is there twice: duplicate" if name in members else None
        if fault := duplicate or member_fault(member, limits):
            findings.fault(path.name, f"member {quote(member.orig_filename)} {fault}")
            continue
        folders.update(map(str, PurePosixPath(name).parents))
        if member.is_dir():
            folders.add(name)
        else:
            members[name] = member
    for name in sorted(folders & set(members)):
        findings.fault(path.name, f"member {quote(name)} is both a file and a directory")
    total = sum(member.file_size for member in members.values())
    if total > limits.max_total_gb * GB:
        findings.fault(path.name, f"{total} bytes unpacked, the limit is {total_limit(limits)}")
    findings.check_faults(path)
    return members


def plain_name(name: str) -> str:
    """Remove the `./` that some tools put first and the `/` of a folder."""
    return name.removeprefix("./").removesuffix("/")


def member_fault(member: zipfile.ZipInfo, limits: Ingest) -> str | None:
    """Say why one member is refused, or return None."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    ratio = member.file_size / max(member.compress_size, 1)
    # zipfile cuts `filename` at a NUL and replaces backslashes on Windows.
    for name in (member.orig_filename, member.filename):
        if fault := name_fault(plain_name(name)):
            return fault
    if kind == stat.S_IFLNK:
        return "is a symlink; pack the file itself"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is neither a file nor a folder"
    if member.flag_bits & 0x41:  # 0x1 encrypted, 0x40 strongly
        return "is encrypted; pack without a password"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"has compression method {member.compress_type}; pack with plain deflate"
    if member.file_size > limits.max_file_mb * MB:
        limit = f"the limit for a file is {limits.max_file_mb * MB:.0f} (ingest.max_file_mb)"
        return f"has a size of {member.file_size} bytes; {limit}"
    if member.file_size > RATIO_FROM_BYTES and ratio > limits.max_ratio:
        limit = f"the limit of this ratio is {limits.max_ratio:g} (ingest.max_ratio)"
        return f"unpacks to {ratio:.0f} times its size; {limit}"
    return None
