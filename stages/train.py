"""Train: YOLOX on a CPU, one GPU or several, with one loop on Lightning Fabric.

In:   data/split/train.json   the training images
      data/dataset            the images
      models/pretrained.pth   the weights to start from, unless `train.pretrained` names others
      --val                   data/split/val.json, evaluated every `train.eval_interval` epochs to
                              choose the weights; trained on where `train.images` is `all`
Out:  models/yolox.pth        the best weights on the val images, those of the last epoch where no
                              val images choose: {"model": state dict, "architecture", "labels",
                              "input_hw"}
      --last                  models/last.pth, the weights of the last epoch
      --curves                metrics/train, curves of losses, learning rate and AP

An interrupted run resumes after its last whole epoch and ends with the same weights.

Run:  python -m stages.train data/split/train.json data/dataset models/pretrained.pth \
          models/yolox.pth --val data/split/val.json --last models/last.pth --curves metrics/train
      torchrun --nnodes 2 ... -m stages.train ...   on several machines, with train.num_nodes: 2
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dvclive import Live
from lightning_fabric import Fabric

from stages.common.coco import labels_of, read_coco
from stages.common.params import Model, Params, Train, load_params
from stages.common.run import run_stage
from stages.yolox.checkpoint import checkpoint_path
from stages.yolox.dataset import FrameDataset
from stages.yolox.devices import start_fabric
from stages.yolox.model import build_model, start_from
from stages.yolox.schedule import with_epochs
from stages.yolox.trainer import Trainer
from stages.yolox.weights import Weights, load_weights, official_weights


def main(
    train: Path,
    dataset: Path,
    bundled: Path,
    out: Path,
    *,
    val: Path | None = None,
    last: Path | None = None,
    curves: Path | None = None,
    seed: str = "0",
) -> None:
    """Train the detector; --val chooses the weights, --seed is added to train.seed."""
    params = load_params()
    train_coco, val_coco = lists(train, val, params.train.images)
    labels = labels_of(train_coco)
    fabric = start_fabric(params.train)
    model = build_model(params.model.architecture(), len(labels))
    with fabric.rank_zero_first(local=True):
        start = start_file(params, bundled)
    if start and (new := start_from(model, start)):
        fabric.print(f"the pretrained weights have other classes; new: {', '.join(new)}")
    recipe = recipe_of(params.train, int(seed), len(train_coco["images"]), start == bundled)
    frames = FrameDataset(train_coco, dataset / "images", params.model.input_hw, recipe)
    values = {name: getattr(params, name).model_dump() for name in ("model", "evaluate")}
    values |= {"train": recipe.model_dump(), "processes": fabric.world_size}
    values |= {"device": str(fabric.device), "chosen": bool(val_coco)}
    files = [path for path in (train, val, start) if path]
    checkpoint = checkpoint_path(out, values, files)
    trainer = Trainer(fabric, model, frames, recipe, val_coco, params.evaluate, checkpoint)
    with curve_log(fabric, curves) as log:
        state = trainer.run(log, *fold_of(train))
    if fabric.is_global_zero:
        described = params.model.architecture(), labels, params.model.input_hw
        weights = trainer.eval_model.state_dict()
        Weights(state.best or weights, *described).save(out)
        if last:
            Weights(weights, *described).save(last)
        checkpoint.unlink(missing_ok=True)


def lists(train: Path, val: Path | None, images: str) -> tuple[dict, dict | None]:
    """Return the COCO of the images to train on, and of those that choose the weights.

    Args:
        train, val: the lists.
        images: `train.images`; where it is `all`, the val images are trained on and none choose.
    """
    train_coco = read_coco(train, boxes_needed=True)
    if val is None:
        return train_coco, None
    val_coco = read_coco(val, boxes_needed=True)
    if images == "train":
        return train_coco, val_coco
    both = {key: train_coco[key] + val_coco[key] for key in ("images", "annotations")}
    return {**train_coco, **both}, None


def fold_of(train: Path) -> tuple[int, int]:
    """Return which fold of how many data/folds/lists/<fold>/train.json is; 0 of 1 for no fold."""
    if not train.parent.name.isdecimal():
        return 0, 1
    return int(train.parent.name), len(list(train.parent.parent.glob("*/train.json")))


def recipe_of(params: Train, seed: int, images: int, bundled: bool) -> Train:
    """Return the recipe with its number of epochs, and this seed added to its own."""
    recipe = with_epochs(params, images, bundled)
    return recipe.model_copy(update={"seed": recipe.seed + seed})


def start_file(params: Params, bundled: Path) -> Path | None:
    """Return the weights that `train.pretrained` names; None for random ones.

    `auto` names the bundled ones where they have the shape of the model, whatever their activation:
    30 images are too few for random weights.

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
    """Return True if weights that `pretrain` wrote have the depth and width of the model."""
    architecture = model.architecture()
    given = load_weights(weights).architecture
    return all(given[name] == architecture[name] for name in ("depth", "width", "depthwise"))


@contextmanager
def curve_log(
    fabric: Fabric, folder: Path | None
) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Yield a function that adds an epoch's metrics to the curves, in the first process only.

    Args:
        folder: of the curves; None for no curves.
    """
    if folder is None or not fabric.is_global_zero:
        yield lambda epoch, metrics: None
        return
    with Live(str(folder), dvcyaml=None, report=None, save_dvc_exp=False) as live:

        def log(epoch: int, metrics: dict[str, float]) -> None:
            live.step = epoch
            for name, value in metrics.items():
                live.log_metric(name, round(value, 6))

        yield log
    # DVCLive's summary of the last epoch: seven rows of losses in every `dvc metrics diff`.
    (folder / "metrics.json").unlink()


if __name__ == "__main__":
    run_stage(main)
