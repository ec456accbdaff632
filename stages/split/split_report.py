"""The report of the split: report.json, metrics/data.json and warnings for the user."""

from collections import Counter

import numpy as np

from stages.common.coco import counts_by
from stages.common.groups import find_near_duplicates
from stages.common.metrics import FEW_IMAGES, with_details
from stages.common.params import Split
from stages.split.groups import position, shares_of
from stages.split.subsets import SPLITS, drawn_subsets

CLOSEST = 50
# A few repeated photographs are normal; a share above this suggests frames of a video.
VIDEO_SHARE = 0.1


def build_report(
    coco: dict,
    hashes: np.ndarray,
    keys: list[str],
    splits: np.ndarray,
    params: Split,
    still: int = 0,
) -> dict:
    """Build the content of report.json; `still` images are of a camera that does not move."""
    images = coco["images"]
    alone = [position(image["sha256"], params.seed) for image in images]
    by_image = np.searchsorted(np.cumsum(shares_of(params.ratio, params.test))[:2], alone, "right")
    report = {
        "images": len(images),
        "boxes": len(coco["annotations"]),
        "groups": len(set(keys)),
        "exports": _exports(coco, splits),
        "splits": _counts(coco, keys, splits),
        "left_out": [images[row]["file_name"] for row in np.flatnonzero(splits < 0)],
        **_near_duplicates(images, hashes, splits),
        "crossing_image_by_image": count_crossing(hashes, by_image),
        "crossing": count_crossing(hashes, splits),
    }
    by_name = params.group_by != "none"
    unmatched = sum(k == i["sha256"] for k, i in zip(keys, images, strict=True)) if by_name else 0
    warnings = _warnings(report, unmatched, still, params.group_by)
    drawn = drawn_subsets(images, params)
    return {**report, "warnings": [drawn, *warnings] if drawn else warnings}


def _counts(coco: dict, keys: list[str], splits: np.ndarray) -> dict[str, dict]:
    """Count images, boxes, groups, and boxes by class of each split."""
    split_of = dict(zip((image["id"] for image in coco["images"]), splits.tolist(), strict=True))
    boxes = Counter((split_of[box["image_id"]], box["category_id"]) for box in coco["annotations"])
    counts = {}
    for split, name in enumerate(SPLITS):
        classes = {c["name"]: boxes[split, c["id"]] for c in coco["categories"]}
        counts[name] = {
            "images": int((splits == split).sum()),
            "boxes": sum(classes.values()),
            "groups": len(set(np.array(keys)[splits == split])),
            "classes": classes,
        }
    return counts


def _exports(coco: dict, splits: np.ndarray) -> dict[str, dict]:
    """Count what each of several exports brings: images, boxes, and images of each split."""
    counts = counts_by(coco, "export")
    for name, own in counts.items():
        held = np.array([image["export"] == name for image in coco["images"]])
        for split, of_split in enumerate(SPLITS):
            own[of_split] = int((held & (splits == split)).sum())
    return counts


def metrics_of(report: dict) -> dict:
    """Return the numbers of the report for metrics/data.json."""
    shown = ("images", "boxes", "crossing", *(["exports"] if report["exports"] else []))
    splits = {
        n: with_details(s, "images", "boxes") for n, s in report["splits"].items() if s["images"]
    }
    counts = {name: report[name] for name in shown} | {"left_out": len(report["left_out"])} | splits
    details = ("groups", "near_duplicate_pairs", "crossing_image_by_image")
    return with_details(counts | {name: report[name] for name in details}, *counts)


def count_crossing(hashes: np.ndarray, splits: np.ndarray) -> dict[str, int]:
    """Count the near duplicates that end up in different splits.

    Args:
        hashes: difference hashes, uint64 [images, 4].
        splits: int [images], index into SPLITS, -1 for left out.

    Returns:
        pairs: near duplicates in two splits; judged_images: val and test images with a near
        duplicate in train.
    """
    pairs, judged = 0, np.zeros(len(splits), bool)
    for index, others, _ in find_near_duplicates(hashes):
        own, theirs = splits[index], splits[others]
        pairs += int(((theirs != own) & (theirs >= 0)).sum()) if own >= 0 else 0
        judged[index] |= own > 0 and bool((theirs == 0).any())
        judged[others[theirs > 0]] |= own == 0
    return {"pairs": pairs, "judged_images": int(judged.sum())}


def _near_duplicates(images: list[dict], hashes: np.ndarray, splits: np.ndarray) -> dict:
    """Count the images with near duplicates and all pairs, and list the closest pairs."""
    count, has_some, closest = 0, np.zeros(len(images), bool), []
    for index, others, bits in find_near_duplicates(hashes):
        count += len(others)
        has_some[index] = has_some[others] = True
        nearest = np.argsort(bits, kind="stable")[:CLOSEST]
        closest += [(int(bits[i]), index, int(others[i])) for i in nearest]
        closest = sorted(closest)[:CLOSEST]
    names = [*SPLITS, "left out"]  # -1 is the last one
    return {
        "images_with_near_duplicates": int(has_some.sum()),
        "near_duplicate_pairs": count,
        "near_duplicates": [
            {
                "images": [images[first]["file_name"], images[second]["file_name"]],
                "bits": bits,
                "splits": [names[splits[first]], names[splits[second]]],
            }
            for bits, first, second in closest
        ],
    }


def _warnings(report: dict, unmatched: int, still: int, group_by: str) -> list[str]:
    """Return warnings about the split, each with a remedy."""
    splits, images = report["splits"], report["images"]
    found = []
    for label in splits["train"]["classes"]:
        present = [name for name, split in splits.items() if split["classes"][label]]
        if present and not {"train", "val"} <= set(present):
            found.append(
                f"class {label!r} has boxes in {', '.join(present)} only; label more of it, or "
                "change split.seed or split.group_by"
            )
    if unmatched:
        found.append(
            f"{unmatched} of {images} file names do not match split.group_by {group_by!r}: each "
            "is a group of its own"
        )
    if report["left_out"]:
        found.append(
            f"{len(report['left_out'])} images are left out of all splits: they are near "
            "duplicates of images in another split (left_out in report.json)"
        )
    if still:
        found.append(
            f"{still} of {images} images look the same, as from a camera that does not move, or "
            "dark or plain: blocks of split.block frame numbers form groups, or boxes at the same "
            "places where names have no numbers; what stands still is in train and val"
        )
    elif group_by == "none" and report["images_with_near_duplicates"] > VIDEO_SHARE * images:
        found.append(
            f"{report['images_with_near_duplicates']} of {images} images are near duplicates of "
            "others: frames of a video? Set split.group_by to time or to a pattern of their names"
        )
    if splits["val"]["images"] < FEW_IMAGES:
        found.append(
            f"only {splits['val']['images']} val images: AP will be uncertain by several points; "
            "`make crossval` judges by all of them"
        )
    return found
