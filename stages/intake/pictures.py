"""Checks all pictures on all cores and writes those that are whole.

In:   Pictures and where they lie in the export
Out:  <folder>/<subset>/<file_name>, byte for byte as exported. A picture with an EXIF rotation is
      turned once and written as <file_name>.png, since every later reader ignores EXIF.
"""

import hashlib
import sys
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
from rich.console import Console
from rich.progress import track

from stages.common.errors import Refusal
from stages.intake.archive import Export
from stages.intake.decode import check_picture
from stages.intake.findings import Findings
from stages.intake.names import shown
from stages.intake.records import MAX_PIXELS, Picture

# About three seconds on two cores; a bar for less is only noise.
BAR_FROM_PICTURES = 1000


@dataclass(frozen=True)
class Stored:
    """A picture in the data set.

    Attributes:
        file_name: relative to the images folder, with '/'.
        sha256: of the file as written.
        turned: whether an EXIF rotation was applied.
        warnings: what a person should know about it.
    """

    file_name: str
    sha256: str
    turned: bool
    warnings: list[str]


class PixelBudget:
    """Lets no more pixels be decoded at once than the largest admitted picture has, so that
    memory stays the same on 2 cores and on 64."""

    def __init__(self) -> None:
        self.free = MAX_PIXELS
        self.changed = threading.Condition()

    @contextmanager
    def claim(self, pixels: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: self.free >= pixels)
            self.free -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.free += pixels
                self.changed.notify_all()


def store_pictures(
    export: Export, pictures: list[Picture], members: list[str], folder: Path, findings: Findings
) -> list[Stored]:
    """Checks and writes all pictures.

    Args:
        export: opened.
        pictures: the entries of the JSON.
        members: for each of them its file in the export.
        folder: where the subset folders go.
        findings: takes a fault for each picture that is refused.

    Returns:
        One Stored for each picture that was admitted, in their order.
    """
    budget = PixelBudget()

    def store(picture: Picture, member: str) -> Stored | Refusal:
        with budget.claim(picture.width * picture.height):
            try:
                return store_one(export.read(member), picture, folder)
            except Refusal as refusal:
                return refusal

    admitted = []
    with all_cores() as pool:
        outcomes = with_bar(pool.map(store, pictures, members), len(pictures))
        for picture, outcome in zip(pictures, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                what = f"{shown(picture.name)} {outcome}"
                findings.fault(picture.file, what, image=picture.source_id)
            else:
                admitted.append(outcome)
                note(picture, outcome, findings)
    if not findings.faults:
        warn_identical(pictures, admitted, findings)
    return admitted


@contextmanager
def all_cores() -> Iterator[ThreadPoolExecutor]:
    """Threads: Pillow, zlib and hashlib release the GIL while they work.

    Interrupted, it drops what is queued and waits for what runs, so that nothing is written
    into a temporary folder that is being deleted.
    """
    pool = ThreadPoolExecutor()
    # The decoders' own remarks name no file; what matters is told by check_picture.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.utils.logging.setLogLevel(level)


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


def store_one(data: bytes, picture: Picture, folder: Path) -> Stored:
    """Checks one picture and writes it.

    Raises:
        Refusal: it is no whole picture of the expected size, or cannot be written.
    """
    checked = check_picture(data, picture)
    file_name = f"{picture.subset}/{picture.name}" + (".png" if checked.turned else "")
    target = folder / file_name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # "x": where the file system ignores case, two names may turn out to be one file.
        with target.open("xb") as out:
            out.write(checked.data)
    except OSError as error:
        raise Refusal(f"cannot be written: {error.strerror}; free space or rename it") from error
    sha256 = hashlib.sha256(checked.data).hexdigest()
    return Stored(file_name, sha256, checked.turned, checked.warnings)


def warn_identical(pictures: list[Picture], stored: list[Stored], findings: Findings) -> None:
    """One warning for each group of pictures with equal bytes."""
    groups = defaultdict(list)
    for picture, one in zip(pictures, stored, strict=True):
        groups[one.sha256].append(picture)
    for group in groups.values():
        if len(group) > 1:
            names = ", ".join(shown(f"{picture.subset}/{picture.name}") for picture in group[:5])
            what = f"{len(group)} identical pictures: {names}; they count as one in a fair split"
            findings.warn(group[0].file, what, image=group[0].source_id)
