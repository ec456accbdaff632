"""The training loop: forward, backward, EMA, evaluation; nothing in it knows the device."""

import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from lightning_fabric import Fabric
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from yolox.config import YoloxConfig
from yolox.utils import ModelEMA

from detector.detector import detect
from stages.common.coco import read_image
from stages.common.errors import Refusal
from stages.common.params import Evaluate, Train
from stages.common.score import accuracy, coco_rows, score
from stages.common.yolox_model import TorchBackend
from stages.training.samples import Frames, sample_loader, steps_per_epoch

RESIZE_EVERY = 10  # steps between two input sizes, as in YOLOX
Log = Callable[[int, dict[str, float]], None]
LOSSES = ("total_loss", "iou_loss", "conf_loss", "cls_loss", "l1_loss")


class Loop:
    """One training run.

    Args:
        fabric: launched; knows devices, processes and precision.
        config: YOLOX's configuration with its model built.
        frames: the training frames.
        params: the section `train`.
    """

    def __init__(self, fabric: Fabric, config: YoloxConfig, frames: Frames, params: Train):
        self.fabric, self.config, self.frames, self.params = fabric, config, frames, params
        self.steps_per_epoch = steps_per_epoch(len(frames), params.batch_size)
        self.steps = self.steps_per_epoch * params.max_epoch
        model = config.model.to(memory_format=torch.channels_last)
        optimizer = config.get_optimizer(params.batch_size)
        self.head = model.head
        self.averaged = ModelEMA(model)
        self.averaged.decay = lambda updates: ema_decay(updates, self.steps)
        self.averaged.ema.to(fabric.device)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        lr = params.basic_lr_per_img * params.batch_size
        self.schedule = config.get_lr_scheduler(lr, self.steps_per_epoch)

    def run(self, log: Log, val_coco: dict, images_dir: Path, judge: Evaluate) -> dict:
        """Trains all epochs.

        Args:
            log: takes the number of an epoch and its figures by name.
            val_coco: the images that choose the best weights.
            images_dir: the folder of the images.
            judge: confidence and NMS overlap of the evaluation.

        Returns:
            The state dict with the best AP on the val list.

        Raises:
            Refusal: the loss is not a number any more.
        """
        best_ap, best_epoch, best = -1.0, 0, {}
        started = time.perf_counter()
        rank, world_size = self.fabric.global_rank, self.fabric.world_size
        batches = iter(sample_loader(self.frames, self.params, rank, world_size))
        with progress_bar(disable=not self.fabric.is_global_zero) as bar:
            task = bar.add_task("training", total=self.steps, note="")
            for epoch in range(1, self.params.max_epoch + 1):
                figures = self.train_epoch(epoch, batches, lambda: bar.update(task, advance=1))
                if not self.fabric.is_global_zero:
                    continue
                note = f"epoch {epoch}/{self.params.max_epoch} loss {figures['loss/total']:.2f}"
                if self.judged(epoch):
                    ap, ap50 = self.evaluate(val_coco, images_dir, judge)
                    figures |= {"val/AP": ap, "val/AP50": ap50}
                    bar.console.print(f"{note} AP {ap:.3f} AP50 {ap50:.3f}")
                    if ap > best_ap:
                        best_ap, best_epoch, best = ap, epoch, self.snapshot()
                bar.update(task, note=f"{note} best AP {max(best_ap, 0):.3f}")
                log(epoch, figures)
        seconds = time.perf_counter() - started
        speed = self.steps * self.params.batch_size / seconds
        self.fabric.print(
            f"trained {seconds:.0f} s, {speed:.1f} images/s, best AP {best_ap:.3f} "
            f"at epoch {best_epoch}"
        )
        return best

    def train_epoch(
        self, epoch: int, batches: Iterator, advance: Callable[[], None]
    ) -> dict[str, float]:
        """All steps of an epoch; returns its mean losses and last learning rate by name."""
        total = dict.fromkeys(LOSSES, 0.0)
        for number in range(self.steps_per_epoch):
            step = (epoch - 1) * self.steps_per_epoch + number
            losses = self.step(step, epoch, *next(batches))
            total = {name: total[name] + losses[name] for name in LOSSES}
            advance()
        means = {
            f"loss/{name.removesuffix('_loss')}": value / self.steps_per_epoch
            for name, value in total.items()
        }
        return {**means, "lr": self.optimizer.param_groups[0]["lr"]}

    def step(self, step: int, epoch: int, images, targets, indices) -> dict[str, float]:
        """One batch: sets the learning rate, updates weights and their average."""
        self.head.use_l1 = epoch > self.params.max_epoch - self.params.no_aug_epochs
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.update_lr(step + 1)
        size = step_hw(self.config.input_size, self.params, step)
        images, targets = self.config.preprocess(images, targets, size)
        images = images.to(self.fabric.device, memory_format=torch.channels_last)
        losses = self.forward(images, targets.to(self.fabric.device))
        values = {name: float(torch.as_tensor(losses[name]).detach()) for name in LOSSES}
        if not math.isfinite(values["total_loss"]):
            names = ", ".join(self.frames.paths[index].name for index in indices)
            raise Refusal(
                f"the loss is {values['total_loss']} in epoch {epoch} on {names}; lower "
                "train.basic_lr_per_img or look at these images' boxes"
            )
        self.fabric.backward(losses["total_loss"])
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
            return dict.fromkeys(LOSSES, torch.tensor(math.nan))

    def judged(self, epoch: int) -> bool:
        return epoch % self.params.eval_interval == 0 or epoch == self.params.max_epoch

    def candidate(self) -> torch.nn.Module:
        return self.averaged.ema if self.params.ema else self.config.model

    def snapshot(self) -> dict:
        return {name: value.clone() for name, value in self.candidate().state_dict().items()}

    def evaluate(self, coco: dict, images_dir: Path, judge: Evaluate) -> tuple[float, float]:
        """AP and AP50 on the val list, by the code that `evaluate` runs."""
        model = self.candidate().eval()
        model.head.decode_in_inference = False
        backend = TorchBackend(model, [], self.config.input_size)
        rows = []
        for image in coco["images"]:
            image_bgr = read_image(images_dir / image["file_name"])
            rows += coco_rows(
                image["id"], *detect(backend, image_bgr, judge.confidence, judge.nms_iou)
            )
        self.config.model.train()
        figures = accuracy(coco, score(coco, rows))
        return figures["AP"], figures["AP50"]


def ema_decay(updates: int, steps: int) -> float:
    """How much of the average stays at an update.

    YOLOX averages over 5000 updates after a ramp of 2000, which a run of a few hundred steps
    never gets through; both shrink to a twentieth of the run where that is shorter.
    """
    window, ramp = min(5000, steps / 20), min(2000, steps / 20)
    return max(0.0, 1 - 1 / max(window, 1)) * (1 - math.exp(-updates / max(ramp, 1)))


def step_hw(input_hw: tuple[int, int], params: Train, step: int) -> tuple[int, int]:
    """The input size of a step: a new one every few steps, aspect kept, multiples of 32."""
    draws = random.Random(params.seed * 1_000_003 + step // RESIZE_EVERY)
    rows = input_hw[0] // 32
    new_rows = max(1, rows + draws.randint(-params.multiscale_range, params.multiscale_range))
    return new_rows * 32, max(1, round(input_hw[1] / 32 * new_rows / rows)) * 32


def progress_bar(disable: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        disable=disable,
    )
