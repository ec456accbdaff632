"""Pretrain: the bundled weights, which training starts from by default.

Out:  models/pretrained.pth   the default model, trained on many generated road scenes

The scenes have other random seeds than those of `synthesize`, so that the val frames of the
default run are new to the weights. The stage is frozen in dvc.yaml: it takes an hour and its
output is in Git; `dvc repro --force --single-item pretrain` repeats it.

Run:  python -m stages.pretrain models/pretrained.pth
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np

from stages.common.params import Pretrain, load_params
from stages.common.run import progress, run_stage
from stages.scenes.scene import draw_scene
from stages.yolox.checkpoint import checkpoint_path
from stages.yolox.dataset import FrameDataset
from stages.yolox.devices import start_fabric
from stages.yolox.model import build_model
from stages.yolox.trainer import Trainer
from stages.yolox.weights import Weights

SCENE_HW = (540, 960)
VAL_SCENES = 100
LABELS = ["LP"]


def main(out: Path) -> None:
    """Train the default model from random weights on generated scenes."""
    params = load_params()
    settings, architecture = params.pretrain, params.model.architecture()
    fabric = start_fabric(settings)
    model = build_model(architecture, len(LABELS))
    values = {name: getattr(params, name).model_dump() for name in ("model", "pretrain")}
    checkpoint = checkpoint_path(out, values, [])
    with tempfile.TemporaryDirectory() as folder:
        train_coco = draw(Path(folder), "train", settings, settings.scenes)
        val_coco = draw(Path(folder), "val", settings, VAL_SCENES)
        frames = FrameDataset(train_coco, Path(folder), settings.input_hw, settings)
        trainer = Trainer(fabric, model, frames, settings, val_coco, params.evaluate, checkpoint)
        state = trainer.run(log=lambda epoch, metrics: None)
    Weights(state.best, architecture, LABELS, settings.input_hw).save(out)
    checkpoint.unlink(missing_ok=True)


def draw(folder: Path, split: str, params: Pretrain, count: int) -> dict:
    """Draw scenes into a folder.

    Returns:
        Their boxes as COCO.
    """
    images, annotations = [], []
    for index in progress(range(count), f"drawing {split} scenes"):
        rng = np.random.default_rng([*f"pretrain {split}".encode(), params.seed, index])
        image_bgr, plates = draw_scene(rng, SCENE_HW)
        name = f"{split}_{index:05d}.jpg"
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
