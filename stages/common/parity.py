"""Whether two variants of a model give the same boxes and scores on real frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.boxes import letterbox
from stages.common.coco import read_coco, read_image
from stages.common.errors import Refusal

FRAMES = 8  # that two variants are compared on


@dataclass(frozen=True)
class Tolerance:
    """How far two outputs of a model may differ, see `detector.boxes.find_boxes`.

    Attributes:
        box: of a centre, width or height, as a share of the box's own longer side.
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
    pairs = [(expected.infer(canvas), found.infer(canvas)) for canvas in canvases]
    box = max(float((np.abs(a - b)[:4] / a[2:4].max(axis=0)).max()) for a, b in pairs)
    score = max(float(np.abs(a - b)[4:].max()) for a, b in pairs)
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
