"""Summary of the findings in sentences, the most serious first."""

from collections import Counter

import numpy as np

from stages.audit.measures import LEFT_OUT, MIN_SIDE_PX, Boxes, too_small
from stages.audit.suspicious_boxes import Suspicion

NAMED = 10


def summarize(
    coco: dict,
    boxes: Boxes,
    table: list[dict],
    splits: list[str],
    split_report: dict,
    found: list[Suspicion],
) -> list[str]:
    """Summarize the most important findings.

    Args:
        coco: the data set.
        boxes: its boxes.
        table: the rows of `class_rows`.
        splits: the side of each image.
        split_report: content of data/split/report.json.
        found: all reasons to check boxes.
    """
    said = [
        *one_sided(table),
        small(boxes),
        near_duplicates(split_report),
        left_out(splits),
        unlabelled(coco, boxes),
        doubtful(found),
    ]
    return [sentence for sentence in said if sentence] or ["Nothing stands out."]


def one_sided(table: list[dict]) -> list[str]:
    """List classes without boxes in train, or in val."""
    missing = [row["label"] for row in table if not row["splits"]["train"]]
    unjudged = [r["label"] for r in table if r["splits"]["train"] and not r["splits"]["val"]]
    return [
        f"No box in {side} of {listed(labels)}: {then}."
        for side, labels, then in (
            ("train", missing, "not learned"),
            ("val", unjudged, "not measured"),
        )
        if labels
    ]


def listed(labels: list[str]) -> str:
    more = len(labels) - NAMED
    return ", ".join(labels[:NAMED]) + (f" and {more} more" if more > 0 else "")


def small(boxes: Boxes) -> str:
    count, of_all = int(too_small(boxes).sum()), len(boxes.ids)
    if not count:
        return ""
    return (
        f"{count} of {of_all} boxes ({count / of_all:.1%}) have a side under {MIN_SIDE_PX} px at "
        "the input: expect the model to miss many of them, or choose a larger model.input_hw."
    )


def near_duplicates(split_report: dict) -> str:
    count, closest = split_report["near_duplicate_pairs"], split_report["near_duplicates"]
    if not count:
        return ""
    apart = sum(crosses(pair) for pair in closest)
    leak = (
        f"in two splits at least {apart}: accuracy will look better than it is."
        if apart
        else f"none of the closest {len(closest)} is in two splits."
    )
    pairs = "1 pair of images looks" if count == 1 else f"{count} pairs of images look"
    return f"{pairs} the same; {leak}"


def crosses(pair: dict) -> bool:
    """Return True if the two images are in different splits."""
    return len(set(pair["splits"])) == 2 and LEFT_OUT not in pair["splits"]


def left_out(splits: list[str]) -> str:
    count = splits.count(LEFT_OUT)
    return (
        f"{count} of {len(splits)} images are left out of all splits; split says why."
        if count
        else ""
    )


def unlabelled(coco: dict, boxes: Boxes) -> str:
    images = len(coco["images"])
    count = images - len(np.unique(boxes.images))
    if not count:
        return ""
    return f"{count} of {images} images have no box: right only where there is nothing to find."


def doubtful(found: list[Suspicion]) -> str:
    """Count the suspicious boxes by kind."""
    if not found:
        return ""
    kinds = Counter(suspicion.kind for suspicion in found)
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    boxes = len({suspicion.row for suspicion in found})
    return f"Boxes to check by eye: {boxes} ({counts}); the most suspicious are below."
