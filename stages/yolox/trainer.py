"""The training loop: forward, backward, EMA, evaluation, on any device that Fabric knows.

Several processes train as one would with the same global batch: each loss is weighted by its
process's share of the assigned anchors, which YOLOX divides by. Batch-norm statistics are those
of each process's own part of the batch, as in YOLOX.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch
from lightning_fabric import Fabric
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from yolox.config import YoloxConfig
from yolox.models import YoloxModule
from yolox.utils import LRScheduler, ModelEMA

from detector.core.frame_detector import FrameDetector
from stages.common.coco import labels_of
from stages.common.coco_eval import accuracy, detect_images, score
from stages.common.files import atomic_path
from stages.common.params import Evaluate, Recipe
from stages.common.run import UserError
from stages.yolox.budget import epochs_in_budget
from stages.yolox.checkpoint import TrainState
from stages.yolox.dataset import FrameDataset, load_batches
from stages.yolox.model import TorchBackend, make_optimizer
from stages.yolox.schedule import ema_decay, shortened, step_hw
from stages.yolox.weights import read_tensors

Log = Callable[[int, dict[str, float]], None]
LOSSES = ("total_loss", "iou_loss", "conf_loss", "cls_loss", "l1_loss")


class Trainer:
    """One training run.

    Args:
        fabric: launched; knows devices, processes and precision.
        model: on the CPU, in training mode.
        dataset: the training frames.
        params: the section `train`, with a number of epochs.
        val_coco: the images that choose the best weights, in the folder of the training images;
            None: none do, and the run has its full length.
        evaluation: confidence and NMS overlap of the evaluation.
        checkpoint: the file that keeps the run after every epoch.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: YoloxModule,
        dataset: FrameDataset,
        params: Recipe,
        val_coco: dict | None,
        evaluation: Evaluate,
        checkpoint: Path,
    ):
        self.fabric, self.dataset, self.params = fabric, dataset, params
        self.val_coco, self.evaluation, self.checkpoint = val_coco, evaluation, checkpoint
        self.steps_per_epoch = math.ceil(len(dataset) / params.batch_size)
        self.resize = YoloxConfig("yolox", input_size=dataset.input_dim).preprocess
        model = model.to(memory_format=torch.channels_last)
        for module in model.modules():
            if isinstance(module, torch.nn.SiLU):
                module.inplace = False  # autograd would copy the input first
        self.ema = ModelEMA(model)
        self.ema.ema.to(fabric.device)
        self.eval_model = self.ema.ema if params.ema else model
        self.model, self.optimizer = fabric.setup(model, make_optimizer(model, params))
        self.parts = {
            "model": model,
            "ema": self.ema.ema,
            "optimizer": self.optimizer,
            "precision": fabric.strategy.precision,  # 16-mixed: its gradient scale
        }
        self.schedule(params.max_epoch)

    def schedule(self, max_epoch: int) -> None:
        """Fit learning rate, EMA and augmentation to a number of epochs."""
        self.params = params = shortened(self.params, max_epoch)
        steps = self.steps_per_epoch * max_epoch
        self.ema.decay = lambda updates: ema_decay(updates, steps)
        self.learning_rate = LRScheduler(
            params.scheduler,
            params.basic_lr_per_img * params.batch_size,
            self.steps_per_epoch,
            max_epoch,
            warmup_epochs=params.warmup_epochs,
            warmup_lr_start=params.warmup_lr,
            no_aug_epochs=params.no_aug_epochs,
            min_lr_ratio=params.min_lr_ratio,
        )

    def run(self, log: Log, fold: int = 0, folds: int = 1) -> TrainState:
        """Train all remaining epochs; resume after the last finished one.

        Args:
            log: takes the number of an epoch and its metrics by name, in the first process.
            fold, folds: number of this run and of all runs of a cross-validation, for the progress.

        Returns:
            The state at the end; the weights of the last epoch are those of `eval_model`.

        Raises:
            UserError: the loss is not finite any more.
        """
        state = self.resume(log) or TrainState(epochs_in_budget(self))
        self.schedule(state.max_epoch)
        batches = self.batches(state.epoch)
        patience = self.params.patience if self.val_coco else 0
        title = f"training, fold {fold + 1} of {folds}" if folds > 1 else "training"
        with progress_bar(title, disable=not self.fabric.is_global_zero) as bar:
            done = fold * state.max_epoch + state.epoch
            total, done = (n * self.steps_per_epoch for n in (folds * state.max_epoch, done))
            task = bar.add_task("", total=total, completed=done)
            while state.epoch < state.max_epoch and not state.is_stalled(patience):
                self.train_epoch(state, batches, lambda: bar.advance(task))
                if self.fabric.is_global_zero:
                    log(state.epoch, state.history[-1])
                    bar.update(task, description=state.format_epoch())
                    if "val/AP" in state.history[-1]:
                        bar.console.print(state.format_epoch())
                    with atomic_path(self.checkpoint) as tmp:
                        torch.save({**self.state_dict(), "progress": vars(state)}, tmp)
        self.fabric.print(state.format_summary(self.steps_per_epoch * self.params.batch_size))
        if left := folds - fold - 1:
            self.fabric.print(f"{left} folds to train, {left * state.seconds / 60:.0f} minutes")
        return state

    def batches(self, done_epochs: int = 0) -> Iterator:
        rank, world_size = self.fabric.global_rank, self.fabric.world_size
        return load_batches(self.dataset, self.params, rank, world_size, done_epochs)

    def train_epoch(self, state: TrainState, batches: Iterator, advance: Callable) -> None:
        """Take all steps of the next epoch, evaluate if it is due, and add both to the state.

        Args:
            advance: called after every step.
        """
        started, epoch = time.perf_counter(), state.epoch + 1
        total = dict.fromkeys(LOSSES, 0.0)
        for number in range(self.steps_per_epoch):
            asked = time.perf_counter()
            batch = next(batches)
            state.waited_s += time.perf_counter() - asked
            losses = self.step(state.epoch * self.steps_per_epoch + number, epoch, *batch)
            total = {name: total[name] + losses[name] for name in LOSSES}
            advance()
        metrics = {
            f"loss/{name.removesuffix('_loss')}": value / self.steps_per_epoch
            for name, value in total.items()
        }
        metrics["lr"] = self.optimizer.param_groups[0]["lr"]
        if epoch % self.params.eval_interval == 0 or epoch == state.max_epoch:
            evaluated = self.evaluate() if self.fabric.is_global_zero else {}
            metrics |= self.fabric.broadcast(evaluated)
        state.add(metrics, self.eval_model.state_dict())
        state.seconds += time.perf_counter() - started

    def step(self, step: int, epoch: int, images, targets, indices) -> dict[str, float]:
        """Set the learning rate, train on one batch, update the EMA; return the losses."""
        self.model.module.head.use_l1 = epoch > self.params.max_epoch - self.params.no_aug_epochs
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate.update_lr(step + 1)
        size = step_hw(self.dataset.input_dim, self.params, step)
        images, targets = self.resize(images, targets, size)
        images = images.to(self.fabric.device, memory_format=torch.channels_last)
        losses = self.forward(images, targets.to(self.fabric.device))
        share = self.share(losses["num_fg"], targets)
        values = torch.tensor(
            [float(torch.as_tensor(losses[name]).detach()) * share for name in LOSSES]
        )
        values = self.fabric.all_reduce(values, reduce_op="mean").tolist()
        if not math.isfinite(values[0]):
            names = ", ".join(self.dataset.paths[index].name for index in indices)
            raise UserError(
                f"the loss is {values[0]} in epoch {epoch} on {names}; lower "
                "train.basic_lr_per_img or look at these images' boxes"
            )
        self.fabric.backward(losses["total_loss"] * share)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model.module)
        return dict(zip(LOSSES, values, strict=True))

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the losses of a batch; NaN where the weights are not finite any more."""
        try:
            return self.model(images, targets)
        except RuntimeError:
            # YOLOX's label assignment asserts that scores are numbers, before there is a loss.
            if all(weight.isfinite().all() for weight in self.model.parameters()):
                raise
            return dict.fromkeys((*LOSSES, "num_fg"), torch.tensor(math.nan))

    def share(self, anchors_per_box: float, targets: torch.Tensor) -> float:
        """Return the weight of this process's loss in the mean over processes, 1 for one process.

        YOLOX divides a loss by the anchors assigned to the batch's boxes. Each process knows its
        own; the global batch has their sum.
        """
        if self.fabric.world_size == 1:
            return 1.0
        boxes = max(int((targets.sum(2) > 0).sum()), 1)
        anchors = torch.as_tensor(anchors_per_box, dtype=torch.float64) * boxes
        return float(anchors / self.fabric.all_reduce(anchors, reduce_op="mean"))

    def evaluate(self) -> dict[str, float]:
        """Compute AP and AP50 on the val images, with the code that `evaluate` runs; {} without."""
        if self.val_coco is None:
            return {}
        model = self.eval_model.eval()
        model.head.decode_in_inference = False
        backend = TorchBackend(model, labels_of(self.val_coco), self.dataset.input_dim)
        detector = FrameDetector(backend, self.evaluation.confidence, self.evaluation.nms_iou)
        rows = detect_images(detector, self.val_coco["images"], self.dataset.images_dir)
        self.model.module.train()
        metrics = accuracy(self.val_coco, score(self.val_coco, rows))
        return {"val/AP": metrics["AP"], "val/AP50": metrics["AP50"]}

    def resume(self, log: Log) -> TrainState | None:
        """Load the checkpoint of an interrupted run, if there is one that can be read."""
        saved = None
        if self.fabric.is_global_zero:
            with suppress(UserError):
                saved = read_tensors(self.checkpoint)
        saved = self.fabric.broadcast(saved)
        if saved is None:
            return None
        state = TrainState(**saved["progress"])
        self.load_state_dict(saved)
        if self.fabric.is_global_zero:
            for epoch, metrics in enumerate(state.history, 1):
                log(epoch, metrics)
        self.fabric.print(f"goes on after epoch {state.epoch} of an interrupted run")
        return state

    def state_dict(self) -> dict:
        """Collect all that the next epoch depends on, as tensors and plain values."""
        states = {name: part.state_dict() for name, part in self.parts.items()}
        return {**states, "updates": self.ema.updates}

    def load_state_dict(self, saved: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self.ema.updates = saved["updates"]


def progress_bar(title: str, disable: bool) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    note = TextColumn("{task.description}")
    return Progress(TextColumn(title), *columns, note, disable=disable)
