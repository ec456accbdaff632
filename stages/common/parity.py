"""Whether two variants of a model give the same boxes and scores on real frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.boxes import letterbox
from stages.common.coco import read_coco, read_image
from stages.common.errors import Refusal

FRAMES = 8  # that two variants are compared on
CELL_PX = 8.0  # side of the finest grid's cells


@dataclass(frozen=True)
class Tolerance:
    """How far two outputs of a model may differ, see `detector.boxes.find_boxes`.

    Attributes:
        box: of a centre, width or height, as a share of the box's own longer side. Smaller boxes
            than a cell of the grid are taken to have its side: centres are computed in cells, and
            an anchor that sees nothing may well give a box of half a pixel.
        score: 0..1.
    """

    box: float
    score: float


def frame_canvases(frames: Path, dataset: Path, input_hw: tuple[int, int]) -> list[np.ndarray]:
    """The first frames of a list as backends take them, uint8 [*input_hw, 3] each."""
    images = read_coco(frames)["images"][:FRAMES]
    paths = [dataset / "images" / image["file_name"] for image in images]
    return [letterbox(read_image(path), input_hw) for path in paths]


def compare(name: str, expected, found, canvases: list[np.ndarray], tolerance: Tolerance) -> str:
    """Runs two backends on the same frames.

    Args:
        name: of the variant that is checked, for the message.
        expected, found: backends, see `detector.backends`.

    Returns:
        One line about the largest differences.

    Raises:
        Refusal: they are above the tolerance.
    """
    found_by_both = [(expected.infer(canvas), found.infer(canvas)) for canvas in canvases]
    box, score = np.max([differences(*pair) for pair in found_by_both], axis=0)
    if not (box <= tolerance.box and score <= tolerance.score):
        raise Refusal(
            f"{name} differs by {box:.2g} of a box's side and {score:.2g} of a score from what it "
            f"was made of, at most {tolerance.box:g} and {tolerance.score:g} are right; nothing "
            "was written; train again, or report this with your params.yaml"
        )
    return (
        f"{name}, {found.precision}: on {len(canvases)} frames within {box:.1e} of a box's side "
        f"and {score:.1e} of a score"
    )


def differences(expected: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """The largest difference of boxes and of scores between two outputs, as in `Tolerance`.

    Args:
        expected, found: float32 [4 + classes, anchors], see `detector.boxes.find_boxes`.
    """
    apart = np.abs(expected - found)
    sides_px = np.maximum(expected[2:4].max(axis=0), CELL_PX)
    return float((apart[:4] / sides_px).max()), float(apart[4:].max())
