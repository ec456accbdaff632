"""The state of a training run, and the file that lets an interrupted run resume from it.

The file lies beside the weights, ignored by Git and unknown to DVC, which would delete it before
the run that needs it. Its name is a hash of all that training depends on, so that a run with
other parameters, data or code never finds it.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from stages.common.files import atomic_path
from stages.common.run import UserError
from stages.yolox.weights import read_tensors

RESUME = ".resume"  # the folder beside the weights
SOURCES = (
    "stages/train.py", "stages/pretrain.py", "stages/yolox", "stages/scenes", "stages/common",
    "detector/core", "requirements/openvino.txt",
)  # fmt: skip


@dataclass
class TrainState:
    """The progress of a run.

    Attributes:
        max_epoch: epochs of the run, which `train.max_minutes` may have lowered.
        history: the metrics of each epoch by name.
        best_ap, best_epoch: of the evaluation with the highest AP on the val images.
        best: the state dict of that epoch.
        last: the state dict at the end, empty before.
        seconds: duration of all epochs, evaluations included.
        waited_s: how much of it the loop waited for data.
        stopped: True once `train.patience` has ended the run.
    """

    max_epoch: int
    history: list[dict[str, float]] = field(default_factory=list)
    best_ap: float = -1.0
    best_epoch: int = 0
    best: dict = field(default_factory=dict)
    last: dict = field(default_factory=dict)
    seconds: float = 0.0
    waited_s: float = 0.0
    stopped: bool = False

    @property
    def epoch(self) -> int:
        return len(self.history)

    def add(self, metrics: dict[str, float], state_dict: dict, patience: int) -> None:
        """Add the metrics of an epoch; keep its weights if they are the best so far.

        Args:
            metrics: with "val/AP" if the epoch was evaluated.
            state_dict: the weights of the epoch, cloned only to be kept.
            patience: epochs without a better AP that end the run; 0 never does.
        """
        self.history.append(metrics)
        if metrics.get("val/AP", -1.0) > self.best_ap:
            self.best_ap, self.best_epoch = metrics["val/AP"], self.epoch
            self.best = clone(state_dict)
        self.stopped = bool(patience) and self.epoch - max(self.best_epoch, 1) >= patience

    def format_epoch(self) -> str:
        """Format the last epoch as one line."""
        metrics = self.history[-1]
        line = f"epoch {self.epoch}/{self.max_epoch} loss {metrics['loss/total']:.2f}"
        if "val/AP" in metrics:
            return f"{line} AP {metrics['val/AP']:.3f} AP50 {metrics['val/AP50']:.3f}"
        return f"{line} best AP {self.best_ap:.3f}" if self.best_epoch else line

    def format_summary(self, images_per_epoch: int) -> str:
        """Format the line that ends a run."""
        seconds, images = max(self.seconds, 1e-9), self.epoch * images_per_epoch
        early = f", stopped early after epoch {self.epoch}" if self.stopped else ""
        return (
            f"trained {self.seconds:.0f} s, {images / seconds:.1f} images/s, "
            f"{100 * self.waited_s / seconds:.0f} % of it waiting for data, "
            f"best AP {self.best_ap:.3f} at epoch {self.best_epoch}{early}"
        )


def clone(state_dict: dict) -> dict:
    return {name: value.clone() for name, value in state_dict.items()}


class Checkpoint:
    """The file of one run.

    Args:
        folder: where checkpoints are kept.
        key: `run_key` of the run.
    """

    def __init__(self, folder: Path, key: str):
        self.path = folder / f"{key}.ckpt"

    def save(self, state: dict) -> None:
        """Replace the state of the epoch before; tensors and plain values only."""
        with atomic_path(self.path) as tmp:
            torch.save(state, tmp)

    def load(self) -> dict | None:
        """Return the state after the last whole epoch; None if there is none that is readable."""
        try:
            return read_tensors(self.path)
        except UserError:
            return None

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)


def run_key(values: dict, files: list[Path]) -> str:
    """Hash everything that a run depends on.

    Args:
        values: parameters and the like, as JSON can write them.
        files: lists of data and weights to start from; the images' hashes are in the lists.
    """
    root = Path(__file__).resolve().parent.parent.parent
    sources = [root / name for name in SOURCES]
    code = sorted(p for s in sources for p in (s.rglob("*.py") if s.is_dir() else [s]))
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for path in (*files, *code):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:20]
