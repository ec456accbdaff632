"""What the measures say, in sentences that a person can act on; the gravest first."""

from collections import Counter

import numpy as np

from stages.audit.measures import MIN_SIDE_PX, NO_SIDE, Boxes, too_small
from stages.audit.suspicious_boxes import Doubt

NAMED = 10


def verdict(
    coco: dict, boxes: Boxes, table: list[dict], sides: list[str], twins: dict, found: list[Doubt]
) -> list[str]:
    """The most important findings.

    Args:
        coco: the data set.
        boxes: its boxes.
        table: the rows of `class_rows`.
        sides: the side of each image.
        twins: content of data/split/report.json.
        found: all doubts.
    """
    said = [
        *one_sided(table),
        small(boxes),
        near_duplicates(twins),
        left_out(sides),
        unlabelled(coco, boxes),
        doubtful(found),
    ]
    return [sentence for sentence in said if sentence] or ["Nothing stands out."]


def one_sided(table: list[dict]) -> list[str]:
    """Classes that cannot be learned or cannot be judged."""
    missing = [row["label"] for row in table if not row["sides"]["train"]]
    unjudged = [r["label"] for r in table if r["sides"]["train"] and not r["sides"]["val"]]
    return [
        f"No box in {side} of {listed(labels)}: {then}."
        for side, labels, then in (
            ("train", missing, "not learned"),
            ("val", unjudged, "nothing judges it"),
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


def near_duplicates(twins: dict) -> str:
    count, closest = twins["near_duplicate_pairs"], twins["near_duplicates"]
    if not count:
        return ""
    apart = sum(crosses(pair) for pair in closest)
    leak = (
        f"on two sides at least {apart}: accuracy will look better than it is."
        if apart
        else f"none of the closest {len(closest)} is on two sides."
    )
    pairs = "1 pair of pictures looks" if count == 1 else f"{count} pairs of pictures look"
    return f"{pairs} the same; {leak}"


def crosses(pair: dict) -> bool:
    """Whether one of two pictures judges what was trained on the other."""
    return len(set(pair["splits"])) == 2 and NO_SIDE not in pair["splits"]


def left_out(sides: list[str]) -> str:
    count = sides.count(NO_SIDE)
    return f"{count} of {len(sides)} images are on no side; split says why." if count else ""


def unlabelled(coco: dict, boxes: Boxes) -> str:
    images = len(coco["images"])
    count = images - len(np.unique(boxes.images))
    if not count:
        return ""
    return f"{count} of {images} images have no box: right only where there is nothing to find."


def doubtful(found: list[Doubt]) -> str:
    """How many boxes deserve a look, by kind."""
    if not found:
        return ""
    kinds = Counter(doubt.kind for doubt in found)
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    boxes = len({doubt.row for doubt in found})
    return f"Boxes to check by eye: {boxes} ({counts}); the oddest are below."
