"""Schedules of a training run: epochs, input size, average of weights."""

import math
import random

from stages.common.params import Recipe

# Measured, see docs/training.md. The bundled weights know the default scenes already.
AUTO_STEPS, AUTO_STEPS_BUNDLED, AUTO_EPOCHS = 400, 120, (20, 100)
RESIZE_EVERY = 10  # steps between two input sizes, as in YOLOX


def with_epochs(params: Recipe, images: int, bundled: bool) -> Recipe:
    """Replace `max_epoch: auto` by the epochs of AUTO_STEPS steps, within AUTO_EPOCHS.

    Args:
        params: the section `train`.
        images: number of training images.
        bundled: True if the run starts from the bundled weights.
    """
    if params.max_epoch != "auto":
        return params
    steps = AUTO_STEPS_BUNDLED if bundled else AUTO_STEPS
    epochs = round(steps / math.ceil(images / params.batch_size))
    return params.model_copy(update={"max_epoch": min(max(epochs, AUTO_EPOCHS[0]), AUTO_EPOCHS[1])})


def shortened(params: Recipe, max_epoch: int) -> Recipe:
    """Lower `max_epoch`, and with it the epochs of warm-up and without augmentation."""
    share = max_epoch / params.max_epoch
    warmup, no_aug = math.ceil(params.warmup_epochs * share), round(params.no_aug_epochs * share)
    changes = {"max_epoch": max_epoch, "warmup_epochs": warmup, "no_aug_epochs": no_aug}
    return params.model_copy(update=changes)


def ema_decay(updates: int, steps: int) -> float:
    """Return the share of the average that an update keeps.

    YOLOX averages over 5000 updates after a ramp of 2000, which a run of a few hundred steps
    never gets through; both shrink to a twentieth of the run where that is shorter.
    """
    window, ramp = min(5000, steps / 20), min(2000, steps / 20)
    return max(0.0, 1 - 1 / max(window, 1)) * (1 - math.exp(-updates / max(ramp, 1)))


def step_hw(input_hw: tuple[int, int], params: Recipe, step: int) -> tuple[int, int]:
    """Return the input size of a step: a new one every few steps, aspect kept, multiples of 32."""
    draws = random.Random(params.seed * 1_000_003 + step // RESIZE_EVERY)
    rows = input_hw[0] // 32
    new_rows = max(1, rows + draws.randint(-params.multiscale_range, params.multiscale_range))
    return new_rows * 32, max(1, round(input_hw[1] / 32 * new_rows / rows)) * 32
