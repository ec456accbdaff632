"""Checks all pictures on all cores and writes those that are whole.

In:   Pictures and what reads their files
Out:  <folder>/<subset>/<file_name>, byte for byte as given. A picture with an EXIF rotation is
      turned once and written as <file_name>.png, since every later reader ignores EXIF.

The bytes that were checked are the bytes that are written, never a hard link to the original:
DVC would make the user's own file read-only and one with its cache (measured, cache.type hardlink).
"""

import errno
import hashlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from stages.common.run import UserError
from stages.ingest.decode import check_picture
from stages.ingest.findings import Findings
from stages.ingest.limits import Limits
from stages.ingest.names import shown
from stages.ingest.types import Picture
from stages.ingest.workers import PixelBudget, all_cores

# About three seconds on two cores; a bar for less is only noise.
BAR_FROM_PICTURES = 1000
# What a file system answers to a name that it cannot hold, for example one that differs from
# another in case only; anything else, like a full disk, is no fault of the picture.
NAME_ERRORS = {
    errno.EEXIST,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
}


@dataclass(frozen=True)
class Stored:
    """A picture in the data set.

    Attributes:
        file_name: relative to the images folder, with '/'.
        sha256: of the file as written.
        dhash: of the picture as displayed.
        turned: whether an EXIF rotation was applied.
        warnings: what a person should know about it.
    """

    file_name: str
    sha256: str
    dhash: str
    turned: bool
    warnings: list[str]


def store_pictures(
    pictures: list[Picture],
    readers: list[Callable[[], bytes]],
    folder: Path,
    limits: Limits,
    findings: Findings,
) -> list[Stored]:
    """Checks and writes all pictures.

    Args:
        pictures: the entries of the JSON.
        readers: for each of them what reads its file.
        folder: where the subset folders go.
        findings: takes a fault for each picture that is refused.

    Returns:
        One Stored for each picture that was admitted, in their order.

    Raises:
        OSError: the disk is full or the like.
    """
    budget = PixelBudget()

    def store(picture: Picture, read: Callable[[], bytes]) -> Stored | UserError:
        with budget.claim(picture.width * picture.height):
            try:
                return store_one(read(), picture, folder, limits.max_pixels)
            except UserError as refusal:
                return refusal

    admitted = []
    with all_cores() as pool:
        outcomes = with_bar(pool.map(store, pictures, readers), len(pictures))
        for picture, outcome in zip(pictures, outcomes, strict=True):
            if isinstance(outcome, UserError):
                what = f"{shown(picture.name)} {outcome}"
                findings.fault(picture.file, what, image=picture.source_id)
            else:
                admitted.append(outcome)
                note(picture, outcome, findings)
    if not findings.faults:
        warn_identical(pictures, admitted, findings)
    return admitted


def with_bar(outcomes: Iterator, total: int) -> Iterable:
    """The same outcomes, with a progress bar on a terminal where there are many."""
    return track(
        outcomes,
        description="checking pictures",
        total=total,
        console=Console(stderr=True),
        transient=True,
        disable=total < BAR_FROM_PICTURES or not sys.stderr.isatty(),
    )


def note(picture: Picture, stored: Stored, findings: Findings) -> None:
    """Passes on what a person should know about one admitted picture."""
    for warning in stored.warnings:
        what = f"{shown(picture.name)}: {warning}"
        findings.warn(picture.file, what, image=picture.source_id)
    if stored.turned:
        what = f"{shown(picture.name)}: turned upright by its EXIF tag, stored as PNG"
        findings.repair(picture.file, what, image=picture.source_id)


def store_one(data: bytes, picture: Picture, folder: Path, max_pixels: int) -> Stored:
    """Checks one picture and writes it.

    Raises:
        UserError: it is no whole picture of the expected size, or its name cannot be written.
        OSError: the disk is full or the like.
    """
    checked = check_picture(data, picture, max_pixels)
    file_name = picture.path + (".png" if checked.turned else "")
    target = folder / file_name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # "x": where the file system ignores case, two names may turn out to be one file.
        with target.open("xb") as out:
            out.write(checked.data)
    except OSError as error:
        if error.errno not in NAME_ERRORS:
            raise
        raise UserError(f"cannot be written: {error.strerror}; rename it") from error
    sha256 = hashlib.sha256(checked.data).hexdigest()
    return Stored(file_name, sha256, checked.dhash, checked.turned, checked.warnings)


def warn_identical(pictures: list[Picture], stored: list[Stored], findings: Findings) -> None:
    """One warning for each group of pictures with equal bytes."""
    groups = defaultdict(list)
    for picture, one in zip(pictures, stored, strict=True):
        groups[one.sha256].append(picture)
    for group in groups.values():
        if len(group) > 1:
            names = ", ".join(shown(picture.path) for picture in group[:5])
            what = f"{len(group)} identical pictures: {names}; they count as one in a fair split"
            findings.warn(group[0].file, what, image=group[0].source_id)
