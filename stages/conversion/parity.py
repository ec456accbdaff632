"""Compare two variants of a model on real frames: do they give the same boxes and scores?

Two questions, since neither alone is enough. Boxes and scores of what can become a detection must
agree. And the median anchor of each feature map must: rounding moves a few anchors that see nothing
by half their side, at scores that no threshold lets through, but leaves the median alone, while a
fault of the conversion moves all of them. Over eleven models, storing weights in FP16 moved the
median box by at most 0.002 of its side and the median score by 0.9 %; the mildest fault that was
tried, weights of 8 bits, moved the box by 0.013 and more.
"""

from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from detector.core.backend import raw_output
from detector.core.boxes import STRIDES, letterbox
from stages.common.coco import read_coco, read_image
from stages.common.run import UserError

FRAMES = 8  # that two variants are compared on
CELL_PX = 8.0  # side of the finest grid's cells
DETECTABLE = 0.01  # scores from which a box counts by itself
LEAST_SCORE = 1e-6  # scores below this are the same: runtimes approximate the sigmoid


@dataclass(frozen=True)
class Difference:
    """Differences of two outputs, or their limits, see `detector.core.boxes.postprocess`.

    Attributes:
        box: largest difference of a center, width or height, as a share of the box's longer side,
            over the boxes whose score reaches DETECTABLE in either output. Boxes smaller than a
            grid cell are taken to have its side: centers are computed in cells.
        score: largest difference of any score, 0..1.
        median_box: median of the differences of all boxes of a feature map, as a share of their
            side; the largest over the feature maps.
        median_log_score: the same for the differences of the natural logarithms of scores.
    """

    box: float
    score: float
    median_box: float
    median_log_score: float

    def within(self, limit: "Difference") -> bool:
        """Return whether no figure is above its limit; nan is above any limit."""
        pairs = zip(astuple(self), astuple(limit), strict=True)
        return all(figure <= most for figure, most in pairs)

    def __str__(self) -> str:
        return (
            f"{self.box:.2g} of a box's side and {self.score:.2g} of a score for detections, "
            f"{self.median_box:.2g} and {100 * self.median_log_score:.2g} % for the median anchor"
        )


def frame_canvases(frames: Path, dataset: Path, input_hw: tuple[int, int]) -> list[np.ndarray]:
    """Return the first frames of a list as backends take them, uint8 [*input_hw, 3] each."""
    images = read_coco(frames)["images"][:FRAMES]
    paths = [dataset / "images" / image["file_name"] for image in images]
    return [letterbox(read_image(path), input_hw) for path in paths]


def compare(name: str, expected, found, canvases: list[np.ndarray], limit: Difference) -> str:
    """Run two backends on the same frames.

    Args:
        name: of the variant that is checked, for the message.
        expected, found: backends, see `detector.core.backend`.
        canvases: letterboxed frames.
        limit: the largest differences that rounding explains.

    Returns:
        One line about the differences.

    Raises:
        UserError: they are above the limit.
    """
    outputs = [np.stack([raw_output(b, canvas) for canvas in canvases]) for b in (expected, found)]
    apart = difference(*outputs, expected.input_hw)
    if not apart.within(limit):
        raise UserError(
            f"{name} is not the model it was made of: they differ by {apart}; rounding explains "
            f"{limit}; nothing was written; report this with your params.yaml"
        )
    return (
        f"{name}, {found.precision}: on {len(canvases)} frames within {apart.box:.1e} of a box's "
        f"side and {apart.score:.1e} of a score"
    )


def difference(expected: np.ndarray, found: np.ndarray, input_hw: tuple[int, int]) -> Difference:
    """Measure the differences of two outputs.

    Args:
        expected, found: float32 [frames, 4 + classes, anchors], see `boxes.postprocess`.
        input_hw: height and width of the model's input.
    """
    sides_px = np.maximum(expected[:, 2:4].max(axis=1), CELL_PX)
    boxes = np.abs(expected - found)[:, :4].max(axis=1) / sides_px
    scores = np.abs(expected - found)[:, 4:].max(axis=1)
    logs = [np.log(np.maximum(output[:, 4:], LEAST_SCORE)) for output in (expected, found)]
    log_scores = np.abs(logs[0] - logs[1]).max(axis=1)
    detectable = np.maximum(expected, found)[:, 4:].max(axis=1) >= DETECTABLE
    counts = [(input_hw[0] // stride) * (input_hw[1] // stride) for stride in STRIDES]
    return Difference(
        box=float(boxes[detectable].max(initial=0.0)),
        score=float(scores.max()),
        median_box=largest_median(boxes, counts),
        median_log_score=largest_median(log_scores, counts),
    )


def largest_median(differences: np.ndarray, counts: list[int]) -> float:
    """Take the median of each feature map, [frames, anchors] of which it has `counts`."""
    levels = np.split(differences, np.cumsum(counts)[:-1], axis=1)
    return float(np.max([np.median(level) for level in levels]))
