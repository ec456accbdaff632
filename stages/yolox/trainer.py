"""The training loop: forward, backward, EMA, evaluation, on any device that Fabric knows.

Several processes train as one would with the same global batch: each loss is weighted by its
process's share of the assigned anchors, which YOLOX divides by. Batch-norm statistics are those
of each process's own part of the batch, as in YOLOX.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from statistics import median

import torch
from lightning_fabric import Fabric
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from yolox.config import YoloxConfig
from yolox.utils import LRScheduler, ModelEMA

from detector.core.frame_detector import FrameDetector
from stages.common.coco_eval import accuracy, detect_images, score
from stages.common.params import Evaluate, Recipe
from stages.common.run import UserError
from stages.yolox.checkpoint import Checkpoint, TrainState, clone
from stages.yolox.dataset import FrameDataset, sample_loader
from stages.yolox.model import TorchBackend
from stages.yolox.setup import ema_decay, epochs_within, optimizer_of, shortened, step_hw

Log = Callable[[int, dict[str, float]], None]
LOSSES = ("total_loss", "iou_loss", "conf_loss", "cls_loss", "l1_loss")
TIMED_STEPS = 7  # of the measurement for `train.max_minutes`
BUDGET_SHARE = 0.95  # of `train.max_minutes` that is planned with: steps vary


class Trainer:
    """One training run.

    Args:
        fabric: launched; knows devices, processes and precision.
        config: YOLOX's configuration with its model built.
        dataset: the training frames.
        params: the section `train`, with a number of epochs.
        val_coco: the images that choose the best weights, in the folder of the training images.
        evaluation: confidence and NMS overlap of the evaluation.
        checkpoint: where the run is kept after every epoch.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: YoloxConfig,
        dataset: FrameDataset,
        params: Recipe,
        val_coco: dict,
        evaluation: Evaluate,
        checkpoint: Checkpoint,
    ):
        self.fabric, self.config, self.dataset = fabric, config, dataset
        self.val_coco, self.evaluation, self.checkpoint = val_coco, evaluation, checkpoint
        self.steps_per_epoch = dataset.steps_per_epoch(params.batch_size)
        model = config.model.to(memory_format=torch.channels_last)
        for module in model.modules():
            if isinstance(module, torch.nn.SiLU):
                module.inplace = False  # autograd would copy the input first
        optimizer = optimizer_of(config, params)
        self.head = model.head
        self.ema = ModelEMA(model)
        self.ema.ema.to(fabric.device)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        self.schedule(params)

    def schedule(self, params: Recipe) -> None:
        """Fit learning rate, EMA and augmentation to the epochs of `params`."""
        self.params = params
        steps = self.steps_per_epoch * params.max_epoch
        self.ema.decay = lambda updates: ema_decay(updates, steps)
        self.learning_rate = LRScheduler(
            params.scheduler,
            params.basic_lr_per_img * params.batch_size,
            self.steps_per_epoch,
            params.max_epoch,
            warmup_epochs=params.warmup_epochs,
            warmup_lr_start=params.warmup_lr,
            no_aug_epochs=params.no_aug_epochs,
            min_lr_ratio=params.min_lr_ratio,
        )

    def run(self, log: Log) -> TrainState:
        """Train all remaining epochs; resume after the last finished one.

        Args:
            log: takes the number of an epoch and its metrics by name.

        Returns:
            The state at the end, with the best and the last weights in the first process.

        Raises:
            UserError: the loss is not finite any more.
        """
        state = self.resume(log) or TrainState(self.fit_to_budget())
        with progress_bar(disable=not self.fabric.is_global_zero) as bar:
            total = state.max_epoch * self.steps_per_epoch
            done = state.epoch * self.steps_per_epoch
            task = bar.add_task("training", total=total, completed=done, note="")
            batches = self.batches(state.epoch)
            for epoch in range(state.epoch + 1, state.max_epoch + 1):
                if state.stopped:
                    break
                started = time.perf_counter()
                metrics, waited_s = self.train_epoch(
                    epoch, batches, lambda: bar.update(task, advance=1)
                )
                if self.fabric.is_global_zero:
                    if epoch % self.params.eval_interval == 0 or epoch == state.max_epoch:
                        metrics |= self.evaluate()
                    state.add(metrics, self.eval_model().state_dict(), self.params.patience)
                    state.seconds += time.perf_counter() - started
                    state.waited_s += waited_s
                    log(epoch, metrics)
                    bar.update(task, note=state.format_epoch())
                    if "val/AP" in metrics:
                        bar.console.print(state.format_epoch())
                    self.checkpoint.save(self.state_dict(state))
                state.stopped = self.fabric.broadcast(state.stopped)
        state.last = clone(self.eval_model().state_dict())
        images_per_epoch = self.steps_per_epoch * self.params.batch_size
        self.fabric.print(state.format_summary(images_per_epoch))
        return state

    def batches(self, done_epochs: int = 0) -> Iterator:
        rank, world_size = self.fabric.global_rank, self.fabric.world_size
        return iter(sample_loader(self.dataset, self.params, rank, world_size, done_epochs))

    def resume(self, log: Log) -> TrainState | None:
        """Load the checkpoint of an interrupted run, if there is one."""
        saved = self.checkpoint.load() if self.fabric.is_global_zero else None
        saved = self.fabric.broadcast(saved)
        if saved is None:
            return None
        state = TrainState(**saved["progress"])
        self.schedule(shortened(self.params, state.max_epoch))
        self.load_state_dict(saved)
        for epoch, metrics in enumerate(state.history, 1):
            log(epoch, metrics)
        self.fabric.print(f"goes on after epoch {state.epoch} of an interrupted run")
        return state

    def state_dict(self, state: TrainState | None = None) -> dict:
        """Collect all that the next epoch depends on, as tensors and plain values."""
        return {
            "model": self.model.module.state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "progress": asdict(state) if state else None,
        }

    def load_state_dict(self, saved: dict) -> None:
        self.model.module.load_state_dict(saved["model"])
        self.ema.ema.load_state_dict(saved["ema"])
        self.ema.updates = saved["updates"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.fabric.strategy.precision.load_state_dict(saved["precision"])

    def fit_to_budget(self) -> int:
        """Lower the number of epochs to what `train.max_minutes` allows, at this machine's speed.

        Times a few steps and an evaluation, then restores the weights. The time that this takes
        counts.

        Returns:
            The number of epochs, the same in all processes.
        """
        if self.params.max_minutes is None:
            return self.params.max_epoch
        started = time.perf_counter()
        saved = copy.deepcopy(self.state_dict())
        batches, times = self.batches(), []
        for step in range(min(TIMED_STEPS, self.steps_per_epoch * self.params.max_epoch)):
            times.append(-time.perf_counter())
            self.step(step, 1, *next(batches))
            times[-1] += time.perf_counter()
        del batches  # ends the workers
        step_s = median(times)  # the first steps are slower
        evaluation_s = -time.perf_counter()
        if self.fabric.is_global_zero:
            self.evaluate()
        evaluation_s += time.perf_counter()
        self.load_state_dict(saved)
        left_s = 60 * self.params.max_minutes * BUDGET_SHARE - (time.perf_counter() - started)
        epoch_s = step_s * self.steps_per_epoch
        epochs = self.fabric.broadcast(epochs_within(left_s, epoch_s, evaluation_s, self.params))
        self.fabric.print(
            f"train.max_minutes {self.params.max_minutes:g}: {epochs} of {self.params.max_epoch} "
            f"epochs, at {step_s:.2f} s a step and {evaluation_s:.1f} s an evaluation"
        )
        self.schedule(shortened(self.params, epochs))
        return epochs

    def train_epoch(
        self, epoch: int, batches: Iterator, advance: Callable[[], None]
    ) -> tuple[dict[str, float], float]:
        """Take all steps of an epoch.

        Returns:
            Its mean losses and last learning rate by name, and the seconds it waited for data.
        """
        total, waited_s = dict.fromkeys(LOSSES, 0.0), 0.0
        for number in range(self.steps_per_epoch):
            asked = time.perf_counter()
            batch = next(batches)
            waited_s += time.perf_counter() - asked
            losses = self.step((epoch - 1) * self.steps_per_epoch + number, epoch, *batch)
            total = {name: total[name] + losses[name] for name in LOSSES}
            advance()
        means = {
            f"loss/{name.removesuffix('_loss')}": value / self.steps_per_epoch
            for name, value in total.items()
        }
        return {**means, "lr": self.optimizer.param_groups[0]["lr"]}, waited_s

    def step(self, step: int, epoch: int, images, targets, indices) -> dict[str, float]:
        """Set the learning rate, train on one batch, update the EMA; return the losses."""
        self.head.use_l1 = epoch > self.params.max_epoch - self.params.no_aug_epochs
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate.update_lr(step + 1)
        size = step_hw(self.config.input_size, self.params, step)
        images, targets = self.config.preprocess(images, targets, size)
        images = images.to(self.fabric.device, memory_format=torch.channels_last)
        losses = self.forward(images, targets.to(self.fabric.device))
        share = self.share(losses, targets)
        values = self.mean_losses(losses, share)
        if not math.isfinite(values["total_loss"]):
            names = ", ".join(self.dataset.paths[index].name for index in indices)
            raise UserError(
                f"the loss is {values['total_loss']} in epoch {epoch} on {names}; lower "
                "train.basic_lr_per_img or look at these images' boxes"
            )
        self.fabric.backward(losses["total_loss"] * share)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model.module)
        return values

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the losses of a batch; NaN where the weights are not finite any more."""
        try:
            return self.model(images, targets)
        except RuntimeError:
            # YOLOX's label assignment asserts that scores are numbers, before there is a loss.
            if all(weight.isfinite().all() for weight in self.model.parameters()):
                raise
            return dict.fromkeys((*LOSSES, "num_fg"), torch.tensor(math.nan))

    def share(self, losses: dict, targets: torch.Tensor) -> float:
        """Return the weight of this process's loss in the mean over processes, 1 for one process.

        YOLOX divides a loss by the anchors assigned to the batch's boxes, and returns their number
        as anchors per box. Each process knows its own; the global batch has their sum.
        """
        if self.fabric.world_size == 1:
            return 1.0
        boxes = max(int((targets.sum(2) > 0).sum()), 1)
        anchors = torch.as_tensor(losses["num_fg"], dtype=torch.float64) * boxes
        return float(anchors / self.fabric.all_reduce(anchors, reduce_op="mean"))

    def mean_losses(self, losses: dict, share: float) -> dict[str, float]:
        """Return the losses of the global batch."""
        values = torch.tensor([float(torch.as_tensor(losses[n]).detach()) * share for n in LOSSES])
        if self.fabric.world_size > 1:
            values = self.fabric.all_reduce(values, reduce_op="mean")
        return dict(zip(LOSSES, values.tolist(), strict=True))

    def eval_model(self) -> torch.nn.Module:
        return self.ema.ema if self.params.ema else self.config.model

    def evaluate(self) -> dict[str, float]:
        """Compute AP and AP50 on the val images, with the code that `evaluate` runs."""
        model = self.eval_model().eval()
        model.head.decode_in_inference = False
        labels = [category["name"] for category in self.val_coco["categories"]]
        backend = TorchBackend(model, labels, self.config.input_size)
        detector = FrameDetector(backend, self.evaluation.confidence, self.evaluation.nms_iou)
        rows = detect_images(detector, self.val_coco["images"], self.dataset.images_dir)
        self.config.model.train()
        metrics = accuracy(self.val_coco, score(self.val_coco, rows))
        return {"val/AP": metrics["AP"], "val/AP50": metrics["AP50"]}


def progress_bar(disable: bool) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    description, note = TextColumn("{task.description}"), TextColumn("{task.fields[note]}")
    return Progress(description, *columns, note, disable=disable)
