"""Train: YOLOX on a CPU, one GPU or several, with one loop on Lightning Fabric.

In:   data/split/train.json   what is trained on
      data/split/val.json     judges every `train.eval_interval` epochs; the best weights are kept
      data/dataset            the images
      models/pretrained.pth   where it starts, unless `train.pretrained` says otherwise
Out:  models/yolox.pth        {"model": state dict, "architecture", "labels", "input_hw"}
      metrics/train           curves of losses, learning rate and AP

Run:  python -m stages.train data/split/train.json data/split/val.json data/dataset \
          models/pretrained.pth models/yolox.pth metrics/train
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dvclive import Live
from lightning_fabric import Fabric

from stages.common.cli import run_stage
from stages.common.coco import labels_of, read_coco
from stages.common.params import load_params
from stages.common.yolox_model import start_from
from stages.training.loop import Loop
from stages.training.samples import Frames
from stages.training.setup import save, start_fabric, yolox_config


def main(train: Path, val: Path, dataset: Path, bundled: Path, out: Path, curves: Path) -> None:
    """Trains the detector and keeps the weights that were best on the val list."""
    params = load_params()
    train_coco, val_coco = read_coco(train, boxes_needed=True), read_coco(val, boxes_needed=True)
    labels = labels_of(train_coco)
    fabric = start_fabric(params.train)
    config = yolox_config(params.model, params.train, len(labels))
    if params.train.pretrained != "none":
        given = params.train.pretrained
        start = bundled if given == "bundled" else Path(given)
        say_what_is_new(start_from(config.model, start))
    frames = Frames(train_coco, dataset / "images", params.model.input_hw)
    loop = Loop(fabric, config, frames, params.train)
    with curve_log(fabric, curves) as log:
        state = loop.run(log, val_coco, dataset / "images", params.evaluate)
    if fabric.is_global_zero:
        save(out, state, params.model, labels)


@contextmanager
def curve_log(fabric: Fabric, folder: Path) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Writes each epoch's figures as curves; only the first of several processes does."""
    if not fabric.is_global_zero:
        yield lambda epoch, figures: None
        return
    with Live(str(folder), dvcyaml=None, report=None, save_dvc_exp=False) as live:

        def log(epoch: int, figures: dict[str, float]) -> None:
            live.step = epoch
            for name, value in figures.items():
                live.log_metric(name, round(value, 6))

        yield log
    # DVCLive's summary of the last epoch: seven rows of losses in every `dvc metrics diff`.
    (folder / "metrics.json").unlink()


def say_what_is_new(layers: list[str]) -> None:
    if layers:
        print(f"the pretrained weights have other classes; new: {', '.join(layers)}")


if __name__ == "__main__":
    run_stage(main)
