"""What the split did: for report.json, for metrics/data.json, and for the person who started it."""

from collections import Counter

import numpy as np

from stages.common.coco import subset
from stages.common.metrics import with_details
from stages.common.params import Split
from stages.split.assign_splits import SIDES, place, shares_of
from stages.split.near_duplicates import twins

CLOSEST = 50
# Below it a point of AP is one object more or less.
FEW_IMAGES = 50
# A photograph taken twice is no video; a tenth of all pictures is.
VIDEO_SHARE = 0.1


def report_of(
    coco: dict, codes: np.ndarray, keys: list[str], sides: np.ndarray, params: Split
) -> dict:
    """What report.json says."""
    images = coco["images"]
    alone = [place(image["sha256"], params.seed) for image in images]
    by_image = np.searchsorted(np.cumsum(shares_of(params.ratio, params.test))[:2], alone, "right")
    units = dict(zip((image["id"] for image in images), keys, strict=True))
    on = {
        name: subset(coco, [image for image, s in zip(images, sides, strict=True) if s == side])
        for side, name in enumerate(SIDES)
    }
    pairs, twinned, nearest = pairs_of(images, codes, sides)
    report = {
        "images": len(images),
        "boxes": len(coco["annotations"]),
        "groups": len(set(keys)),
        "sides": {name: counts(part, units) for name, part in on.items()},
        "left_out": [i["file_name"] for i, s in zip(images, sides, strict=True) if s < 0],
        "images_with_twins": twinned,
        "near_duplicate_pairs": pairs,
        "near_duplicates": nearest,
        "crossing_image_by_image": crossing(codes, by_image),
        "crossing": crossing(codes, sides),
    }
    grouped = params.group_by not in ("none", "time")
    unmatched = sum(k == i["sha256"] for k, i in zip(keys, images, strict=True)) if grouped else 0
    return {**report, "warnings": warnings(report, unmatched, params.group_by)}


def figures(report: dict) -> dict:
    """The numbers of the report that a review compares."""
    sides = {name: side for name, side in report["sides"].items() if side["images"]}
    details = ("groups", "near_duplicate_pairs", "crossing_image_by_image")
    every = {
        "images": report["images"],
        "boxes": report["boxes"],
        "crossing": report["crossing"],
        "left_out": len(report["left_out"]),
        **{name: with_details(side, "images", "boxes") for name, side in sides.items()},
        **{name: report[name] for name in details},
    }
    return with_details(every, *(name for name in every if name not in details))


def crossing(codes: np.ndarray, sides: np.ndarray) -> dict[str, int]:
    """How far a split leaks.

    Args:
        codes: difference hashes, uint64 [images, 4].
        sides: int [images], index into SIDES, -1 for left out.

    Returns:
        pairs: twins on two sides; judged_images: images of val and test with a twin in train.
    """
    pairs, judged = 0, np.zeros(len(sides), bool)
    for index, others, _ in twins(codes):
        side, theirs = sides[index], sides[others]
        pairs += int(((theirs != side) & (theirs >= 0)).sum()) if side >= 0 else 0
        judged[index] |= side > 0 and bool((theirs == 0).any())
        judged[others[theirs > 0]] |= side == 0
    return {"pairs": pairs, "judged_images": int(judged.sum())}


def pairs_of(
    images: list[dict], codes: np.ndarray, sides: np.ndarray
) -> tuple[int, int, list[dict]]:
    """The number of all pairs of twins, of images in them, and the closest with their sides."""
    count, twinned, best = 0, np.zeros(len(images), bool), []
    for index, others, bits in twins(codes):
        count += len(others)
        twinned[index] = twinned[others] = True
        nearest = np.argsort(bits, kind="stable")[:CLOSEST]
        best += [(int(bits[i]), index, int(others[i])) for i in nearest]
        best = sorted(best)[:CLOSEST]
    return (
        count,
        int(twinned.sum()),
        [
            {
                "images": [images[first]["file_name"], images[second]["file_name"]],
                "bits": bits,
                "sides": [name_of(sides[first]), name_of(sides[second])],
            }
            for bits, first, second in best
        ],
    )


def name_of(side: int) -> str:
    return SIDES[side] if side >= 0 else "left out"


def counts(part: dict, units: dict[int, str]) -> dict:
    """Images, boxes, units, and boxes by class of one side."""
    names = {category["id"]: category["name"] for category in part["categories"]}
    per_class = Counter(names[box["category_id"]] for box in part["annotations"])
    return {
        "images": len(part["images"]),
        "boxes": len(part["annotations"]),
        "groups": len({units[image["id"]] for image in part["images"]}),
        "classes": {name: per_class[name] for name in names.values()},
    }


def warnings(report: dict, unmatched: int, group_by: str) -> list[str]:
    """What a person must know about a split, in sentences that say what to do."""
    sides, images = report["sides"], report["images"]
    said = [
        f"class {label!r} has boxes in {', '.join(present)} only; label more of it, or change "
        "split.seed or split.group_by"
        for label, present in one_sided(sides).items()
    ]
    if unmatched:
        said.append(
            f"{unmatched} of {images} file names do not match split.group_by {group_by!r}: each "
            "is a group of its own"
        )
    if report["left_out"]:
        said.append(
            f"{len(report['left_out'])} images are on no side: they show the same as images that "
            "are trained on or judged elsewhere (left_out in report.json)"
        )
    if group_by == "none" and report["images_with_twins"] > VIDEO_SHARE * images:
        said.append(
            f"{report['images_with_twins']} of {images} images are near-identical to others: "
            "frames of a video? Set split.group_by to time or to a pattern of their names"
        )
    if sides["val"]["images"] < FEW_IMAGES:
        said.append(
            f"only {sides['val']['images']} val images: AP will be uncertain by points; evaluate "
            "prints its interval"
        )
    return said


def one_sided(sides: dict[str, dict]) -> dict[str, list[str]]:
    """Classes that have boxes but not in both train and val, and where they have them."""
    found = {}
    for label in sides["train"]["classes"]:
        present = [name for name, side in sides.items() if side["classes"][label]]
        if present and not {"train", "val"} <= set(present):
            found[label] = present
    return found
