"""A program: batches that workers load are those that one process makes.

python tests/loaded_batches.py DATA WORKERS
"""

import sys
from pathlib import Path

import numpy as np
import torch

from stages.common.coco import read_coco
from stages.common.params import load_params
from stages.yolox.dataset import AugmentedDataset, BatchSampler, FrameDataset, sample_loader

PARAMS = Path(__file__).parent.parent / "params.yaml"


def main(data: Path, workers: int) -> None:
    torch.set_num_threads(2 * workers)  # of which the loader takes half
    coco = read_coco(data / "split/train.json")
    frames = FrameDataset(coco, data / "dataset/images", (64, 96), 1)
    changes = {"max_epoch": 1, "no_aug_epochs": 1, "batch_size": 2}
    params = load_params(PARAMS).train.model_copy(update=changes)
    dataset = AugmentedDataset(frames, params)
    expected = [dataset[key] for batch in BatchSampler(frames, params, 0, 1, 0) for key in batch]
    loader = sample_loader(frames, params)
    assert loader.num_workers == workers
    found = [
        sample for images, labels, indices in loader
        for sample in zip(images, labels, indices, strict=True)
    ]  # fmt: skip
    for (image, labels, index), sample in zip(found, expected, strict=True):
        np.testing.assert_array_equal(image, sample[0])
        np.testing.assert_array_equal(labels, sample[1])
        assert index == sample[2]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
