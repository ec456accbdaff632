"""The picture of a run: boxes, the model's name, and its speed."""

from collections import deque
from statistics import mean

import numpy as np

from detector.core.frame_detector import Detections
from detector.video.draw import COLOURS_BGR, draw_boxes, draw_headline
from detector.video.stats import RECENT, Rate


class Annotator:
    """Draws what each of one or more models found; several stand side by side.

    One model's speed is that of the whole run, frames a second end to end. Of several, which take
    turns, it is what each could reach alone, one frame after the other: pre, infer and post.

    Args:
        titles: what to call the models.
    """

    def __init__(self, titles: list[str]):
        self.titles, self.rate = titles, Rate()
        self.own_ms: list[deque[float]] = [deque(maxlen=RECENT) for _ in titles]

    def __call__(self, image_bgr: np.ndarray, per_model: list[Detections]) -> np.ndarray:
        """Draws onto a frame, and onto copies of it where there are several models."""
        copies = [image_bgr.copy() for _ in per_model[1:]]
        images_bgr = [image_bgr, *copies]
        for index, found in enumerate(per_model):
            self.own_ms[index].append(sum(found.steps_ms.values()))
            alone = len(per_model) > 1
            fps = 1e3 / mean(self.own_ms[index]) if alone else self.rate.tick()
            draw_found(images_bgr[index], found)
            speed = f"  {fps:.1f} FPS" if fps else ""
            draw_headline(images_bgr[index], self.titles[index] + speed)
        return np.concatenate(images_bgr, axis=1) if copies else image_bgr


def draw_found(image_bgr: np.ndarray, found: Detections) -> None:
    """Boxes with labels and scores, a colour for each class, in place."""
    captions = [f"{la} {s:.2f}" for la, s in zip(found.class_names, found.confidence, strict=True)]
    for index in np.unique(found.class_id):
        own = np.flatnonzero(found.class_id == index)
        colour_bgr = COLOURS_BGR[index % len(COLOURS_BGR)]
        draw_boxes(image_bgr, found.xyxy[own], [captions[i] for i in own], colour_bgr)
