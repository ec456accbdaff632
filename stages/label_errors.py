"""Label errors: boxes that were forgotten, misplaced, drawn around nothing, or have another label.

In:   data/out_of_fold.json   of a cross-validation: what the models of the folds found in images
                              that they were not trained on
Out:  data/label_errors/suspects.json   the suspects, the most suspicious first; null without a
                                        cross-validation
      data/label_errors/<export>.zip    the suspects alone, as CVAT imports them into a task with
                                        the pictures of that export; suspects.zip if there is one
                                        export only

A suspect is a box on which labels and models disagree. A model that has learned an image repeats
its errors, so only detections in images that it has not seen can tell. `audit` then writes its page
once more, with the suspects on top.

Run:  python -m stages.label_errors data/out_of_fold.json data/label_errors
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from stages.common.coco import labels_of
from stages.common.cvat import write_import
from stages.common.files import atomic_path, read_json, write_json
from stages.common.run import run_stage
from stages.evaluation.matching import SAME_BOX_IOU, by_image, corners, iou_matrix

FORGOTTEN, MISPLACED = "forgotten", "misplaced"
NOTHING, OTHER_LABEL = "around nothing", "other label"
# Boxes that share less show different things.
APART_IOU = 0.1
# `ingest` adds .png to the name of an image that it has rotated upright.
ROTATED = re.compile(r"\.(jpe?g|jpe|jfif|mpo|png|bmp|dib|webp|tiff?)\.png$", re.IGNORECASE)
# What is at least as suspicious as this is listed; in docs/loop.md is what it finds.
LEAST = {FORGOTTEN: 0.3, MISPLACED: 0.2, NOTHING: 0.8, OTHER_LABEL: 0.3}


def main(out_of_fold: Path, out: Path) -> None:
    """List the labels that models which were not trained on them disagree with."""
    coco = read_json(out_of_fold)
    with atomic_path(out) as tmp:
        tmp.mkdir()
        suspects = find_suspects(coco, coco["detections"]["torch"]) if coco else None
        write_json(tmp / "suspects.json", suspects)
        if suspects:
            write_imports(tmp, coco, suspects)
    counts = Counter(one["kind"] for one in suspects or [])
    listed = ", ".join(f"{kind} {count}" for kind, count in counts.items()) or "none"
    print(f"Suspicious labels: {listed}" if coco else "No cross-validation: no label was judged")


def find_suspects(coco: dict, rows: list[dict], least: dict[str, float] = LEAST) -> list[dict]:
    """Return the boxes on which labels and detections disagree, the most suspicious first.

    Args:
        coco: images and labels.
        rows: what models found in them that were not trained on them, rows of a COCO result file.
        least: suspicion from which a kind is listed.

    Returns:
        For each its `kind`; `suspicion`, 0..1; `image_id` and `file_name`; `bbox` and
        `category_id`, as labelled, or as found if it was forgotten; `found`: `bbox`, `category_id`
        and `score` of the detection that differs, None if there is none; `annotation`: the id of
        the label, None if there is none.
    """
    labels, found = by_image(coco["annotations"]), by_image(rows)
    suspects = [
        {"file_name": image["file_name"], **one}
        for image in coco["images"]
        for one in suspects_of(labels[image["id"]], found[image["id"]])
        if one["suspicion"] >= least[one["kind"]]
    ]
    return sorted(suspects, key=lambda one: (-one["suspicion"], one["image_id"], one["bbox"]))


def suspects_of(labels: list[dict], rows: list[dict]) -> Iterator[dict]:
    """Yield every label and detection of an image with how much the other side disagrees."""
    overlaps = iou_matrix(corners(labels), corners(rows))
    scores = np.array([row["score"] for row in rows])
    same = np.equal.outer(
        [label["category_id"] for label in labels], [row["category_id"] for row in rows]
    ).reshape(overlaps.shape)
    alone = (overlaps < APART_IOU).all(axis=0)
    for row in surest([rows[index] for index in np.flatnonzero(alone)]):
        yield suspect(FORGOTTEN, row["score"], row, row, None)
    for number, label in enumerate(labels):
        near, own_id = overlaps[number] >= APART_IOU, label["id"]
        yield suspect(NOTHING, 1 - max(scores[near], default=0), label, None, own_id)
        own, fits = near & same[number], overlaps[number] >= SAME_BOX_IOU
        # Of the detections around it, the one that is surest says where the box should be.
        if own.any():
            best = int(np.where(own, scores, -1).argmax())
            if overlaps[:, best].argmax() == number:
                shift = scores[best] * (1 - overlaps[number, best])
                yield suspect(MISPLACED, shift, label, rows[best], own_id)
        if (others := fits & ~same[number]).any():
            best = int(np.where(others, scores, -1).argmax())
            agreed = max(scores[fits & same[number]], default=0)
            yield suspect(OTHER_LABEL, scores[best] - agreed, label, rows[best], own_id)


def surest(rows: list[dict]) -> list[dict]:
    """Return the surest of the detections that show one object, whatever their labels."""
    kept: list[dict] = []
    for row in sorted(rows, key=lambda row: -row["score"]):
        if (iou_matrix(corners(kept), corners([row])) < SAME_BOX_IOU).all():
            kept.append(row)
    return kept


def suspect(
    kind: str, suspicion: float, box: dict, found: dict | None, annotation: int | None
) -> dict:
    """Return an entry of suspects.json without the name of its image."""
    shown = ("bbox", "category_id", "score")
    return {
        "kind": kind,
        "suspicion": round(float(suspicion), 4),
        "image_id": box["image_id"],
        "bbox": [round(value, 2) for value in box["bbox"]],
        "category_id": box["category_id"],
        "found": {key: found[key] for key in shown} if found else None,
        "annotation": annotation,
    }


def write_imports(folder: Path, coco: dict, suspects: list[dict]) -> None:
    """Write the suspects of each export as CVAT imports them.

    A box shows where the models see the object, or where the label is that they do not see.
    """
    suspected = {one["image_id"] for one in suspects}
    for export in sorted({image["export"] for image in coco["images"]}):
        images = [i for i in coco["images"] if i["export"] == export and i["id"] in suspected]
        rows = [
            {**(one["found"] or one), "image_id": one["image_id"], "score": one["suspicion"]}
            for one in suspects
        ]
        names = [name_in_task(image) for image in images]
        write_import(folder / f"{export or 'suspects'}.zip", labels_of(coco), images, names, rows)


def name_in_task(image: dict) -> str:
    """Return the name that an image has in CVAT, from that in the data set."""
    folders = [part for part in (image["export"], image["subset"]) if part]
    name = str(PurePosixPath(image["file_name"]).relative_to("/".join(folders)))
    return name.removesuffix(".png") if ROTATED.search(name) else name


if __name__ == "__main__":
    run_stage(main)
