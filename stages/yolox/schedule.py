"""How long, with which input size and with which average a run of any length trains."""

import math
import random

from stages.common.params import Train

RESIZE_EVERY = 10  # steps between two input sizes, as in YOLOX
# Measured, see docs/training.md: 30 images gain nothing beyond 400 steps, 430 need 20 epochs.
AUTO_STEPS, AUTO_EPOCHS = 400, (20, 100)


def with_epochs(params: Train, images: int) -> Train:
    """The same parameters with `max_epoch: auto` replaced by a number for so many images."""
    if params.max_epoch != "auto":
        return params
    epochs = round(AUTO_STEPS / steps_per_epoch(images, params.batch_size))
    return params.model_copy(update={"max_epoch": min(max(epochs, AUTO_EPOCHS[0]), AUTO_EPOCHS[1])})


def steps_per_epoch(images: int, batch_size: int) -> int:
    return -(-images // batch_size)


def ema_decay(updates: int, steps: int) -> float:
    """How much of the average stays at an update.

    YOLOX averages over 5000 updates after a ramp of 2000, which a run of a few hundred steps
    never gets through; both shrink to a twentieth of the run where that is shorter.
    """
    window, ramp = min(5000, steps / 20), min(2000, steps / 20)
    return max(0.0, 1 - 1 / max(window, 1)) * (1 - math.exp(-updates / max(ramp, 1)))


def step_hw(input_hw: tuple[int, int], params: Train, step: int) -> tuple[int, int]:
    """The input size of a step: a new one every few steps, aspect kept, multiples of 32."""
    draws = random.Random(params.seed * 1_000_003 + step // RESIZE_EVERY)
    rows = input_hw[0] // 32
    new_rows = max(1, rows + draws.randint(-params.multiscale_range, params.multiscale_range))
    return new_rows * 32, max(1, round(input_hw[1] / 32 * new_rows / rows)) * 32
