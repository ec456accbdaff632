"""The time budget of a training run, `train.max_minutes`."""

import copy
import math
import time
from statistics import median
from typing import TYPE_CHECKING

from stages.common.params import Recipe

if TYPE_CHECKING:
    from stages.yolox.trainer import Trainer

TIMED_STEPS = 7  # the first ones are slower; their median counts
PLANNED_SHARE = 0.95  # of the budget: steps vary


def epochs_in_budget(trainer: "Trainer") -> int:
    """Lower the number of epochs to what `train.max_minutes` allows, at this machine's speed.

    Times a few steps and an evaluation, then restores the weights. The time that this takes
    counts.

    Returns:
        The number of epochs, the same in all processes.
    """
    params, fabric, epoch_steps = trainer.params, trainer.fabric, trainer.steps_per_epoch
    if params.max_minutes is None:
        return params.max_epoch
    started = time.perf_counter()
    saved, batches = copy.deepcopy(trainer.state_dict()), trainer.batches()
    times = []
    for step in range(min(TIMED_STEPS, epoch_steps * params.max_epoch)):
        step_started = time.perf_counter()
        trainer.step(step, 1, *next(batches))
        times.append(time.perf_counter() - step_started)
    del batches  # ends the workers
    step_s = median(times)
    evaluation_started = time.perf_counter()
    if fabric.is_global_zero:
        trainer.evaluate()
    evaluation_s = time.perf_counter() - evaluation_started
    trainer.load_state_dict(saved)
    left_s = 60 * params.max_minutes * PLANNED_SHARE - (time.perf_counter() - started)
    epochs = fabric.broadcast(epochs_within(left_s, step_s * epoch_steps, evaluation_s, params))
    fabric.print(
        f"train.max_minutes {params.max_minutes:g}: {epochs} of {params.max_epoch} "
        f"epochs, at {step_s:.2f} s a step and {evaluation_s:.1f} s an evaluation"
    )
    return epochs


def epochs_within(seconds: float, epoch_s: float, evaluation_s: float, params: Recipe) -> int:
    """Count the epochs that fit into a time, evaluations included; at least 1."""
    epochs = params.max_epoch
    while epochs > 1 and (
        epochs * epoch_s + math.ceil(epochs / params.eval_interval) * evaluation_s > seconds
    ):
        epochs -= 1
    return epochs
