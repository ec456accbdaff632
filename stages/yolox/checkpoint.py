"""The state of a training run, and the file that lets an interrupted run resume from it.

The file lies beside the weights, ignored by Git and unknown to DVC, which would delete it before
the run that needs it. Its name is a hash of all that training depends on, so that a run with
other parameters, data or code never finds it.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = ".resume"  # beside the weights
SOURCES = (
    "stages/train.py", "stages/pretrain.py", "stages/yolox", "stages/scenes", "stages/common",
    "detector/core", "requirements/openvino.txt",
)  # fmt: skip


@dataclass
class TrainState:
    """The progress of a run.

    Attributes:
        max_epoch: epochs of the run, which `train.max_minutes` may have lowered.
        history: the metrics of each epoch by name, with "val/AP" where it was evaluated.
        best: the state dict of the epoch with the highest AP on the val images; {} without these.
        seconds: duration of all epochs, evaluations included.
        waited_s: how much of it the loop waited for data.
    """

    max_epoch: int
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict = field(default_factory=dict)
    seconds: float = 0.0
    waited_s: float = 0.0

    @property
    def epoch(self) -> int:
        return len(self.history)

    @property
    def best_ap(self) -> float:
        """-1 before the first evaluation."""
        return max((metrics.get("val/AP", -1.0) for metrics in self.history), default=-1.0)

    @property
    def best_epoch(self) -> int:
        """The first epoch with the highest AP, counted from 1; 0 before the first evaluation."""
        aps = [metrics.get("val/AP") for metrics in self.history]
        return aps.index(self.best_ap) + 1 if self.best_ap in aps else 0

    def add(self, metrics: dict[str, float], state_dict: dict) -> None:
        """Add the metrics of an epoch; clone its weights if they are the best so far."""
        self.history.append(metrics)
        if self.best_epoch == self.epoch:
            self.best = {name: value.clone() for name, value in state_dict.items()}

    def is_stalled(self, patience: int) -> bool:
        """Return True after so many epochs without a better AP; a patience of 0 has no end."""
        return bool(patience) and self.epoch - max(self.best_epoch, 1) >= patience

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
        early = f", stopped early after epoch {self.epoch}" if self.epoch < self.max_epoch else ""
        best = f", best AP {self.best_ap:.3f} at epoch {self.best_epoch}" if self.best_epoch else ""
        return (
            f"trained {self.seconds:.0f} s, {images / seconds:.1f} images/s, "
            f"{100 * self.waited_s / seconds:.0f} % of it waiting for data{best}{early}"
        )


def checkpoint_path(out: Path, values: dict, files: list[Path]) -> Path:
    """Name the checkpoint of a run by a hash of everything that the run depends on.

    Args:
        out: the weights that it will write.
        values: parameters and the like, as JSON can write them.
        files: lists of data and weights to start from; the images' hashes are in the lists.
    """
    root = Path(__file__).resolve().parent.parent.parent
    sources = [root / name for name in SOURCES]
    code = sorted(p for s in sources for p in (s.rglob("*.py") if s.is_dir() else [s]))
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for path in (*files, *code):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return out.parent / FOLDER / f"{digest.hexdigest()[:20]}.ckpt"
