"""Augmented training samples: YOLOX's mosaic, affine, mixup, color and flip on cached frames.

Every sample has a random seed of its own (from the run's seed, epoch and place in the epoch), so
it is the same in whichever worker or process it is made.
"""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from yolox.data import MosaicDetection, TrainTransform

from detector.core.boxes import fitted_hw, letterbox_scale
from stages.common.coco import MAX_BOXES, boxes_of, read_image
from stages.common.params import Recipe

SMALLEST_SIDE_PX = 2  # of a box after augmentation; what is left of a cut-off box is no example
AUGMENTATION = (
    "degrees", "translate", "mosaic_scale", "mixup_scale", "shear", "enable_mixup", "mosaic_prob",
    "mixup_prob",
)  # fmt: skip
Key = tuple[int, bool, int]  # of a sample: random seed, mosaic or not, index of the frame


class FrameDataset(Dataset):
    """Resized frames and their boxes, and the augmented samples that are made of them.

    Args:
        coco: the images and boxes, as `read_coco` returns them.
        images_dir: the folder that the file names are relative to.
        input_hw: frames are scaled to fit this height and width.
        params: augmentation, and `cache_gb`: resized frames beyond so many GB (10**9 bytes) are
            decoded again each time.
    """

    def __init__(self, coco: dict, images_dir: Path, input_hw: tuple[int, int], params: Recipe):
        self.images_dir, self.input_dim = images_dir, input_hw
        self.paths = [images_dir / image["file_name"] for image in coco["images"]]
        boxes = boxes_of(coco)
        self.labels = []
        for image in coco["images"]:
            scale = letterbox_scale((image["height"], image["width"]), input_hw)
            self.labels.append(boxes[image["id"]] * np.array([scale] * 4 + [1], np.float32))
        self.cached: list[np.ndarray] = []
        free_bytes = params.cache_gb * 1e9
        for path in self.paths:
            if free_bytes <= 0:
                break
            self.cached.append(self.read_resized(path))
            free_bytes -= self.cached[-1].nbytes
        self.augmented = MosaicDetection(  # calls the four methods below
            self,
            img_size=input_hw,
            preproc=VisibleBoxes(MAX_BOXES, params.flip_prob, params.hsv_prob),
            **{name: getattr(params, name) for name in AUGMENTATION},
        )

    def __len__(self) -> int:
        return len(self.paths)

    def read_resized(self, path: Path) -> np.ndarray:
        image_bgr = read_image(path)
        new_hw = fitted_hw(image_bgr.shape[:2], self.input_dim)
        return cv2.resize(image_bgr, new_hw[::-1], interpolation=cv2.INTER_LINEAR)

    def load_anno(self, index: int) -> np.ndarray:
        """Return float32 [n, 5]: x0, y0, x1, y1 in pixels of the resized frame, class index."""
        return self.labels[index].copy()

    def pull_item(self, index: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int], int]:
        """Return the resized frame, its boxes as `load_anno`, its size and its index."""
        cached = index < len(self.cached)
        image_bgr = self.cached[index].copy() if cached else self.read_resized(self.paths[index])
        return image_bgr, self.load_anno(index), image_bgr.shape[:2], index

    def __getitem__(self, key: Key) -> tuple[np.ndarray, np.ndarray, int]:
        """Return image float32 [3, *input_hw], boxes float32 [MAX_BOXES, 5], the frame's index.

        A box is class index, center x, center y, width, height, in pixels of the input.
        """
        seed, mosaic, index = key
        random.seed(seed)
        np.random.seed(seed)
        image, labels, _, _ = self.augmented[(mosaic, index)]
        return image, labels, index


class VisibleBoxes(TrainTransform):
    """YOLOX's color and flip, after boxes that the affine pushed out of the image are removed.

    Left in, they come back with zero width where no other box survives, and their log(0)
    dominates the L1 loss.
    """

    def __call__(self, image, targets, input_dim):
        sides = targets[:, 2:4] - targets[:, :2]
        return super().__call__(image, targets[(sides > SMALLEST_SIDE_PX).all(axis=1)], input_dim)


def epoch_batches(count: int, epoch: int, params: Recipe) -> list[list[Key]]:
    """Shuffle the frames of an epoch, counted from 0, into batches of sample keys.

    The last batch is filled up with the first frames: a batch of one has no statistics.
    """
    rng = np.random.default_rng([params.seed, epoch])
    mosaic = epoch < params.max_epoch - params.no_aug_epochs
    order = rng.permutation(count).tolist()
    order += [order[i % count] for i in range(-count % params.batch_size)]
    seeds = rng.integers(2**31, size=len(order)).tolist()
    keys = [(seed, mosaic, index) for seed, index in zip(seeds, order, strict=True)]
    starts = range(0, len(keys), params.batch_size)
    return [keys[start : start + params.batch_size] for start in starts]


def load_batches(
    dataset: FrameDataset, params: Recipe, rank: int = 0, world_size: int = 1, done_epochs: int = 0
) -> Iterator:
    """Load the batches of all epochs that are left in one stream, so that workers never idle.

    Each process takes its share of every global batch: the samples of a step do not depend on
    the number of processes.

    Yields:
        float32 [n, 3, *input_hw], float32 [n, MAX_BOXES, 5], indices [n].
    """
    keys = (
        batch[rank::world_size]
        for epoch in range(done_epochs, params.max_epoch)
        for batch in epoch_batches(len(dataset), epoch, params)
    )
    loader = DataLoader(
        dataset,
        batch_sampler=keys,
        # torch's threads are this process's share of the cores, see start_fabric.
        num_workers=max(1, torch.get_num_threads() // 2),
        worker_init_fn=init_worker,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def init_worker(worker: int) -> None:
    """Leave the cores to the model, and the reaction to Ctrl-C to the process that trains."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
