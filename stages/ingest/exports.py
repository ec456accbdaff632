"""Several exports, one data set: a folder with the zips and folders of CVAT's tasks.

Exports are read in the order of their names. A label is the same in all of them if its name is. A
picture that two of them hold counts once. Images of different pictures may have the same name: each
is stored below the name of its export.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from stages.admission.findings import Findings, quote
from stages.admission.source import name_fault, open_folder
from stages.common.params import Ingest
from stages.common.run import UserError
from stages.ingest.boxes import Image
from stages.ingest.layout import annotation_files


def exports_in(path: Path, limits: Ingest, findings: Findings) -> dict[str, Path]:
    """Return the exports by name, in the order of their names: one without a name if it is `path`.

    Raises:
        UserError: two exports have one name.
    """
    files = open_folder(path, limits).files if path.is_dir() else frozenset()
    zips = [name for name in files if "/" not in name and name.lower().endswith(".zip")]
    folders = {name.partition("/")[0] for name in files if "/" in name and not name.startswith(".")}
    exports = [top for top in folders if annotation_files(inside(top, files))]
    if annotation_files(files) or not (zips or len(exports) > 1):
        return {"": path}
    for name in files - set(zips):
        if "/" not in name and not name.startswith("."):
            findings.warn(path.name, f"{quote(name)} is neither a zip nor a folder; left out")
    named: dict[str, Path] = {}
    for export in sorted({*zips, *folders}):
        name = PurePosixPath(export).stem if export in zips else export
        if fault := name_fault(name):
            raise UserError(f"{path}: the name {quote(export)} {fault}; rename it")
        if name in named:
            both = f"{quote(named[name].name)} and {quote(export)}"
            raise UserError(f"{path} holds {both}: one export twice? Remove or rename one of them")
        named[name] = path / export
    return dict(sorted(named.items()))


def inside(folder: str, names: Iterable[str]) -> list[str]:
    """Return the names of the files of a folder, from there."""
    return [name.removeprefix(f"{folder}/") for name in names if name.startswith(f"{folder}/")]


def merge_labels(labels_of: dict[str, list[str]], findings: Findings) -> list[str]:
    """Return the labels of all exports, sorted.

    Labels that differ from those of an earlier export in case or spaces only become faults, and so
    does an export that has no label in common with the earlier ones.

    Args:
        labels_of: the labels of each export by its name.
    """
    first: dict[str, tuple[str, str]] = {}  # the label and the export that had it first
    everywhere = set.intersection(*map(set, labels_of.values()))
    for export, labels in labels_of.items():
        known = {label for label, _ in first.values()}
        if known and labels and not known & set(labels):
            what = f"has the labels {some(labels)}, the exports before it {some(known)}: none in "
            findings.fault(export, f"{what}common; is it of another project?")
        for label in labels:
            same, where = first.setdefault("".join(label.split()).casefold(), (label, export))
            if same != label and where != export:
                what = f"label {quote(label)} is {quote(same)} in {quote(where)}; rename one of "
                findings.fault(export, f"{what}them in CVAT")
    merged = sorted(set().union(*labels_of.values()))
    for label in merged:
        if label not in everywhere:
            holders = [export for export, labels in labels_of.items() if label in labels]
            what = f"label {quote(label)} is in {some(holders)} only: are there such objects, "
            findings.warn("categories", f"{what}without boxes, in the other exports?")
    return merged


def some(names: Iterable[str]) -> str:
    """Name up to five."""
    return ", ".join(map(quote, sorted(names)[:5]))


def merge_images(images: list[Image], newest: bool, findings: Findings) -> list[Image]:
    """Return the images without those that repeat a picture of another export.

    A picture with the same boxes in the same subset counts for the first export that holds it. One
    with other boxes becomes a fault, or counts for the last export if `newest` says so.

    Args:
        images: in the order of their exports, with `sha256`.
        newest: whether the last export goes before the others.
        findings: takes faults and repairs.
    """
    holders: dict[str, dict[str, list[Image]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        holders[image.sha256][image.export].append(image)
    left_out: set[int] = set()
    for by_export in holders.values():
        kept, *others = by_export.values()
        for other in others:
            dropped = other
            if labelled(kept) != labelled(other):
                what = f"{quote(other[0].name)} is also in {quote(kept[0].export)}, "
                what += but(kept, other)
                if not newest:
                    remedy = "data.on_conflict: newest takes the export whose name comes last"
                    findings.fault(other[0].file, f"{what}; {remedy}", image=other[0].source_id)
                    continue
                what += f"; {quote(other[0].export)} counts"
                findings.repair(other[0].file, what, image=other[0].source_id)
                kept, dropped = other, kept
            left_out |= set(map(id, dropped))
    return [image for image in images if id(image) not in left_out]


def labelled(images: list[Image]) -> list:
    """Return what is said of a picture, in a form that can be compared."""
    return sorted(
        (image.subset, sorted((box.label, box.bbox_xywh) for box in image.boxes))
        for image in images
    )


def but(kept: list[Image], other: list[Image]) -> str:
    """Say how two exports differ about a picture."""
    subsets = [sorted({image.subset for image in images}) for images in (kept, other)]
    if subsets[0] != subsets[1]:
        return f"in subset {some(subsets[0])} and not {some(subsets[1])}"
    counts = [sum(len(image.boxes) for image in images) for images in (kept, other)]
    return f"with other boxes ({counts[0]} there, {counts[1]} here)"
