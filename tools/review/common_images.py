"""Compare two commits on the images that both of them judge, where their data differ.

After an export was added, the images of the earlier ones are judged again: in the same fold, or in
val still. Their detections are in DVC's cache or a remote, not in Git.
"""

import json
from dataclasses import replace
from pathlib import Path

import dvc.api
import numpy as np
from dvc.exceptions import DvcException

from stages.common.coco import labels_of, subset
from stages.common.coco_eval import accuracy, score
from stages.evaluation.bootstrap import ends, packed, paired_interval, resampled_ap
from stages.evaluation.drops import INT8, REFERENCE, VARIANTS, drop
from stages.evaluation.matching import by_image
from tools.review.accuracy import Evidence, is_paired

OUT_OF_FOLD, VAL = "data/out_of_fold.json", "data/split/val.json"


def on_common_images(
    base: str, before: Evidence, after: Evidence
) -> tuple[Evidence, Evidence] | None:
    """Judge both commits on the images, with the boxes, that both of them have.

    Args:
        base: the commit before.
        before, after: what their metrics say.

    Returns:
        None where the metrics compare in pairs already, where detections are in no cache or remote,
        and where there are no two such images with boxes.
    """
    if is_paired(before, after):
        return None
    try:
        old, new = (judged(revision, after.in_intervals) for revision in (base, None))
    except (DvcException, OSError, ValueError):
        return None
    if labels_of(old) != labels_of(new):
        return None
    ours, theirs = pictures(old), pictures(new)
    common = [image for key, image in theirs.items() if key in ours]
    coco = subset(new, common)
    if len({box["image_id"] for box in coco["annotations"]}) < 2:
        return None
    id_of = {ours[key]["id"]: image["id"] for key, image in theirs.items() if key in ours}
    found = []
    for side, own, ids in (
        (before, old, id_of),
        (after, new, {im["id"]: im["id"] for im in common}),
    ):
        rows = {key: renumbered(own["detections"][key], ids) for key in VARIANTS}
        found.append(rejudged(side, coco, rows))
    return found[0], found[1]


def judged(revision: str | None, folds: bool) -> dict:
    """Read the COCO of the judging images with `detections` by variant; None: here."""
    if folds:
        return json.loads(text_of(OUT_OF_FOLD, revision))
    rows = {key: text_of(f"data/detections/{key}.json", revision) for key in VARIANTS}
    detections = {key: json.loads(text) for key, text in rows.items()}
    return {**json.loads(text_of(VAL, revision)), "detections": detections}


def text_of(path: str, revision: str | None) -> str:
    return dvc.api.read(path, rev=revision) if revision else Path(path).read_text(encoding="utf-8")


def pictures(coco: dict) -> dict[str, dict]:
    """Return the images by what they show and how they are labelled; of twins the first."""
    boxes = by_image(coco["annotations"])
    found: dict[str, dict] = {}
    for image in coco["images"]:
        own = sorted([box["category_id"], *box["bbox"]] for box in boxes[image["id"]])
        found.setdefault(f"{image['sha256']} {own}", image)
    return found


def renumbered(rows: list[dict], ids: dict[int, int]) -> list[dict]:
    """Return the rows of these images, with other ids."""
    return [{**row, "image_id": ids[row["image_id"]]} for row in rows if row["image_id"] in ids]


def rejudged(side: Evidence, coco: dict, rows: dict[str, list[dict]]) -> Evidence:
    """Return the evidence of a commit from other images."""
    evaluations = {key: score(coco, own) for key, own in rows.items()}
    position = {image["id"]: image.get("cluster", image["id"]) for image in coco["images"]}
    figures = {}
    for key, evaluation in evaluations.items():
        order = [position[number] for number in evaluation.params.imgIds]
        clusters = np.unique(order, return_inverse=True)[1]
        resampled = resampled_ap(evaluation, clusters)
        figures[key] = {
            **accuracy(coco, evaluation),
            "AP_interval": ends(resampled, clusters.max() + 1),
            "resampled": packed(resampled),
        }
    lost = paired_interval(evaluations[REFERENCE], evaluations[INT8])
    how = ", each by a model that was not trained on it" if side.in_intervals else ""
    return replace(
        side,
        accuracy=figures,
        drop=drop(figures[REFERENCE], figures[INT8], lost),
        truth="common",
        units=int(clusters.max() + 1),
        judges=f"the {len(coco['images'])} images that both commits judge{how}",
        in_intervals=False,
    )
