"""What a training run is made of: devices, YOLOX's configuration, and the file it ends in."""

from pathlib import Path

import torch
from lightning_fabric import Fabric
from yolox.config import YoloxConfig

from detector.core.cpu import has_fast_bf16, usable_cores
from stages.common.files import atomic_path
from stages.common.params import Model, Train
from stages.common.run import UserError
from stages.yolox.model import build_model


def start_fabric(params: Train) -> Fabric:
    """Takes the devices, starts the other processes where there are several, sets the seed.

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
    fabric = Fabric(
        accelerator=kind,
        devices=1 if kind == "cpu" and params.devices == "auto" else params.devices,
        num_nodes=params.num_nodes,
        precision=precision_of(kind) if params.precision == "auto" else params.precision,
    )
    fabric.launch()
    torch.set_num_threads(max(1, usable_cores() * params.num_nodes // fabric.world_size))
    torch.manual_seed(params.seed)
    return fabric


def precision_of(kind: str) -> str:
    """The fastest precision that trains as well: bfloat16 where the processor computes in it."""
    if kind == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if kind == "cpu" and has_fast_bf16() else "32"


def yolox_config(model: Model, train: Train, classes: int) -> YoloxConfig:
    """YOLOX's own configuration object, filled from params.yaml, with a fresh model."""
    config = YoloxConfig(
        model.name,
        num_classes=classes,
        **model.architecture(),
        input_size=model.input_hw,
        **train.model_dump(
            include={
                "warmup_epochs", "warmup_lr", "max_epoch", "no_aug_epochs", "min_lr_ratio",
                "basic_lr_per_img", "scheduler", "ema", "weight_decay", "momentum",
            }
        ),
    )  # fmt: skip
    build_model(config)
    return config


def optimizer_of(config: YoloxConfig, params: Train) -> torch.optim.Optimizer:
    """YOLOX's SGD, or AdamW; neither decays biases and batch-norm scales."""
    if params.optimizer == "sgd":
        return config.get_optimizer(params.batch_size)
    weights = [p for p in config.model.parameters() if p.ndim > 1]
    others = [p for p in config.model.parameters() if p.ndim <= 1]
    groups = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, weight_decay=params.weight_decay)


def save(out: Path, state: dict, model: Model, labels: list[str]) -> None:
    """Writes tensors and plain values only, so that the file loads with weights_only=True."""
    content = {
        "model": {name: tensor.cpu().contiguous() for name, tensor in state.items()},
        "architecture": model.architecture(),
        "labels": labels,
        "input_hw": list(model.input_hw),
    }
    with atomic_path(out) as tmp:
        torch.save(content, tmp)
