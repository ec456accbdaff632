"""Pretrain: the weights that training starts from when nobody has others.

Out:  models/pretrained.pth   the default model, trained on many generated road scenes

The scenes are drawn from other random numbers than those of `synthesize`, so that the default
run's val frames were never seen. The stage is frozen in dvc.yaml: it takes an hour and its
output is in Git; `dvc repro --force --single-item pretrain` makes it again.

Run:  python -m stages.pretrain models/pretrained.pth
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np

from stages.common.params import Pretrain, load_params
from stages.common.run import progress, run_stage
from stages.scenes.scene import draw_scene
from stages.yolox.checkpoint import RESUME, Checkpoint, run_key
from stages.yolox.dataset import Frames
from stages.yolox.setup import save, start_fabric, yolox_config
from stages.yolox.trainer import Loop

SCENE_HW = (540, 960)
VAL_SCENES = 100
LABELS = ["LP"]


def main(out: Path) -> None:
    """Trains the default model from nothing on generated scenes."""
    params = load_params()
    model = params.model.model_copy(update={"input_hw": params.pretrain.input_hw})
    fabric = start_fabric(params.pretrain)
    config = yolox_config(model, params.pretrain, len(LABELS))
    with tempfile.TemporaryDirectory() as folder:
        train_coco = draw(Path(folder), "train", params.pretrain, params.pretrain.scenes)
        val_coco = draw(Path(folder), "val", params.pretrain, VAL_SCENES)
        frames = Frames(train_coco, Path(folder), model.input_hw, params.pretrain.cache_gb)
        values = {name: getattr(params, name).model_dump() for name in ("model", "pretrain")}
        checkpoint = Checkpoint(out.parent / RESUME, run_key(values, []))
        loop = Loop(fabric, config, frames, params.pretrain, checkpoint)
        record = loop.run(lambda epoch, figures: None, val_coco, Path(folder), params.evaluate)
    save(out, record.best, model, LABELS)
    checkpoint.delete()


def draw(folder: Path, side: str, params: Pretrain, count: int) -> dict:
    """Draws scenes into a folder.

    Returns:
        Their COCO, as the stages read it.
    """
    images, annotations = [], []
    for index in progress(range(count), f"drawing {side} scenes"):
        rng = np.random.default_rng([*f"pretrain {side}".encode(), params.seed, index])
        image_bgr, plates = draw_scene(rng, SCENE_HW)
        name = f"{side}_{index:05d}.jpg"
        cv2.imwrite(str(folder / name), image_bgr)
        size = {"height": SCENE_HW[0], "width": SCENE_HW[1]}
        images.append({"id": index + 1, "file_name": name, **size})
        for plate in plates:
            x0, y0, x1, y1 = plate.box_xyxy
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            place = {"id": len(annotations) + 1, "image_id": index + 1, "category_id": 1}
            annotations.append({**place, **box})
    categories = [{"id": 1, "name": LABELS[0]}]
    return {"images": images, "annotations": annotations, "categories": categories}


if __name__ == "__main__":
    run_stage(main)
