"""Let the labels of an export stand in for the person who corrects data/next in CVAT.

    python -m tools.stand_in NEXT EXPORT OUT.zip

Writes what CVAT would export from a task with the pictures of NEXT, with the boxes that EXPORT has
for the frames of the same names. Prints how many of the drawn boxes were right as they were, which
is the labour that they saved. docs/loop.md is told with it.
"""

import argparse
import io
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import numpy as np

from stages.common.coco import labels_of, read_coco
from stages.common.cvat import add_json, add_member, cvat_categories, cvat_image, cvat_rectangle
from stages.common.files import atomic_path, read_json
from stages.evaluation.matching import by_image, corners, iou_matrix
from stages.ingest.__main__ import main as ingest

RIGHT_IOU = 0.75  # of a drawn box that a person would leave as it is


def main() -> None:
    """Let the labels of an export stand in for the person who corrects data/next in CVAT."""
    parser = argparse.ArgumentParser(prog="python -m tools.stand_in", description=main.__doc__)
    parser.add_argument("next", type=Path)
    parser.add_argument("export", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    frames = read_json(arguments.next / "frames.json")
    with tempfile.TemporaryDirectory() as scratch:
        quiet = io.StringIO()
        with redirect_stdout(quiet), redirect_stderr(quiet):
            ingest(arguments.export, Path(scratch, "truth"))
        truth = read_coco(Path(scratch, "truth/annotations.json"))
    boxes = boxes_of_frames(frames, truth)
    write_export(arguments.out, arguments.next / "pictures", frames, boxes, truth)
    drawn, true, right = counts(frames, boxes)
    print(f"{arguments.out}: {len(frames)} frames with {true} boxes; {drawn} had been drawn, and")
    print(f"{right} of them were right: {right / max(true, 1):.0%} of the boxes needed no hand")


def boxes_of_frames(frames: list[dict], truth: dict) -> list[list[dict]]:
    """Return the true boxes of each frame, found by the stem of its name."""
    by_id = by_image(truth["annotations"])
    stems = {PurePosixPath(im["file_name"]).stem: by_id[im["id"]] for im in truth["images"]}
    return [stems[PurePosixPath(frame["frame"]).stem] for frame in frames]


def write_export(
    out: Path, pictures: Path, frames: list[dict], boxes: list[list[dict]], truth: dict
) -> None:
    """Write pictures and boxes as a "COCO 1.0" export."""
    sizes = {im["id"]: (im["width"], im["height"]) for im in truth["images"]}
    width, height = next(iter(sizes.values()))
    images, annotations = [], []
    with atomic_path(out) as tmp, ZipFile(tmp, "w") as export:
        for number, (frame, own) in enumerate(zip(frames, boxes, strict=True), 1):
            size = sizes[own[0]["image_id"]] if own else (width, height)
            images.append(cvat_image(number, frame["name"], *size))
            for box, box_xyxy in zip(own, corners(own), strict=True):
                count = len(annotations) + 1
                annotations.append(
                    cvat_rectangle(count, number, box["category_id"], box_xyxy, occluded=False)
                )
            content = (pictures / frame["name"]).read_bytes()
            add_member(export, f"images/default/{frame['name']}", content)
        add_json(export, cvat_categories(labels_of(truth)), images, annotations)


def counts(frames: list[dict], boxes: list[list[dict]]) -> tuple[int, int, int]:
    """Count the boxes that were drawn, the true ones, and those drawn that were right."""
    right = sum(
        count_right(corners(own), corners(frame["boxes"]))
        for frame, own in zip(frames, boxes, strict=True)
    )
    return sum(len(f["boxes"]) for f in frames), sum(map(len, boxes)), right


def count_right(true_xyxy: np.ndarray, drawn_xyxy: np.ndarray) -> int:
    """Count the true boxes [n, 4] that one of the drawn [m, 4] fits, so that a person leaves it."""
    if not len(true_xyxy) or not len(drawn_xyxy):
        return 0
    return int((iou_matrix(true_xyxy, drawn_xyxy) >= RIGHT_IOU).any(axis=1).sum())


if __name__ == "__main__":
    main()
