"""Find the parts of an export by name, whatever tool and version wrote it.

JSON files:
    annotations/instances_<subset>.json     CVAT, and COCO itself; where there is one, nothing else
    annotations/<subset>.json               plain COCO of other tools
    <subset>.json
    <subset>/_annotations.coco.json         Roboflow, beside its images
Images:
    images/<subset>/<file_name>             CVAT since July 2024
    images/<file_name>                      CVAT before; equal names overwrote each other
    <subset>/<file_name>                    plain COCO: train2017/ beside annotations/; Roboflow
    <file_name>                             beside the JSON, or the JSON names paths from the top
    annotations/<file_name>                 beside the JSON
    data/<file_name>                        FiftyOne, beside labels.json
Images that the export does not hold, in the folder of originals:
    <subset>/<file_name>                    first: two subsets may have images of equal names
    <file_name>
    <base name>                             anywhere below the folder, as a repair
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection
from functools import partial
from pathlib import Path, PurePosixPath

from stages.admission.findings import Findings, quote
from stages.admission.other_formats import other_format
from stages.admission.source import (
    EXPECTED,
    GB,
    Source,
    folder_bytes,
    name_fault,
    open_folder,
    total_limit,
)
from stages.common.params import Ingest
from stages.common.run import UserError
from stages.ingest.boxes import Image

INSTANCES = re.compile(r"(?P<top>|.*/)annotations/instances_(?P<subset>[^/]*)\.json", re.DOTALL)
PLAIN = re.compile(r"(?:annotations/)?(?P<subset>[^/]*)\.json", re.DOTALL)
ROBOFLOW = re.compile(r"(?P<subset>[^/]+)/_annotations\.coco\.json", re.DOTALL)
# Names that tools give to the JSON of a data set without subsets.
NO_SUBSET = {"annotations", "result", "labels", "coco", "instances", "_annotations.coco"}
OTHER_TASKS = ("person_keypoints", "captions")
# A file by the source that holds it and its name there.
Place = tuple[Source, str]
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}


def find_export(source: Source, findings: Findings) -> Source:
    """Return the same files with names that start at the folder that holds the export.

    Raises:
        UserError: there is no export in it, or more than one.
    """
    tops = {match["top"] for match in map(INSTANCES.fullmatch, source.files) if match}
    if len(tops) > 1 and "" not in tops:
        raise UserError(
            f"{source.path} holds several exports ({examples(tops)}); give the folder that holds "
            "them, unpacked, or one of them"
        )
    top = "" if "" in tops else tops.pop() if tops else plain_top(source.files)
    if top is None:
        raise UserError(no_annotations(source))
    if not top:
        return source
    what = f"everything is in the folder {quote(top)}; it is read there"
    findings.warn(source.path.name, what)
    inside = frozenset(name[len(top) :] for name in source.files if name.startswith(top))
    return Source(source.path, inside, lambda name: source.read(top + name))


def plain_top(names: Collection[str]) -> str | None:
    """Return the folder, with a '/' at its end, that holds a data set that CVAT has not named."""
    top = ""
    while not annotation_files([name[len(top) :] for name in names]):
        folders = {name[len(top) :].partition("/")[:2] for name in names}
        if len(folders) != 1 or not all(slash for _, slash in folders):
            return None
        top += "".join(folders.pop())
    return top


def annotation_files(names: Collection[str]) -> dict[str, str]:
    """Return the subset of each JSON that may list images, by its name from the top folder."""
    instances = {name: INSTANCES.fullmatch(name) for name in names}
    found = {n: match["subset"] for n, match in instances.items() if match and not match["top"]}
    return found or {name: subset for name in names if (subset := plain_subset(name)) is not None}


def plain_subset(name: str) -> str | None:
    """Return the subset of a JSON that CVAT has not named; None if it is not for boxes."""
    match = ROBOFLOW.fullmatch(name) or PLAIN.fullmatch(name)
    if not match or name.rpartition("/")[2].startswith(OTHER_TASKS):
        return None
    return "default" if match["subset"] in NO_SUBSET else match["subset"]


def no_annotations(source: Source, contents: dict[str, object] | None = None) -> str:
    """Explain what seems to have been given instead of an export of bounding boxes.

    Args:
        contents: of its JSON files by name, as far as they were read.
    """
    jsons = sorted(name for name in source.files if name.endswith(".json"))
    zips = sorted(name for name in source.files if name.endswith(".zip"))
    hint = "it has no JSON file there; export again"
    if any("person_keypoints" in name for name in jsons):
        hint = f'{quote(jsons[0])} is "COCO Keypoints 1.0": export as "COCO 1.0"'
    elif other := other_format(source.files, contents or {}):
        hint = other
    elif jsons:
        hint = f"none of its JSON files ({examples(jsons)}) is COCO of boxes, with the lists "
        hint += "images, annotations and categories"
    elif zips:
        hint = f"it holds another zip, {quote(zips[0])}: unpack the outer one and give the inner"
    elif not source.files:
        hint = "it is empty; export again"
    return f"{source.path} holds no annotations: {EXPECTED}; {hint}"


def examples(names: Collection[str]) -> str:
    return ", ".join(map(quote, sorted(names)[:3]))


def find_images(
    export: Source, folder: Path | None, images: list[Image], limits: Ingest, findings: Findings
) -> None:
    """Set `read` of each image whose file is found and not claimed by another image.

    Missing files and files that two images claim become faults, files of the export that no
    image claims a warning.

    Args:
        folder: the folder of originals, if there is one.
    """
    index = Index(export)
    places = [in_export(image, index, findings) for image in images]
    if folder and folder.is_dir() and not all(places):
        originals = Index(open_folder(folder, limits))
        places = [
            found or in_originals(image, originals, findings)
            for image, found in zip(images, places, strict=True)
        ]
    advice = "or put the originals into data.images"
    if folder:
        advice += f" ({quote(str(folder))}{'' if folder.is_dir() else ' is not a folder'})"
    if images and not any(places):
        what = f"none of the {len(images)} listed images is in the export "
        what += f"({quote('images/' + images[0].name)} is missing): export again with "
        if links := linked_folders(export.path):
            what = f"the folders {examples(links)} are links, which are not followed: put the "
            what += "images themselves there, or export again with "
        findings.fault(images[0].file, f"{what}'Save images' switched on, {advice}")
        return
    claimed: dict[Place, Image] = {}
    for image, found in zip(images, places, strict=True):
        with findings.collect(image.file, image=image.source_id):
            check_place(image, found, claimed, advice)
            source, name = found[0]
            claimed[found[0]] = image
            image.read = partial(source.read, name)
    warn_unlisted(export, {name for source, name in claimed if source is export}, findings)
    taken = [name for source, name in claimed if source is not export]
    if taken and folder_bytes(folder, taken) > limits.max_total_gb * GB:
        what = f"{len(taken)} originals are over the limit of {total_limit(limits)}"
        findings.fault(quote(str(folder)), what)


def linked_folders(root: Path) -> list[str]:
    """Return the links to folders below a folder; a link could lead anywhere."""
    found = [Path(at, name) for at, names, _ in os.walk(root) for name in names]
    return [path.relative_to(root).as_posix() for path in found if path.is_symlink()]


def nfc(name: str) -> str:
    """Return the composed Unicode form of a name; macOS stores names decomposed."""
    return unicodedata.normalize("NFC", name)


def base_name(name: str) -> str:
    return name.rpartition("/")[2]


class Index:
    """The names of a source in composed Unicode form, and by their last part."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.by_nfc = {nfc(name): name for name in sorted(source.files)}
        self.by_base_name = defaultdict(list)
        for name in sorted(source.files):
            self.by_base_name[nfc(base_name(name))].append(name)

    def first(self, names: list[str]) -> str | None:
        """Return the file of the first name that is there; an exact match goes first."""
        exact = [name for name in names if name in self.source.files]
        same = [self.by_nfc[nfc(name)] for name in names if nfc(name) in self.by_nfc]
        return next(iter(exact + same), None)


def in_export(image: Image, index: Index, findings: Findings) -> list[Place]:
    """Find the file of an image; one in another Unicode form is a repair."""
    folders = [
        f"images/{image.subset}/",
        "images/",
        f"{image.subset}/",
        "",
        "annotations/",
        "data/",
    ]
    names = [folder + image.name for folder in folders]
    found = index.first(names)
    if image.given and not found:
        return by_last_parts(image, index, findings)
    if found and found not in names:
        what = f"{quote(image.name)} is stored in another Unicode form; taken as the same"
        findings.repair(image.file, what, image=image.source_id)
    return [(index.source, found)] if found else []


def by_last_parts(image: Image, index: Index, findings: Findings) -> list[Place]:
    """Find the file that ends as a path of another computer does, and rename the image so.

    Returns:
        More than one if that is ambiguous.
    """
    parts = nfc(image.name).split("/")
    same_base = index.by_base_name.get(parts[-1], [])
    for start in range(len(parts)):
        end = "/".join(parts[start:])
        found = [name for name in same_base if f"/{nfc(name)}".endswith(f"/{end}")]
        if len(found) == 1:
            what = f"{quote(image.given)} is a path of another computer; taken from "
            what += f"{quote(found[0])}, the only file that ends so"
            findings.repair(image.file, what, image=image.source_id)
            image.name = end
        if found:
            return [(index.source, name) for name in found]
    return []


def in_originals(image: Image, index: Index, findings: Findings) -> list[Place]:
    """Find the originals that may be an image: more than one if that is ambiguous."""
    if found := index.first([image.path, image.name]):
        return [(index.source, found)]
    if image.given:
        return by_last_parts(image, index, findings)
    same_base = index.by_base_name.get(nfc(base_name(image.name)), [])
    if len(same_base) == 1:
        what = f"{quote(image.name)} is taken from {quote(same_base[0])} among the originals"
        findings.repair(image.file, what, image=image.source_id)
    return [(index.source, name) for name in same_base]


def check_place(
    image: Image, places: list[Place], claimed: dict[Place, Image], advice: str
) -> None:
    """Check that an image has one file, which no other image has.

    Raises:
        UserError: it has none, may have several, or shares it.
    """
    if not places and image.given:
        what = f"file_name is {quote(image.given)}, which {name_fault(image.given)}; expected a "
        raise UserError(f"{what}path below images/, or one that ends as one of the files; {advice}")
    if not places:
        what = f"{quote(image.name)} is missing from images/; names must match exactly"
        raise UserError(f"{what}, {advice}")
    if len(places) > 1:
        what = f"{quote(image.name)} may be {quote(places[0][1])} or {quote(places[1][1])} "
        what += f"among the files; put it under the name {quote(image.path)} there"
        raise UserError(what)
    if other := claimed.get(places[0]):
        what = f"{quote(places[0][1])} is already the file of an image of {other.file}: CVAT before"
        raise UserError(
            f"{what} July 2024 overwrote equal names; export with a newer one or rename"
        )


def warn_unlisted(export: Source, claimed: set[str], findings: Findings) -> None:
    """Add one warning for all images that no JSON lists."""
    left = export.files - claimed
    left = sorted(n for n in left if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES)
    if left:
        what = f"{len(left)} images are listed by no JSON ({examples(left)}); left out"
        findings.warn("images", what)
