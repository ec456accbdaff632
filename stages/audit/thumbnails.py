"""Thumbnails of frames and boxes for each section of the page."""

from pathlib import Path

import cv2
import numpy as np

from detector.video.draw import draw_boxes
from stages.audit.measures import Boxes, spread
from stages.audit.summary import is_crossing
from stages.audit.suspicious_boxes import Suspicion, select_suspicious
from stages.common.coco import labels_of, read_image
from stages.evaluation.html import jpeg_uri

PAIRS, EXTREMES, SUSPICIOUS = 12, 12, 24
FRAME_PX, CROP_PX = 360, 240
# A crop is CONTEXT times as large as its box, and at least LEAST_CROP_PX.
CONTEXT = 2
LEAST_CROP_PX = 48
CAPTION_LENGTH = 16
CAPTIONS = 10  # more would hide the image
# White text reads on all of them.
PALETTE = (
    "#0b63c5", "#d32f2f", "#2a8a22", "#d86b00", "#8e44ad",
    "#008080", "#c2318f", "#7a5230", "#7d8200",
)  # fmt: skip
OTHERS = "#5b6673"
WHITE_BGR, RIM_XYXY = (255, 255, 255), (-1, -1, 1, 1)


class Thumbnails:
    """Frames and crops with their boxes drawn, as dicts for the page.

    A thumbnail has `image` (a JPEG data URI), `title`, `lines` and `reasons`.

    Attributes:
        colors: of each class, as "#rrggbb"; the less frequent classes share OTHERS.
    """

    def __init__(self, coco: dict, boxes: Boxes, images_dir: Path):
        self.images, self.labels = coco["images"], labels_of(coco)
        self.boxes, self.images_dir = boxes, images_dir
        counts = np.bincount(boxes.classes, minlength=len(self.labels))
        self.colors = [OTHERS] * len(self.labels)
        for index, color in zip(np.argsort(-counts, kind="stable"), PALETTE, strict=False):
            self.colors[index] = color

    def sections(
        self, splits: list[str], near_duplicates: list[dict], found: list[Suspicion], frames: int
    ) -> dict[str, list]:
        """Return the thumbnails of each section, the most extreme first."""
        row_of = {image["file_name"]: row for row, image in enumerate(self.images)}
        by_size = np.argsort(self.boxes.input_wh.prod(axis=1), kind="stable")
        return {
            "frames": [self.frame(row, splits[row]) for row in self.sample_frames(frames)],
            "pairs": [
                {
                    "thumbnails": [
                        self.frame(row_of[n], splits[row_of[n]]) for n in pair["images"]
                    ],
                    "bits": pair["bits"],
                    "crosses": is_crossing(pair),
                }
                for pair in near_duplicates[:PAIRS]
            ],
            "smallest": [self.crop(row) for row in by_size[:EXTREMES]],
            "largest": [self.crop(row) for row in by_size[::-1][:EXTREMES]],
            "odd": [
                self.crop(row, [one.reason for one in own])
                for row, own in select_suspicious(found, SUSPICIOUS).items()
            ],
        }

    def sample_frames(self, count: int) -> list[int]:
        """Sample labeled frames of all groups, from the start to the end of each."""
        labeled = sorted(
            np.unique(self.boxes.images).tolist(),
            key=lambda row: (self.images[row]["group"], self.images[row]["file_name"]),
        )
        return spread(labeled, [self.images[row]["group"] for row in labeled], count)

    def frame(self, image: int, line: str) -> dict:
        """Show a whole image with all its boxes."""
        name = self.images[image]["file_name"]
        image_bgr = read_image(self.images_dir / name)
        scale = min(1.0, FRAME_PX / max(image_bgr.shape[:2]))  # a small frame is not enlarged
        small, rows = resize(image_bgr, scale), np.flatnonzero(self.boxes.images == image)
        for row in rows:
            index = self.boxes.classes[row]
            self.draw(
                small, row, (0, 0), scale, self.caption(index) if len(rows) <= CAPTIONS else ""
            )
        return {"image": jpeg_uri(small), "title": name, "lines": [line], "reasons": []}

    def crop(self, row: int, reasons: list[str] | None = None) -> dict:
        """Show a box and its surroundings, enlarged where it is small."""
        boxes = self.boxes
        name = self.images[boxes.images[row]]["file_name"]
        x0, y0, x1, y1 = crop_region(boxes.xywh[row], boxes.frame_wh[row])
        scale = CROP_PX / max(x1 - x0, y1 - y0)
        small = resize(read_image(self.images_dir / name)[y0:y1, x0:x1], scale)
        self.draw(small, row, (x0, y0), scale, "", rim=True)
        size = "{:.0f} x {:.0f} px, {:.1f} x {:.1f} at the input".format(
            *boxes.xywh[row, 2:], *boxes.input_wh[row]
        )
        return {
            "image": jpeg_uri(small),
            "title": self.labels[boxes.classes[row]],
            "lines": [size, name, f"annotation {boxes.ids[row]}"],
            "reasons": reasons or [],
        }

    def suspect(self, one: dict) -> dict:
        """Show an entry of suspects.json: all labels there, and in white what was found instead."""
        row = next(n for n, im in enumerate(self.images) if im["id"] == one["image_id"])
        image, found = self.images[row], one["found"]
        image_bgr = read_image(self.images_dir / image["file_name"])
        around_xywh = around(one["bbox"], found["bbox"] if found else one["bbox"])
        x0, y0, x1, y1 = crop_region(around_xywh, np.array(image_bgr.shape[1::-1]))
        scale = CROP_PX / max(x1 - x0, y1 - y0)
        small = resize(image_bgr[y0:y1, x0:x1], scale)
        for label in np.flatnonzero(self.boxes.images == row):
            self.draw(small, label, (x0, y0), scale, "")
        lines = [f"suspicion {one['suspicion']:.2f}", image["file_name"]]
        if found:
            start = np.array(found["bbox"][:2]) - (x0, y0)
            box_xyxy = np.concatenate([start, start + found["bbox"][2:]])[None] * scale
            draw_boxes(small, box_xyxy, [""], WHITE_BGR)
            label = self.labels[found["category_id"] - 1]
            lines.insert(1, f"found: {label}, confidence {found['score']:.2f}")
        if one["annotation"] is not None:
            lines.append(f"annotation {one['annotation']}")
        title = f"{one['kind']}: {self.labels[one['category_id'] - 1]}"
        return {"image": jpeg_uri(small), "title": title, "lines": lines, "reasons": []}

    def draw(
        self,
        small: np.ndarray,
        row: int,
        origin_xy: tuple,
        scale: float,
        text: str,
        rim: bool = False,
    ) -> None:
        """Draw a box in the color of its class."""
        start = self.boxes.xywh[row, :2] - origin_xy
        box_xyxy = np.concatenate([start, start + self.boxes.xywh[row, 2:]])[None] * scale
        if rim:  # visible on any background
            draw_boxes(small, box_xyxy + RIM_XYXY, [""], WHITE_BGR)
        color_bgr = tuple(bytes.fromhex(self.colors[self.boxes.classes[row]][1:])[::-1])
        draw_boxes(small, box_xyxy, [text], color_bgr)

    def caption(self, index: int) -> str:
        """Return the label, or the class number where OpenCV's font lacks its letters."""
        label = self.labels[index]
        return label[:CAPTION_LENGTH] if label.isascii() else f"no. {index + 1}"


def resize(image_bgr: np.ndarray, scale: float) -> np.ndarray:
    height, width = image_bgr.shape[:2]
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return cv2.resize(image_bgr, size_wh, interpolation=method)


def around(*boxes_xywh: list[float]) -> list[float]:
    """Return the box, x, y, width and height, around boxes."""
    starts, sizes = np.array(boxes_xywh)[:, :2], np.array(boxes_xywh)[:, 2:]
    start, end = starts.min(0), (starts + sizes).max(0)
    return [*start, *(end - start)]


def crop_region(box_xywh: np.ndarray, frame_wh: np.ndarray) -> tuple[int, int, int, int]:
    """Return a square around a box, moved inside the frame: x0, y0, x1, y1 in pixels."""
    x, y, width, height = box_xywh
    size = np.minimum(round(max(CONTEXT * max(width, height), LEAST_CROP_PX)), frame_wh)
    start = np.clip(np.round([x + width / 2, y + height / 2] - size / 2), 0, frame_wh - size)
    return tuple(int(value) for value in (*start, *(start + size)))
