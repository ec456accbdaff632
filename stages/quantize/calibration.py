"""The frames that INT8 ranges are measured on: of the train list, and of nothing else."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from detector.core.boxes import as_blob, letterbox
from stages.common.coco import read_coco, read_image
from stages.common.run import UserError


class Blobs:
    """Frames through the letterbox that every evaluation uses, decoded one at a time.

    Args:
        paths: the pictures.
        input_hw: height and width of the model's input.
    """

    def __init__(self, paths: list[Path], input_hw: tuple[int, int]):
        self.paths, self.input_hw = paths, input_hw

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        for path in self.paths:
            yield as_blob(letterbox(read_image(path), self.input_hw))


def calibration_paths(calibration: Path, val: Path, images_dir: Path, count: int) -> list[Path]:
    """The pictures of the first `count` entries of the calibration list.

    Raises:
        UserError: the list is empty, or holds a val image: a model must not be tuned on what
            judges it.
    """
    images = read_coco(calibration)["images"][:count]
    judged = {image["sha256"] for image in read_coco(val)["images"]}
    shared = [image["file_name"] for image in images if image["sha256"] in judged]
    if shared:
        raise UserError(
            f"{calibration} holds {len(shared)} val images, first {shared[0]}; calibrate on train "
            "images only: run `dvc repro split`"
        )
    return [images_dir / image["file_name"] for image in images]
