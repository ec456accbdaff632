"""A program for torchrun: prints the loss and a hash of the gradients of one global batch.

Batch-norm statistics are frozen, since those of half a batch are others than of the whole.
"""

import sys
from pathlib import Path

import torch

from stages.common.coco import read_coco
from stages.common.params import load_params
from stages.yolox.dataset import FrameDataset
from stages.yolox.devices import start_fabric
from stages.yolox.model import build_model
from stages.yolox.trainer import Trainer

PARAMS = Path(__file__).parent.parent / "params.yaml"


def main(data: Path, out: Path) -> None:
    changes = {"max_epoch": 1, "warmup_epochs": 0, "no_aug_epochs": 1, "batch_size": 4,
               "precision": "32", "accelerator": "cpu", "devices": int(sys.argv[3]),
               "num_nodes": int(sys.argv[4]), "ema": False, "optimizer": "sgd"}  # fmt: skip
    content = load_params(PARAMS)
    params = content.train.model_copy(update=changes)
    fabric = start_fabric(params)
    model = build_model(content.model.architecture(), 3)
    coco = read_coco(data / "split/train.json")
    frames = FrameDataset(coco, data / "dataset/images", (64, 96), params)
    trainer = Trainer(fabric, model, frames, params, coco, content.evaluate, out.parent / "unused")
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    trainer.optimizer.step = lambda: None
    trainer.optimizer.zero_grad = lambda: None
    losses = trainer.step(0, 1, *next(trainer.batches()))
    gradient = torch.cat([p.grad.flatten() for p in trainer.model.parameters()])
    if fabric.is_global_zero:
        torch.save({"losses": losses, "gradient": gradient}, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
