"""Reads a zip that nobody vouches for: every member is checked before the first is read."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from stages.common.errors import Refusal
from stages.intake.findings import Findings
from stages.intake.names import shown, why_unsafe

# The largest picture that is admitted holds 400 MB decoded (100 megapixels, four channels), and
# the JSON of COCO's 118,000 images is 450 MB: nothing genuine in one file is larger.
MAX_FILE_BYTES = 512 * 2**20
# Ten hours of 1280x720 video as PNG, one frame a second, are about 40 GB.
MAX_TOTAL_BYTES = 128 * 2**30
# CVAT stores without compression; JSON deflates about 20:1, a bomb 1000:1. Small members are
# let off: a black picture in a BMP is no danger.
MAX_RATIO = 200
RATIO_FROM_BYTES = 2**20


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens a zip and reads its list of members.

    Raises:
        Refusal: it is no zip, or only a part of one.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        reason = "it is empty, 0 bytes" if path.stat().st_size == 0 else str(error)
        raise Refusal(
            f"{path} is neither a folder nor a whole zip ({reason}): truncated or something "
            "else; download the export again"
        ) from error


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of one member: never more than it declared, and all of them.

    Raises:
        Refusal: it is damaged; the message goes behind its name.
    """
    try:
        # zipfile stops at the declared size, which was checked, and compares the CRC there.
        return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        raise Refusal(f"is corrupt in the zip ({error}); download the export again") from error


def checked_members(
    archive: zipfile.ZipFile, path: Path, findings: Findings
) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by name, after a check of every member.

    Raises:
        Refusal: a member is unsafe, or all together are too large; up to 50 are named.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for member in archive.infolist():
        name = member.filename.removesuffix("/")
        fault = "is there twice: duplicate" if name in members else member_fault(member)
        if fault:
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
    if total > MAX_TOTAL_BYTES:
        findings.fault(path.name, f"{total} bytes unpacked, the limit is {MAX_TOTAL_BYTES}")
    findings.refuse_faults(path)
    return members


def member_fault(member: zipfile.ZipInfo) -> str | None:
    """Why one member is refused, or None."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    ratio = member.file_size / max(member.compress_size, 1)
    # zipfile cuts `filename` at a NUL and turns backslashes round on Windows.
    for name in (member.orig_filename, member.filename):
        if why := why_unsafe(name.removesuffix("/")):
            return why
    if kind == stat.S_IFLNK:
        return "is a symlink; pack the file itself"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is neither a file nor a folder"
    if member.flag_bits & 0x41:  # 0x1 encrypted, 0x40 strongly
        return "is encrypted; pack without a password"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"has compression method {member.compress_type}; pack with plain deflate"
    if member.file_size > MAX_FILE_BYTES:
        return f"has a size of {member.file_size} bytes; the limit for a file is {MAX_FILE_BYTES}"
    if member.file_size > RATIO_FROM_BYTES and ratio > MAX_RATIO:
        return f"unpacks to {ratio:.0f} times its size; the limit of this ratio is {MAX_RATIO}"
    return None
