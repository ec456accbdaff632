"""Finds the file of each picture in an export, whatever layout its version of CVAT wrote.

images/<subset>/<file_name>     CVAT since July 2024
images/<file_name>              CVAT before; pictures of equal names overwrote each other
<subset>/<file_name>            plain COCO: train2017/ beside annotations/
<file_name>                     the JSON names paths from the top of the export
"""

import unicodedata
from pathlib import PurePosixPath

from stages.intake.archive import Export
from stages.intake.findings import Findings
from stages.intake.names import shown
from stages.intake.records import Picture

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}


def locate_pictures(export: Export, pictures: list[Picture], findings: Findings) -> list[str]:
    """The file in the export of each picture, in the same order.

    Missing files and files that two pictures claim become faults, files that no picture
    claims a warning.
    """
    by_nfc = {unicodedata.normalize("NFC", name): name for name in sorted(export.files)}
    members = [find(picture, export, by_nfc, findings) for picture in pictures]
    if pictures and not any(members):
        findings.fault(
            pictures[0].file,
            f"none of the {len(pictures)} listed images is in the export "
            f"({shown('images/' + pictures[0].name)} is missing): export again with "
            "'Save images' switched on",
        )
        return []
    claimed: dict[str, Picture] = {}
    for picture, member in zip(pictures, members, strict=True):
        if member is None:
            what = f"{shown(picture.name)} is missing from images/; names must match exactly"
            findings.fault(picture.file, what, image=picture.source_id)
        elif member in claimed:
            what = (
                f"{shown(member)} is already the picture of {claimed[member].file}: CVAT before "
                "July 2024 overwrote equal names; export with a newer one or rename"
            )
            findings.fault(picture.file, what, image=picture.source_id)
        else:
            claimed[member] = picture
    warn_unlisted(export, set(claimed), findings)
    return [member or "" for member in members]


def find(
    picture: Picture, export: Export, by_nfc: dict[str, str], findings: Findings
) -> str | None:
    """Where one picture lies; a name that differs only in its Unicode form is a repair."""
    places = [f"images/{picture.subset}/", "images/", f"{picture.subset}/", ""]
    names = [place + picture.name for place in places]
    for name in names:
        if name in export.files:
            return name
    for name in names:
        if found := by_nfc.get(unicodedata.normalize("NFC", name)):
            what = f"{shown(picture.name)} is stored in another Unicode form; taken as the same"
            findings.repair(picture.file, what, image=picture.source_id)
            return found
    return None


def warn_unlisted(export: Export, claimed: set[str], findings: Findings) -> None:
    """One warning for all pictures that no JSON lists."""
    left = sorted(
        name
        for name in export.files - claimed
        if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES
    )
    if left:
        examples = ", ".join(map(shown, left[:3]))
        what = f"{len(left)} pictures are listed by no JSON ({examples}); left out"
        findings.warn("images", what)
