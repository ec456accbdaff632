"""Train: YOLOX on a CPU, one GPU or several, with one loop on Lightning Fabric.

In:   data/split/train.json   what is trained on
      data/split/val.json     judges every `train.eval_interval` epochs; the best weights are kept
      data/dataset            the images
      models/pretrained.pth   where it starts, unless `train.pretrained` says otherwise
Out:  models/yolox.pth        the best weights on the val list:
                              {"model": state dict, "architecture", "labels", "input_hw"}
      models/last.pth         those at the end, the same way
      metrics/train           curves of losses, learning rate and AP

A run that was killed goes on from its last epoch, as if nothing had happened.

Run:  python -m stages.train data/split/train.json data/split/val.json data/dataset \
          models/pretrained.pth models/yolox.pth models/last.pth metrics/train
      torchrun --nnodes 2 ... -m stages.train ...   on several machines, with train.num_nodes: 2
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dvclive import Live
from lightning_fabric import Fabric

from stages.common.coco import labels_of, read_coco
from stages.common.params import Model, Params, load_params
from stages.common.run import run_stage
from stages.yolox.checkpoint import RESUME, Checkpoint, run_key
from stages.yolox.dataset import Frames
from stages.yolox.download import official_weights
from stages.yolox.model import start_from
from stages.yolox.schedule import with_epochs
from stages.yolox.setup import save, start_fabric, yolox_config
from stages.yolox.trainer import Loop
from stages.yolox.weights import load_weights


def main(
    train: Path, val: Path, dataset: Path, bundled: Path, out: Path, last: Path, curves: Path
) -> None:
    """Trains the detector and keeps the weights that were best on the val list."""
    params = load_params()
    train_coco, val_coco = read_coco(train, boxes_needed=True), read_coco(val, boxes_needed=True)
    labels = labels_of(train_coco)
    settings = with_epochs(params.train, len(train_coco["images"]))
    fabric = start_fabric(settings)
    config = yolox_config(params.model, settings, len(labels))
    with fabric.rank_zero_first(local=True):
        start = start_file(params, bundled)
    if start and (new := start_from(config.model, start)):
        fabric.print(f"the pretrained weights have other classes; new: {', '.join(new)}")
    frames = Frames(train_coco, dataset / "images", params.model.input_hw, settings.cache_gb)
    checkpoint = Checkpoint(out.parent / RESUME, key_of(params, fabric, train, val, start))
    loop = Loop(fabric, config, frames, settings, checkpoint)
    with curve_log(fabric, curves) as log:
        record = loop.run(log, val_coco, dataset / "images", params.evaluate)
    if fabric.is_global_zero:
        save(out, record.best, params.model, labels)
        save(last, record.last, params.model, labels)
        checkpoint.delete()


def start_file(params: Params, bundled: Path) -> Path | None:
    """The weights that `train.pretrained` names; None for random ones.

    `auto` are the bundled ones where they have the shape of the model, whatever their activation:
    30 images teach nothing to a network that starts from nothing.

    Raises:
        UserError: they cannot be downloaded.
    """
    given = params.train.pretrained
    if given == "auto":
        given = "bundled" if has_shape_of(bundled, params.model) else "coco"
    if given == "coco":
        return official_weights(params.model.name)
    return {"none": None, "bundled": bundled}.get(given, Path(given))


def has_shape_of(weights: Path, model: Model) -> bool:
    """Whether these weights, written by `pretrain`, are of the model's depth and width."""
    architecture = model.architecture()
    given = load_weights(weights).architecture
    return all(given[name] == architecture[name] for name in ("depth", "width", "depthwise"))


def key_of(params: Params, fabric: Fabric, train: Path, val: Path, start: Path | None) -> str:
    """The name of this run among the checkpoints."""
    sections = {name: getattr(params, name).model_dump() for name in ("model", "train", "evaluate")}
    machine = {"processes": fabric.world_size, "device": str(fabric.device)}
    return run_key({**sections, **machine}, [train, val, *([start] if start else [])])


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


if __name__ == "__main__":
    run_stage(main)
