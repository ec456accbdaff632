"""Generate the demo data set, which the project uses until you bring your own.

In:   section `synthesize` of params.yaml
Out:  data/synthetic.zip        road scenes and their license plates, like a CVAT "COCO 1.0" export
      data/synthetic_pool.zip   more of these scenes, without labels

The same parameters give the same bytes.

Run:  python -m stages.synthesize data/synthetic.zip data/synthetic_pool.zip
"""

import json
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import cv2
import numpy as np

from stages.common.files import atomic_path
from stages.common.params import load_params
from stages.common.run import progress, run_stage
from stages.scenes.scene import Plate, draw_scene

JPEG_QUALITY = 92
HEADER = {
    "licenses": [{"name": "", "id": 0, "url": ""}],
    "info": dict.fromkeys(
        ("contributor", "date_created", "description", "url", "version", "year"), ""
    ),
    "categories": [{"id": 1, "name": "LP", "supercategory": ""}],
}


def main(out: Path, pool: Path) -> None:
    """Draw road scenes with license plates into OUT, a zip like a CVAT "COCO 1.0" export, and
    others into POOL."""
    params = load_params().synthesize
    images, annotations = [], []
    with atomic_path(out) as tmp, ZipFile(tmp, "w") as export:
        for index in progress(range(params.images), "drawing scenes"):
            # One seed per scene: a scene does not depend on the number of scenes.
            rng = np.random.default_rng([params.seed, index])
            image_bgr, plates = draw_scene(rng, params.image_hw)
            images.append(image_entry(index, params.image_hw))
            annotations += plate_entries(plates, image_id=index + 1, first_id=len(annotations) + 1)
            _add(export, f"images/default/{images[-1]['file_name']}", jpeg(image_bgr))
        content = HEADER | {"images": images, "annotations": annotations}
        text = json.dumps(content, separators=(",", ":"))
        _add(export, "annotations/instances_default.json", text.encode())
    with atomic_path(pool) as tmp, ZipFile(tmp, "w") as frames:
        for index in progress(range(params.pool_images), "drawing the pool"):
            rng = np.random.default_rng([params.seed, index, 1])
            image_bgr, _ = draw_scene(rng, params.image_hw)
            _add(frames, f"pool_{index:06d}.jpg", jpeg(image_bgr))


def image_entry(index: int, image_hw: tuple[int, int]) -> dict:
    """Return the entry that CVAT writes for an image; `index` counts from 0."""
    return {
        "id": index + 1,
        "width": image_hw[1],
        "height": image_hw[0],
        "file_name": f"scene_{index:06d}.jpg",
        "license": 0,
        "flickr_url": "",
        "coco_url": "",
        "date_captured": 0,
    }


def plate_entries(plates: list[Plate], image_id: int, first_id: int) -> list[dict]:
    """Return the annotations that CVAT writes for the plates of one image."""
    entries = []
    for number, plate in enumerate(plates, start=first_id):
        x0, y0, x1, y1 = (round(value, 2) for value in plate.box_xyxy)
        width, height = round(x1 - x0, 2), round(y1 - y0, 2)
        entries.append(
            {
                "id": number,
                "image_id": image_id,
                "category_id": 1,
                "segmentation": [],
                "area": round(width * height, 4),
                "bbox": [x0, y0, width, height],
                "iscrowd": 0,
                "attributes": {"occluded": plate.occluded, "rotation": 0.0},
            }
        )
    return entries


def jpeg(image_bgr: np.ndarray) -> bytes:
    """Encode an image, BGR uint8 [height, width, 3], as JPEG."""
    return cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _add(export: ZipFile, name: str, content: bytes) -> None:
    """Store a member with fixed time and system, so that equal content gives equal bytes."""
    member = ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.create_system = 3
    member.external_attr = 0o644 << 16
    export.writestr(member, content)


if __name__ == "__main__":
    run_stage(main)
