"""A program: batches that workers load are those that one process makes.

python tests/loaded_batches.py DATA WORKERS
"""

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import torch

from stages.common.coco import read_coco
from stages.common.params import load_params
from stages.yolox.dataset import FrameDataset, epoch_batches, load_batches

PARAMS = Path(__file__).parent.parent / "params.yaml"


def main(data: Path, workers: int) -> None:
    torch.set_num_threads(2 * workers)  # of which the loader takes half
    changes = {"max_epoch": 1, "no_aug_epochs": 1, "batch_size": 2}
    params = load_params(PARAMS).train.model_copy(update=changes)
    coco = read_coco(data / "split/train.json")
    dataset = FrameDataset(coco, data / "dataset/images", (64, 96), params)
    loader = load_batches(dataset, params)
    assert len(multiprocessing.active_children()) == workers
    for batch, keys in zip(loader, epoch_batches(len(dataset), 0, params), strict=True):
        for image, labels, index, key in zip(*batch, keys, strict=True):
            expected = dataset[key]
            np.testing.assert_array_equal(image, expected[0])
            np.testing.assert_array_equal(labels, expected[1])
            assert index == expected[2]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
