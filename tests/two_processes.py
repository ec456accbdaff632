"""A program for torchrun: prints the loss and a hash of the gradients of one global batch.

Batch-norm statistics are frozen, since those of half a batch are others than of the whole.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from stages.common.coco import read_coco
from stages.common.params import Model, Train
from stages.yolox.checkpoint import Checkpoint
from stages.yolox.dataset import EpochKeys, Frames, Samples
from stages.yolox.setup import start_fabric, yolox_config
from stages.yolox.trainer import Loop


def main(data: Path, out: Path) -> None:
    params = Train(max_epoch=1, warmup_epochs=0, no_aug_epochs=1, batch_size=4, precision="32",
                   accelerator="cpu", devices=int(sys.argv[3]), num_nodes=int(sys.argv[4]),
                   ema=False, multiscale_range=0)  # fmt: skip
    fabric = start_fabric(params)
    config = yolox_config(Model(name="yolox-nano", input_hw=(64, 96)), params, 3)
    frames = Frames(read_coco(data / "split/train.json"), data / "dataset/images", (64, 96), 1)
    loop = Loop(fabric, config, frames, params, Checkpoint(out.parent, "unused"))
    for module in loop.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    loop.optimizer.step = lambda: None
    loop.optimizer.zero_grad = lambda: None
    keys = next(iter(EpochKeys(len(frames), params, fabric.global_rank, fabric.world_size)))
    batch = [Samples(frames, params)[key] for key in keys]
    images, targets = (
        torch.from_numpy(np.stack(part)) for part in list(zip(*batch, strict=True))[:2]
    )
    losses = loop.step(0, 1, images, targets, [key[2] for key in keys])
    gradient = torch.cat([p.grad.flatten() for p in loop.model.parameters()])
    if fabric.is_global_zero:
        torch.save({"losses": losses, "gradient": gradient}, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
