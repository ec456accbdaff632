"""Generate the demo data set, which the project uses until you bring your own.

In:   section `synthesize` of params.yaml
Out:  data/synthetic.zip        road scenes and their license plates, like a CVAT "COCO 1.0" export
      data/synthetic_pool.zip   more of these scenes, without labels

The same parameters give the same bytes.

Run:  python -m stages.synthesize data/synthetic.zip data/synthetic_pool.zip
"""

from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np

from stages.common.cvat import add_json, add_member, cvat_categories, cvat_image, cvat_rectangle
from stages.common.files import atomic_path
from stages.common.params import load_params
from stages.common.run import progress, run_stage
from stages.scenes.scene import draw_scene

JPEG_QUALITY = 92


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
            name = f"scene_{index:06d}.jpg"
            images.append(cvat_image(index + 1, name, *params.image_hw[::-1]))
            annotations += [
                cvat_rectangle(number, index + 1, 1, plate.box_xyxy, occluded=plate.occluded)
                for number, plate in enumerate(plates, len(annotations) + 1)
            ]
            add_member(export, f"images/default/{name}", jpeg(image_bgr))
        add_json(export, cvat_categories(["LP"]), images, annotations)
    with atomic_path(pool) as tmp, ZipFile(tmp, "w") as frames:
        for index in progress(range(params.pool_images), "drawing the pool"):
            rng = np.random.default_rng([params.seed, index, 1])
            image_bgr, _ = draw_scene(rng, params.image_hw)
            add_member(frames, f"pool_{index:06d}.jpg", jpeg(image_bgr))


def jpeg(image_bgr: np.ndarray) -> bytes:
    """Encode an image, BGR uint8 [height, width, 3], as JPEG."""
    return cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


if __name__ == "__main__":
    run_stage(main)
