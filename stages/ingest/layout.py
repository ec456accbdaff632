"""Finds the file of each picture in an export, whatever layout its version of CVAT wrote.

images/<subset>/<file_name>     CVAT since July 2024
images/<file_name>              CVAT before; pictures of equal names overwrote each other
<subset>/<file_name>            plain COCO: train2017/ beside annotations/; Roboflow
<file_name>                     beside the JSON, or the JSON names paths from the top
annotations/<file_name>         beside the JSON

What the export does not hold is looked for in the folder of originals.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from stages.ingest.archive import Source
from stages.ingest.findings import Findings
from stages.ingest.folders import folder_bytes
from stages.ingest.image_folder import Originals
from stages.ingest.limits import Limits
from stages.ingest.names import by_nfc, nfc, shown
from stages.ingest.types import Picture

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}
# A file by the source that holds it and its name there.
Place = tuple[Source, str]


def locate_pictures(
    export: Source,
    images: Path | None,
    pictures: list[Picture],
    limits: Limits,
    findings: Findings,
) -> list[Callable[[], bytes]]:
    """What reads the file of each picture, in the same order; less where there is a fault.

    Missing files and files that two pictures claim become faults, files of the export that no
    picture claims a warning.

    Args:
        images: the folder of originals, if there is one.
    """
    originals = Originals(images, limits)
    places = list(search(export, originals, pictures, findings))
    if pictures and not any(places):
        findings.fault(
            pictures[0].file,
            f"none of the {len(pictures)} listed images is in the export "
            f"({shown('images/' + pictures[0].name)} is missing): export again with "
            f"'Save images' switched on, {originals.advice}",
        )
        return []
    claimed = claim(pictures, places, originals, findings)
    warn_unlisted(export, {name for source, name in claimed if source is export}, findings)
    taken = [name for source, name in claimed if source is not export]
    if images and folder_bytes(images, taken) > limits.max_total_bytes:
        limit = f"{limits.max_total_bytes} bytes (ingest.max_total_gb)"
        findings.fault(shown(str(images)), f"{len(taken)} originals are over the limit of {limit}")
    return [partial(source.read, name) for source, name in claimed]


def search(
    export: Source, originals: Originals, pictures: list[Picture], findings: Findings
) -> Iterator[list[Place]]:
    """For each picture the files that may be it: more than one where that is not clear."""
    names = by_nfc(export.files)
    for picture in pictures:
        if name := find(picture, export, names, findings):
            yield [(export, name)]
        else:
            yield [(originals.source, name) for name in originals.find(picture, findings)]


def find(
    picture: Picture, export: Source, names_by_nfc: dict[str, str], findings: Findings
) -> str | None:
    """Where one picture lies; a name that differs only in its Unicode form is a repair."""
    places = [f"images/{picture.subset}/", "images/", f"{picture.subset}/", "", "annotations/"]
    names = [place + picture.name for place in places]
    for name in names:
        if name in export.files:
            return name
    for name in names:
        if found := names_by_nfc.get(nfc(name)):
            what = f"{shown(picture.name)} is stored in another Unicode form; taken as the same"
            findings.repair(picture.file, what, image=picture.source_id)
            return found
    return None


def claim(
    pictures: list[Picture], places: list[list[Place]], originals: Originals, findings: Findings
) -> dict[Place, Picture]:
    """The picture of each file, in the order of the pictures; a fault where it is not clear."""
    claimed: dict[Place, Picture] = {}
    for picture, found in zip(pictures, places, strict=True):
        if not found:
            what = f"{shown(picture.name)} is missing from images/; names must match exactly"
            what += f", {originals.advice}"
        elif len(found) > 1:
            what = f"{shown(picture.name)} may be {shown(found[0][1])} or {shown(found[1][1])} "
            what += f"among the originals; put it under the name {shown(picture.path)} there"
        elif found[0] in claimed:
            other = claimed[found[0]]
            what = f"{shown(found[0][1])} is already the picture of {other.file}: CVAT before "
            what += "July 2024 overwrote equal names; export with a newer one or rename"
        else:
            claimed[found[0]] = picture
            continue
        findings.fault(picture.file, what, image=picture.source_id)
    return claimed


def warn_unlisted(export: Source, claimed: set[str], findings: Findings) -> None:
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
