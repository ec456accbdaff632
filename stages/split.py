"""Split: which images train, which judge, which calibrate. Lists, never copies.

In:   data/dataset/annotations.json   the clean COCO of `ingest`
Out:  data/split/train.json           COCO of the images that are trained on
      data/split/val.json             COCO of the images that every accuracy is measured on
      data/split/calibration.json     the train images in the order in which `quantize` takes
                                      them for calibration: any first N are a fair sample

Run:  python -m stages.split data/dataset/annotations.json data/split
"""

import hashlib
from pathlib import Path

from stages.common.cli import run_stage
from stages.common.coco import read_coco
from stages.common.errors import Refusal
from stages.common.files import atomic_path, write_json
from stages.common.params import load_params


def main(annotations: Path, out_dir: Path) -> None:
    """Splits a clean COCO into train, val and calibration lists."""
    params = load_params().split
    coco = read_coco(annotations, boxes_needed=True)
    train, val = split_by_hash(coco["images"], params.ratio, params.seed)
    calibration = sorted(train, key=lambda image: draw(image, params.seed, "calibration"))
    lists = {"train": train, "val": val, "calibration": calibration}
    subsets = {name: subset(coco, images) for name, images in lists.items()}
    refuse_without_boxes(subsets)
    with atomic_path(out_dir) as tmp:
        for name, content in subsets.items():
            write_json(tmp / f"{name}.json", content)
    for name in ("train", "val"):
        found = subsets[name]
        print(f"{name}: {len(found['images'])} images, {len(found['annotations'])} boxes")


def split_by_hash(images: list[dict], ratio: float, seed: int) -> tuple[list, list]:
    """Sorts images by a hash of their content and cuts the list at `ratio`.

    The side of an image depends on its pixels and the seed, not on its name or on the order
    of the export; pictures with equal bytes have equal hashes and stay together.

    Returns:
        Train and val images; round(ratio * n) of n train, at least one on each side.

    Raises:
        Refusal: fewer than two different images.
    """
    ranked = sorted(images, key=lambda image: draw(image, seed, "split"))
    cut = min(max(round(ratio * len(ranked)), 1), len(ranked) - 1)
    while 0 < cut < len(ranked) and ranked[cut]["sha256"] == ranked[cut - 1]["sha256"]:
        cut += 1
    if not 0 < cut < len(ranked):
        raise Refusal(
            f"{len(images)} images given, at least 2 different ones are needed for a train and "
            "a val side; add images to the export"
        )
    return ranked[:cut], ranked[cut:]


def draw(image: dict, seed: int, purpose: str) -> tuple[str, int]:
    """A fixed random place for an image; equal pictures are told apart by their ids."""
    text = f"{seed} {purpose} {image['sha256']}"
    return hashlib.sha256(text.encode()).hexdigest(), image["id"]


def subset(coco: dict, images: list[dict]) -> dict:
    """The part of a COCO that belongs to `images`, in their order."""
    ids = {image["id"] for image in images}
    boxes = [a for a in coco["annotations"] if a["image_id"] in ids]
    return {**coco, "images": images, "annotations": boxes}


def refuse_without_boxes(subsets: dict[str, dict]) -> None:
    for name in ("train", "val"):
        if not subsets[name]["annotations"]:
            raise Refusal(
                f"no box among the {len(subsets[name]['images'])} images of {name}; "
                "label more frames, or change split.seed or split.ratio in params.yaml"
            )


if __name__ == "__main__":
    run_stage(main)
