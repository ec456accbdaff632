"""CVAT's annotator: a model of this project draws the boxes of a task, on your own computer.

    cvat-cli task auto-annotate TASK --function-module detector.cvat -p model=str:models/int8

A module with `create` is what CVAT's SDK calls a function factory; the interface is
`cvat_sdk.auto_annotation.DetectionFunction`. Labels match by name. Needs the extra `cvat`.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from cvat_sdk import auto_annotation, models
from PIL import Image

from detector.runtime.detector import Detector


class Annotator:
    """Draws a rectangle for each detection in an image.

    Attributes:
        spec: the labels of the model, as CVAT's SDK asks for them.
    """

    def __init__(self, detector: Detector):
        self.detector, self.own_confidence = detector, detector.confidence
        names = detector.backend.labels
        self.spec = auto_annotation.DetectionFunctionSpec(
            labels=[
                auto_annotation.label_spec(name, index, type="rectangle")
                for index, name in enumerate(names)
            ]
        )

    def detect(
        self, context: auto_annotation.DetectionFunctionContext, image: Image.Image
    ) -> Sequence[models.LabeledShapeRequest]:
        """Return the rectangles of one image, x0, y0, x1, y1 in pixels.

        `context.conf_threshold`, 0..1, is the lowest confidence that is reported; None stands for
        the model's own.
        """
        wanted = context.conf_threshold
        self.detector.confidence = self.own_confidence if wanted is None else wanted
        image_bgr = cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
        found = self.detector(image_bgr)
        return [
            auto_annotation.rectangle(int(index), box_xyxy.tolist())
            for box_xyxy, index in zip(found.xyxy, found.class_id, strict=True)
        ]


def create(model: str) -> Annotator:
    """Load a model, for example `models/int8`; cvat-cli calls this with its option `-p`."""
    return Annotator(Detector(Path(model)))
