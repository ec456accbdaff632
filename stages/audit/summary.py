"""Summary of the findings in sentences, the most serious first."""

from collections import Counter

import numpy as np

from stages.audit.measures import LEFT_OUT, MIN_SIDE_PX, Boxes
from stages.audit.suspicious_boxes import Suspicion

NAMED = 10


def summarize(
    boxes: Boxes,
    classes: list[dict],
    splits: list[str],
    split_report: dict,
    found: list[Suspicion],
) -> list[str]:
    """Summarize the most important findings.

    Args:
        boxes: of the data set.
        classes: the rows of `class_rows`.
        splits: the split of each image.
        split_report: content of data/split/report.json.
        found: from `find_suspicious_boxes`.
    """
    said = []
    untrained = [row["label"] for row in classes if not row["splits"]["train"]]
    unmeasured = [r["label"] for r in classes if r["splits"]["train"] and not r["splits"]["val"]]
    if untrained:
        said.append(f"No box in train of {listed(untrained)}: not learned.")
    if unmeasured:
        said.append(f"No box in val of {listed(unmeasured)}: not measured.")
    if small := int(boxes.too_small().sum()):
        said.append(
            f"{small} of {len(boxes.ids)} boxes ({small / len(boxes.ids):.1%}) have a side under "
            f"{MIN_SIDE_PX} px at the input: expect the model to miss many of them, or choose a "
            "larger model.input_hw."
        )
    if pairs := split_report["near_duplicate_pairs"]:
        said.append(describe_pairs(pairs, split_report["near_duplicates"]))
    if left_out := splits.count(LEFT_OUT):
        said.append(
            f"{left_out} of {len(splits)} images are left out of all splits; split says why."
        )
    if empty := len(splits) - len(np.unique(boxes.images)):
        said.append(
            f"{empty} of {len(splits)} images have no box: right only where there is nothing to "
            "find."
        )
    if found:
        kinds = Counter(one.kind for one in found).most_common()
        counts = ", ".join(f"{kind} {count}" for kind, count in kinds)
        rows = len({one.row for one in found})
        said.append(f"Boxes to check by eye: {rows} ({counts}); the most suspicious are below.")
    return said or ["Nothing stands out."]


def listed(labels: list[str]) -> str:
    more = len(labels) - NAMED
    return ", ".join(labels[:NAMED]) + (f" and {more} more" if more > 0 else "")


def describe_pairs(count: int, closest: list[dict]) -> str:
    """Describe near duplicates: all are counted, but the splits of the closest alone are known."""
    pairs = "1 pair of images looks" if count == 1 else f"{count} pairs of images look"
    if apart := sum(is_crossing(pair) for pair in closest):
        return (
            f"{pairs} the same; in two splits at least {apart}: accuracy will look better than it "
            "is."
        )
    return f"{pairs} the same; none of the closest {len(closest)} is in two splits."


def is_crossing(pair: dict) -> bool:
    """Return True if the two images are in different splits."""
    return len(set(pair["splits"])) == 2 and LEFT_OUT not in pair["splits"]
