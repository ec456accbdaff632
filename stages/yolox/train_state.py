"""What a run has reached, for the checkpoint, the curves and the person who waits."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass
class Record:
    """A run until now.

    Attributes:
        history: the figures of each epoch by name.
        best_ap, best_epoch: of the evaluation with the highest AP on the val list.
        best: the state dict of then.
        last: the state dict at the end, empty before.
        seconds: what the epochs took, evaluations included.
        waited_s: how much of it the loop waited for data.
        stopped: whether `train.patience` has ended it.
    """

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

    def add(self, epoch: int, figures: dict[str, float], snapshot: Callable[[], dict]) -> None:
        """Takes the figures of an epoch; weights that are the best so far are kept."""
        self.history.append(figures)
        if figures.get("val/AP", -1.0) > self.best_ap:
            self.best_ap, self.best_epoch, self.best = figures["val/AP"], epoch, snapshot()

    def spend(self, seconds: float, waited_s: float) -> None:
        self.seconds += seconds
        self.waited_s += waited_s

    def stop_if_idle(self, patience: int) -> None:
        """Ends the run where so many epochs brought nothing better; 0 waits forever."""
        self.stopped = bool(patience) and self.epoch - max(self.best_epoch, 1) >= patience

    def plain(self) -> dict:
        return asdict(self)

    def note(self, epochs: int) -> str:
        """One line about the last epoch."""
        figures = self.history[-1]
        judged = "".join(
            f" {name.removeprefix('val/')} {figures[name]:.3f}"
            for name in ("val/AP", "val/AP50")
            if name in figures
        )
        best = f" best AP {self.best_ap:.3f}" if self.best_epoch and not judged else ""
        return f"epoch {self.epoch}/{epochs} loss {figures['loss/total']:.2f}{judged}{best}"

    def summary(self, images_per_epoch: int) -> str:
        """The line that a run ends with."""
        seconds, images = max(self.seconds, 1e-9), self.epoch * images_per_epoch
        early = f", stopped early after epoch {self.epoch}" if self.stopped else ""
        return (
            f"trained {self.seconds:.0f} s, {images / seconds:.1f} images/s, "
            f"{100 * self.waited_s / seconds:.0f} % of it waiting for data, "
            f"best AP {self.best_ap:.3f} at epoch {self.best_epoch}{early}"
        )


def progress_bar(disable: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        disable=disable,
    )
