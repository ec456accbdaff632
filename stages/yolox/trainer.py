"""The training loop: forward, backward, EMA, evaluation; nothing in it knows the device.

Several processes train as one would with the same global batch: each loss is weighted by its
process's share of the assigned anchors, which YOLOX divides by. Batch-norm statistics are those
of each process's own part of the batch, as in YOLOX.
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from lightning_fabric import Fabric
from rich.progress import Progress, TaskID
from yolox.config import YoloxConfig
from yolox.utils import ModelEMA

from detector.core.frame_detector import FrameDetector
from stages.common.coco_eval import accuracy, detect_images, score
from stages.common.params import Evaluate, Train
from stages.common.run import UserError
from stages.yolox.checkpoint import Checkpoint
from stages.yolox.dataset import Frames, sample_loader
from stages.yolox.model import TorchBackend
from stages.yolox.schedule import ema_decay, step_hw, steps_per_epoch
from stages.yolox.setup import optimizer_of
from stages.yolox.train_state import Record, progress_bar

Log = Callable[[int, dict[str, float]], None]
LOSSES = ("total_loss", "iou_loss", "conf_loss", "cls_loss", "l1_loss")


class Loop:
    """One training run.

    Args:
        fabric: launched; knows devices, processes and precision.
        config: YOLOX's configuration with its model built.
        frames: the training frames.
        params: the section `train`, with a number of epochs.
        checkpoint: where the run is kept after every epoch.
    """

    def __init__(
        self,
        fabric: Fabric,
        config: YoloxConfig,
        frames: Frames,
        params: Train,
        checkpoint: Checkpoint,
    ):
        self.fabric, self.config, self.frames, self.params = fabric, config, frames, params
        self.checkpoint = checkpoint
        self.steps_per_epoch = steps_per_epoch(len(frames), params.batch_size)
        steps = self.steps_per_epoch * params.max_epoch
        model = config.model.to(memory_format=torch.channels_last)
        optimizer = optimizer_of(config, params)
        self.head = model.head
        self.averaged = ModelEMA(model)
        self.averaged.decay = lambda updates: ema_decay(updates, steps)
        self.averaged.ema.to(fabric.device)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        lr = params.basic_lr_per_img * params.batch_size
        self.schedule = config.get_lr_scheduler(lr, self.steps_per_epoch)

    def run(self, log: Log, val_coco: dict, images_dir: Path, judge: Evaluate) -> Record:
        """Trains all epochs, from the last one that was finished.

        Args:
            log: takes the number of an epoch and its figures by name.
            val_coco: the images that choose the best weights.
            images_dir: the folder of the images.
            judge: confidence and NMS overlap of the evaluation.

        Returns:
            The record of the run, with the best and the last weights in the first process.

        Raises:
            UserError: the loss is not a number any more.
        """
        record = self.resumed(log)
        epochs = range(record.epoch + 1, self.params.max_epoch + 1)
        rank, world_size = self.fabric.global_rank, self.fabric.world_size
        batches = iter(sample_loader(self.frames, self.params, rank, world_size, record.epoch))
        with progress_bar(disable=not self.fabric.is_global_zero) as bar:
            task = bar.add_task(
                "training",
                total=self.params.max_epoch * self.steps_per_epoch,
                completed=record.epoch * self.steps_per_epoch,
                note="",
            )
            for epoch in epochs:
                if record.stopped:
                    break
                began = time.perf_counter()
                figures, waited_s = self.train_epoch(
                    epoch, batches, lambda: bar.update(task, advance=1)
                )
                if self.fabric.is_global_zero:
                    if epoch % self.params.eval_interval == 0 or epoch == self.params.max_epoch:
                        figures |= self.evaluate(val_coco, images_dir, judge)
                    record.add(epoch, figures, self.snapshot)
                    record.spend(time.perf_counter() - began, waited_s)
                    record.stop_if_idle(self.params.patience)
                    log(epoch, figures)
                    self.tell(record, bar, task)
                    self.checkpoint.save(self.state(record))
                record.stopped = self.fabric.broadcast(record.stopped)
        record.last = self.snapshot()
        self.fabric.print(record.summary(self.steps_per_epoch * self.params.batch_size))
        return record

    def tell(self, record: Record, bar: Progress, task: TaskID) -> None:
        """The last epoch beside the bar, and as a line where it was judged."""
        note = record.note(self.params.max_epoch)
        bar.update(task, note=note)
        if "val/AP" in record.history[-1]:
            bar.console.print(note)

    def resumed(self, log: Log) -> Record:
        """The record of a killed run, with its weights loaded, or a new one."""
        state = self.checkpoint.load() if self.fabric.is_global_zero else None
        state = self.fabric.broadcast(state)
        if state is None:
            return Record()
        self.model.module.load_state_dict(state["model"])
        self.averaged.ema.load_state_dict(state["average"])
        self.averaged.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        record = Record(**state["record"])
        for epoch, figures in enumerate(record.history, 1):
            log(epoch, figures)
        self.fabric.print(f"goes on after epoch {record.epoch} of a run that was cut short")
        return record

    def state(self, record: Record) -> dict:
        """All that the next epoch depends on, as tensors and plain values."""
        return {
            "model": self.model.module.state_dict(),
            "average": self.averaged.ema.state_dict(),
            "updates": self.averaged.updates,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "record": record.plain(),
        }

    def train_epoch(
        self, epoch: int, batches: Iterator, advance: Callable[[], None]
    ) -> tuple[dict[str, float], float]:
        """All steps of an epoch.

        Returns:
            Its mean losses and last learning rate by name, and the seconds it waited for data.
        """
        total, waited_s = dict.fromkeys(LOSSES, 0.0), 0.0
        for number in range(self.steps_per_epoch):
            step = (epoch - 1) * self.steps_per_epoch + number
            asked = time.perf_counter()
            batch = next(batches)
            waited_s += time.perf_counter() - asked
            losses = self.step(step, epoch, *batch)
            total = {name: total[name] + losses[name] for name in LOSSES}
            advance()
        means = {
            f"loss/{name.removesuffix('_loss')}": value / self.steps_per_epoch
            for name, value in total.items()
        }
        return {**means, "lr": self.optimizer.param_groups[0]["lr"]}, waited_s

    def step(self, step: int, epoch: int, images, targets, indices) -> dict[str, float]:
        """One batch: sets the learning rate, updates weights and their average."""
        self.head.use_l1 = epoch > self.params.max_epoch - self.params.no_aug_epochs
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.update_lr(step + 1)
        size = step_hw(self.config.input_size, self.params, step)
        images, targets = self.config.preprocess(images, targets, size)
        images = images.to(self.fabric.device, memory_format=torch.channels_last)
        losses = self.forward(images, targets.to(self.fabric.device))
        share = self.share(losses, targets)
        values = self.mean_losses(losses, share)
        if not math.isfinite(values["total_loss"]):
            names = ", ".join(self.frames.paths[index].name for index in indices)
            raise UserError(
                f"the loss is {values['total_loss']} in epoch {epoch} on {names}; lower "
                "train.basic_lr_per_img or look at these images' boxes"
            )
        self.fabric.backward(losses["total_loss"] * share)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.averaged.update(self.model.module)
        return values

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """The losses of a batch; NaN where the weights are no numbers any more."""
        try:
            return self.model(images, targets)
        except RuntimeError:
            # YOLOX's label assignment asserts that scores are numbers, before there is a loss.
            if all(weight.isfinite().all() for weight in self.model.parameters()):
                raise
            return dict.fromkeys((*LOSSES, "num_fg"), torch.tensor(math.nan))

    def share(self, losses: dict, targets: torch.Tensor) -> float:
        """The weight of this process's loss in the mean over processes, 1 for one process.

        YOLOX divides a loss by the anchors assigned to the batch's boxes, and tells their number
        as anchors a box. Each process knows its own; the global batch has their sum.
        """
        if self.fabric.world_size == 1:
            return 1.0
        boxes = max(int((targets.sum(2) > 0).sum()), 1)
        anchors = torch.as_tensor(losses["num_fg"], dtype=torch.float64) * boxes
        return float(anchors / self.fabric.all_reduce(anchors, reduce_op="mean"))

    def mean_losses(self, losses: dict, share: float) -> dict[str, float]:
        """The losses of the global batch."""
        values = torch.tensor([float(torch.as_tensor(losses[n]).detach()) * share for n in LOSSES])
        if self.fabric.world_size > 1:
            values = self.fabric.all_reduce(values, reduce_op="mean")
        return dict(zip(LOSSES, values.tolist(), strict=True))

    def candidate(self) -> torch.nn.Module:
        return self.averaged.ema if self.params.ema else self.config.model

    def snapshot(self) -> dict:
        return {name: value.clone() for name, value in self.candidate().state_dict().items()}

    def evaluate(self, coco: dict, images_dir: Path, judge: Evaluate) -> dict[str, float]:
        """AP and AP50 on the val list, by the code that `evaluate` runs."""
        model = self.candidate().eval()
        model.head.decode_in_inference = False
        labels = [category["name"] for category in coco["categories"]]
        backend = TorchBackend(model, labels, self.config.input_size)
        detector = FrameDetector(backend, judge.confidence, judge.nms_iou)
        rows = detect_images(detector, coco["images"], images_dir)
        self.config.model.train()
        figures = accuracy(coco, score(coco, rows))
        return {"val/AP": figures["AP"], "val/AP50": figures["AP50"]}
