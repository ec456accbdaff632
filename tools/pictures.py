"""Writes an export of JPEG pictures for tools.ingest_speed.

python -m tools.pictures FOLDER IMAGES
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 1280, 720
CONTENTS = 24


def write_export(folder: Path, images: int) -> None:
    """An export of JPEG pictures that differ in their bytes, with one box each."""
    coco = {"categories": [{"id": 1, "name": "plate"}], "images": [], "annotations": []}
    (folder / "annotations").mkdir(parents=True)
    (folder / "images/default").mkdir(parents=True)
    contents = [picture(seed) for seed in range(min(CONTENTS, images))]
    for index in range(images):
        name, key = f"frame_{index:06d}.jpg", {"id": index + 1}
        data = with_comment(contents[index % len(contents)], name)
        (folder / "images/default" / name).write_bytes(data)
        coco["images"].append({**key, "file_name": name, "width": WIDTH, "height": HEIGHT})
        box = {"image_id": index + 1, "category_id": 1, "bbox": [100.0, 200.0, 80.0, 24.0]}
        coco["annotations"].append({**key, **box})
    (folder / "annotations/instances_default.json").write_text(json.dumps(coco))


def picture(seed: int) -> bytes:
    """A JPEG of about 150 KB: soft shapes under the noise of a camera."""
    rng = np.random.default_rng(seed)
    soft = cv2.resize(rng.integers(0, 256, (18, 32, 3), np.uint8), (WIDTH, HEIGHT))
    noise = cv2.GaussianBlur(rng.normal(0, 14, soft.shape).astype(np.float32), (0, 0), 0.8)
    image_bgr = np.clip(soft + noise, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 83])[1].tobytes()


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same picture with a comment behind the start marker."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


if __name__ == "__main__":
    write_export(Path(sys.argv[1]), int(sys.argv[2]))
