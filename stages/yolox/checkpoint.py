"""What lets a killed run go on: everything that the next epoch depends on, after every epoch.

The file lies beside the weights, ignored by Git and unknown to DVC, which would delete it before
the run that needs it. Its name is a hash of all that training depends on, so that a run with
other parameters, data or code never finds it.
"""

import hashlib
import json
from pathlib import Path

import torch

from stages.common.files import atomic_path
from stages.common.run import UserError
from stages.yolox.weights import read_tensors

RESUME = ".resume"  # the folder beside the weights
SOURCES = ("stages/yolox", "stages/common", "detector/core", "requirements/openvino.txt")


class Checkpoint:
    """One run's file.

    Args:
        folder: where checkpoints are kept.
        key: `run_key` of the run.
    """

    def __init__(self, folder: Path, key: str):
        self.path = folder / f"{key}.ckpt"

    def save(self, state: dict) -> None:
        """Replaces the state of the epoch before; tensors and plain values only."""
        with atomic_path(self.path) as tmp:
            torch.save(state, tmp)

    def load(self) -> dict | None:
        """The state after the last whole epoch; None at the start, or if it is unreadable."""
        if not self.path.is_file():
            return None
        try:
            return read_tensors(self.path)
        except UserError:
            return None

    def delete(self) -> None:
        """The run has ended; nothing is left to go on with."""
        self.path.unlink(missing_ok=True)


def run_key(values: dict, files: list[Path]) -> str:
    """A name for a run that any change of what it depends on changes.

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
