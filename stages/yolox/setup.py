"""Setup of a training run: devices, YOLOX's configuration, optimizer, epochs, schedules."""

import ctypes
import math
import random
from contextlib import suppress

import torch
from lightning_fabric import Fabric
from yolox.config import YoloxConfig

from detector.core.cpu import has_fast_bf16, usable_cores
from stages.common.params import Model, Recipe
from stages.common.run import UserError
from stages.yolox.model import build_model

# Measured, see docs/training.md. The bundled weights know the default scenes already.
AUTO_STEPS, AUTO_STEPS_BUNDLED, AUTO_EPOCHS = 400, 120, (20, 100)
RESIZE_EVERY = 10  # steps between two input sizes, as in YOLOX
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of <malloc.h>


def start_fabric(params: Recipe) -> Fabric:
    """Take the devices, start the other processes where there are several, set the seed.

    Raises:
        UserError: the machine has no such accelerator.
    """
    kind = params.accelerator
    if kind == "auto":
        gpu = "mps" if torch.backends.mps.is_available() else "cpu"
        kind = "cuda" if torch.cuda.is_available() else gpu
    available = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if kind in available and not available[kind]():
        raise UserError(f"train.accelerator is {kind}, but this machine has none; use auto or cpu")
    keep_freed_memory()
    fabric = Fabric(
        accelerator=kind,
        devices=1 if kind == "cpu" and params.devices == "auto" else params.devices,
        num_nodes=params.num_nodes,
        precision=best_precision(kind) if params.precision == "auto" else params.precision,
    )
    fabric.launch()
    torch.set_num_threads(max(1, usable_cores() * params.num_nodes // fabric.world_size))
    torch.manual_seed(params.seed)
    return fabric


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory instead of handing it back to the kernel.

    Otherwise every activation of every step is made of new pages, which the kernel fills with
    zeros first: a step of YOLOX-nano on two cores takes a fifth longer.
    """
    with suppress(AttributeError):  # another C library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def best_precision(kind: str) -> str:
    """Return the fastest precision that trains as well: bfloat16 where it is computed natively."""
    if kind == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if kind == "cpu" and has_fast_bf16() else "32"


def yolox_config(model: Model, train: Recipe, classes: int) -> YoloxConfig:
    """Fill YOLOX's own configuration from params.yaml, with an initialized model."""
    config = YoloxConfig(
        model.name,
        num_classes=classes,
        **model.architecture(),
        input_size=model.input_hw,
        **train.model_dump(include={"weight_decay", "momentum"}),
    )
    build_model(config)
    return config


def optimizer_of(config: YoloxConfig, params: Recipe) -> torch.optim.Optimizer:
    """Make YOLOX's SGD, or AdamW; neither decays biases and batch-norm scales."""
    if params.optimizer == "sgd":
        return config.get_optimizer(params.batch_size)
    weights = [p for p in config.model.parameters() if p.ndim > 1]
    others = [p for p in config.model.parameters() if p.ndim <= 1]
    groups = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, weight_decay=params.weight_decay)


def with_epochs(params: Recipe, steps_per_epoch: int, bundled: bool) -> Recipe:
    """Replace `max_epoch: auto` by the epochs of AUTO_STEPS steps, within AUTO_EPOCHS.

    Args:
        params: the section `train`.
        steps_per_epoch: batches that hold all training images once.
        bundled: True if the run starts from the bundled weights.
    """
    if params.max_epoch != "auto":
        return params
    epochs = round((AUTO_STEPS_BUNDLED if bundled else AUTO_STEPS) / steps_per_epoch)
    return params.model_copy(update={"max_epoch": min(max(epochs, AUTO_EPOCHS[0]), AUTO_EPOCHS[1])})


def shortened(params: Recipe, max_epoch: int) -> Recipe:
    """Lower `max_epoch`, and with it the epochs of warm-up and without augmentation."""
    if max_epoch == params.max_epoch:
        return params
    share = max_epoch / params.max_epoch
    return params.model_copy(
        update={
            "max_epoch": max_epoch,
            "warmup_epochs": math.ceil(params.warmup_epochs * share),
            "no_aug_epochs": round(params.no_aug_epochs * share),
        }
    )


def epochs_within(seconds: float, epoch_s: float, evaluation_s: float, params: Recipe) -> int:
    """Count the epochs that fit into a time, evaluations included; at least 1."""

    def duration(epochs: int) -> float:
        return epochs * epoch_s + -(-epochs // params.eval_interval) * evaluation_s

    fitting = (n for n in range(params.max_epoch, 0, -1) if duration(n) <= seconds)
    return next(fitting, 1)


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
