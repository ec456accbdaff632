"""Reads a zip that nobody vouches for: every member is checked before the first is read."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from stages.common.run import UserError
from stages.ingest.findings import Findings
from stages.ingest.limits import Limits
from stages.ingest.names import shown, why_unsafe

# Smaller members may unpack to any multiple: a black picture in a BMP is no danger.
RATIO_FROM_BYTES = 2**20


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens a zip and reads its list of members.

    Raises:
        UserError: it is no zip, or only a part of one.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        reason = "it is empty, 0 bytes" if path.stat().st_size == 0 else str(error)
        raise UserError(
            f"{path} is neither a folder nor a whole zip ({reason}): truncated or something "
            "else; download the export again"
        ) from error


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of one member: never more than it declared, and all of them.

    Raises:
        UserError: it is damaged; the message goes behind its name.
    """
    try:
        # zipfile stops at the declared size, which was checked, and compares the CRC there.
        return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"is corrupt in the zip ({error}); download the export again") from error


def checked_members(
    archive: zipfile.ZipFile, path: Path, limits: Limits, findings: Findings
) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by name, without a leading `./`, after a check of every member.

    Raises:
        UserError: a member is unsafe, or all together are too large; up to 50 are named.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for member in archive.infolist():
        name = plain_name(member.filename)
        if not name and member.is_dir():
            continue
        twice = "is there twice: duplicate" if name in members else None
        if fault := twice or member_fault(member, limits):
            findings.fault(path.name, f"member {shown(member.orig_filename)} {fault}")
            continue
        folders.update(map(str, PurePosixPath(name).parents))
        if member.is_dir():
            folders.add(name)
        else:
            members[name] = member
    for name in sorted(folders & set(members)):
        findings.fault(path.name, f"member {shown(name)} is both a file and a directory")
    total = sum(member.file_size for member in members.values())
    if total > limits.max_total_bytes:
        limit = f"the limit is {limits.max_total_bytes} (ingest.max_total_gb)"
        findings.fault(path.name, f"{total} bytes unpacked, {limit}")
    findings.refuse_faults(path)
    return members


def plain_name(name: str) -> str:
    """A member's name without the `./` that some tools put first and the `/` of a folder."""
    return name.removeprefix("./").removesuffix("/")


def member_fault(member: zipfile.ZipInfo, limits: Limits) -> str | None:
    """Why one member is refused, or None."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    ratio = member.file_size / max(member.compress_size, 1)
    # zipfile cuts `filename` at a NUL and turns backslashes round on Windows.
    for name in (member.orig_filename, member.filename):
        if why := why_unsafe(plain_name(name)):
            return why
    if kind == stat.S_IFLNK:
        return "is a symlink; pack the file itself"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is neither a file nor a folder"
    if member.flag_bits & 0x41:  # 0x1 encrypted, 0x40 strongly
        return "is encrypted; pack without a password"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"has compression method {member.compress_type}; pack with plain deflate"
    if member.file_size > limits.max_file_bytes:
        limit = f"the limit for a file is {limits.max_file_bytes} (ingest.max_file_mb)"
        return f"has a size of {member.file_size} bytes; {limit}"
    if member.file_size > RATIO_FROM_BYTES and ratio > limits.max_ratio:
        limit = f"the limit of this ratio is {limits.max_ratio:g} (ingest.max_ratio)"
        return f"unpacks to {ratio:.0f} times its size; {limit}"
    return None
