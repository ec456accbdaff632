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
Images that the export does not hold, in the folder of originals:
    <subset>/<file_name>                    first: two subsets may have images of equal names
    <file_name>
    <base name>                             anywhere below the folder, as a repair
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from stages.common.run import UserError
from stages.ingest.boxes import Image
from stages.ingest.findings import Findings, quote
from stages.ingest.limits import Limits
from stages.ingest.source import EXPECTED, Source, folder_bytes, open_folder

INSTANCES = re.compile(r"(?P<top>|.*/)annotations/instances_(?P<subset>[^/]*)\.json", re.DOTALL)
PLAIN = re.compile(r"(?:annotations/)?(?P<subset>[^/]*)\.json", re.DOTALL)
ROBOFLOW = re.compile(r"(?P<subset>[^/]+)/_annotations\.coco\.json", re.DOTALL)
# Names that tools give to the JSON of a data set without subsets.
NO_SUBSET = {"annotations", "result", "labels", "coco", "instances", "_annotations.coco"}
OTHER_TASKS = ("person_keypoints", "captions")
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"}


def find_export(source: Source, findings: Findings) -> Source:
    """Return the same files with names that start at the folder that holds the export.

    Raises:
        UserError: there is no export in it, or more than one.
    """
    tops = {match["top"] for match in map(INSTANCES.fullmatch, source.files) if match}
    if len(tops) > 1 and "" not in tops:
        several = examples(tops)
        raise UserError(f"{source.path} holds several exports ({several}); give one at a time")
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


def is_instances(name: str) -> bool:
    """Return whether a JSON must be COCO of boxes by its name alone."""
    return INSTANCES.fullmatch(name) is not None


def plain_subset(name: str) -> str | None:
    """Return the subset of a JSON that CVAT has not named; None if it is not for boxes."""
    match = ROBOFLOW.fullmatch(name) or PLAIN.fullmatch(name)
    if not match or name.rpartition("/")[2].startswith(OTHER_TASKS):
        return None
    return "default" if match["subset"] in NO_SUBSET else match["subset"]


def no_annotations(source: Source) -> str:
    """Explain what seems to have been given instead of an export of bounding boxes."""
    jsons = sorted(name for name in source.files if name.endswith(".json"))
    zips = sorted(name for name in source.files if name.endswith(".zip"))
    hint = "it has no JSON file there; export again"
    if any("person_keypoints" in name for name in jsons):
        hint = f'{quote(jsons[0])} is "COCO Keypoints 1.0": export as "COCO 1.0"'
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
    export: Source, folder: Path | None, images: list[Image], limits: Limits, findings: Findings
) -> None:
    """Set `read` of each image whose file is found and not claimed by another image.

    Missing files and files that two images claim become faults, files of the export that no
    image claims a warning.

    Args:
        folder: the folder of originals, if there is one.
    """
    index, originals = Index(export), Originals(folder, limits)
    candidates = [
        in_export(image, index, findings) or originals.find(image, findings) for image in images
    ]
    if images and not any(candidates):
        what = f"none of the {len(images)} listed images is in the export "
        what += f"({quote('images/' + images[0].name)} is missing): export again with "
        findings.fault(images[0].file, f"{what}'Save images' switched on, {originals.advice}")
        return
    claimed: dict[tuple[Source, str], Image] = {}
    for image, places in zip(images, candidates, strict=True):
        if fault := claim_fault(image, places, claimed, originals):
            findings.fault(image.file, fault, image=image.source_id)
        else:
            source, name = places[0]
            claimed[places[0]] = image
            image.read = partial(source.read, name)
    warn_unlisted(export, {name for source, name in claimed if source is export}, findings)
    taken = [name for source, name in claimed if source is not export]
    if taken and folder_bytes(folder, taken) > limits.max_total_bytes:
        limit = f"{limits.max_total_bytes} bytes (ingest.max_total_gb)"
        findings.fault(quote(str(folder)), f"{len(taken)} originals are over the limit of {limit}")


def nfc(name: str) -> str:
    """Return the composed Unicode form of a name; macOS stores names decomposed."""
    return unicodedata.normalize("NFC", name)


class Index:
    """The names of a source, in any Unicode form and by their last part."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.by_nfc = {nfc(name): name for name in sorted(source.files)}

    def first(self, names: list[str]) -> str | None:
        """Return the file of the first name that is there; an exact match goes first."""
        exact = next((name for name in names if name in self.source.files), None)
        return exact or next(filter(None, (self.by_nfc.get(nfc(name)) for name in names)), None)


def in_export(image: Image, index: Index, findings: Findings) -> list[tuple[Source, str]]:
    """Find the file of an image; one in another Unicode form is a repair."""
    folders = [f"images/{image.subset}/", "images/", f"{image.subset}/", "", "annotations/"]
    names = [folder + image.name for folder in folders]
    found = index.first(names)
    if found and found not in names:
        what = f"{quote(image.name)} is stored in another Unicode form; taken as the same"
        findings.repair(image.file, what, image=image.source_id)
    return [(index.source, found)] if found else []


class Originals:
    """The folder `data.images`, listed only if an image is missing."""

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        self.folder = folder
        self.limits = limits

    @cached_property
    def index(self) -> Index | None:
        """The files of the folder; None if there is no such folder."""
        there = self.folder is not None and self.folder.is_dir()
        return Index(open_folder(self.folder, self.limits)) if there else None

    @cached_property
    def by_base_name(self) -> dict[str, list[str]]:
        names = defaultdict(list)
        for name in sorted(self.index.source.files):
            names[nfc(PurePosixPath(name).name)].append(name)
        return names

    @property
    def advice(self) -> str:
        """Say what to do about a missing image."""
        place = "data.images"
        if self.folder:
            place += f" ({quote(str(self.folder))}{'' if self.index else ' is not a folder'})"
        return f"or put the originals into {place}"

    def find(self, image: Image, findings: Findings) -> list[tuple[Source, str]]:
        """Return the files that may be an image: more than one if that is ambiguous."""
        if not self.index:
            return []
        found = [name] if (name := self.index.first([image.path, image.name])) else []
        if not found:
            found = self.by_base_name.get(nfc(PurePosixPath(image.name).name), [])
            if len(found) == 1:
                what = f"{quote(image.name)} is taken from {quote(found[0])} among the originals"
                findings.repair(image.file, what, image=image.source_id)
        return [(self.index.source, name) for name in found]


def claim_fault(
    image: Image,
    places: list[tuple[Source, str]],
    claimed: dict[tuple[Source, str], Image],
    originals: Originals,
) -> str | None:
    """Say why an image has no file of its own, or return None."""
    if not places:
        what = f"{quote(image.name)} is missing from images/; names must match exactly"
        return f"{what}, {originals.advice}"
    if len(places) > 1:
        what = f"{quote(image.name)} may be {quote(places[0][1])} or {quote(places[1][1])} "
        return f"{what}among the originals; put it under the name {quote(image.path)} there"
    if other := claimed.get(places[0]):
        what = f"{quote(places[0][1])} is already the file of an image of {other.file}: CVAT before"
        return f"{what} July 2024 overwrote equal names; export with a newer one or rename"
    return None


def warn_unlisted(export: Source, claimed: set[str], findings: Findings) -> None:
    """Add one warning for all images that no JSON lists."""
    left = export.files - claimed
    left = sorted(n for n in left if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES)
    if left:
        what = f"{len(left)} images are listed by no JSON ({examples(left)}); left out"
        findings.warn("images", what)
