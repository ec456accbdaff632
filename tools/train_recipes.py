"""Compare settings of the stage `train` on a data set, each with several seeds.

    python -m tools.train_recipes EXPORT FOLDER [--recipes NAME ...] [--seeds 0 1 2]
        [--val PATTERN] [--judge EXPORT] [--set KEY=VALUE ...]

A recipe is params.yaml with some values changed; `--set` changes a value for all of them. A seed is
that of the split and of the training. `--val` replaces the split: images whose names contain this
regular expression are val images, all others are trained on. `--judge` names a second export: the
last weights of each run are evaluated on its images that the first one lacks, since ten val images
cannot rank recipes.

FOLDER keeps weights and results. A run that is there is not repeated, so a call continues where
another one ended, and two calls with other seeds may share it. Prints a table of all that it holds.
"""

import argparse
import csv
import re
from pathlib import Path
from statistics import mean

import yaml

from stages.common.coco import read_coco, subset
from stages.common.files import read_json, write_json
from tools.params_file import ROOT, run_stage, write_params

SGD = {"train.optimizer": "sgd", "train.weight_decay": 0.0005}
RECIPES = {
    "as in params.yaml": {},
    "SGD, learning rate per image 0.0003": {**SGD, "train.basic_lr_per_img": 0.0003},
    "SGD, 0.001": {**SGD, "train.basic_lr_per_img": 0.001},
    "AdamW, twice the learning rate": {"train.basic_lr_per_img": 0.00012},
    "AdamW, half the learning rate": {"train.basic_lr_per_img": 0.00003},
    "no warm-up": {"train.warmup_epochs": 0},
    "no mosaic": {"train.mosaic_prob": 0.0},
    "mosaic for all samples": {"train.mosaic_prob": 1.0},
    "mosaic closed for the last 20 epochs": {"train.no_aug_epochs": 20},
    "mosaic and mixup": {"train.enable_mixup": True, "train.mixup_prob": 0.5},
    "no rotation or shear": {"train.degrees": 0.0, "train.shear": 0.0},
    "no color jitter": {"train.hsv_prob": 0.0},
    "input 64 px up and down": {"train.multiscale_range": 2},
    "no average of weights": {"train.ema": False},
    "from bundled weights": {"train.pretrained": str(ROOT / "models/pretrained.pth")},
    "from random weights": {"train.pretrained": "none"},
}


def main() -> None:
    """Compare settings of training."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_recipes", description=main.__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--val", help="regular expression on the names of val images")
    parser.add_argument("--judge", type=Path, help="evaluate on a second export, too")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="settings")
    arguments = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in arguments.settings)
    base = {key: yaml.safe_load(value) for key, value in settings.items()}
    base["data.export"] = str(arguments.export.resolve())
    for seed in arguments.seeds:
        data = arguments.folder.resolve() / f"seed {seed}"
        prepare(data, {**base, "split.seed": seed}, arguments.val)
        for name in arguments.recipes:
            out = data / name
            if not (out / "result.json").exists():
                train(out, {**base, "train.seed": seed, **RECIPES[name]})
            if arguments.judge and not (out / "judged.json").exists():
                judge(out, arguments.judge.resolve(), base)
    print_table(arguments.folder)


def prepare(data: Path, changes: dict, val: str | None) -> None:
    """Ingest and split the export into a folder, unless that was done before."""
    if (data / "split/val.json").exists():
        return
    write_params(data, changes)
    run_stage(data, "ingest", "dataset")
    if val is None:
        run_stage(data, "split", "dataset/annotations.json", "split", "folds", "data.json")
        return
    coco = read_coco(data / "dataset/annotations.json")
    splits = {"train": [], "val": []}
    for image in coco["images"]:
        splits["val" if re.search(val, image["file_name"]) else "train"].append(image)
    for name, images in splits.items():
        write_json(data / f"split/{name}.json", subset(coco, images))


def train(out: Path, changes: dict) -> None:
    """Run the stage `train` once; its weights and result.json stay in `out`."""
    write_params(out, changes)
    run_stage(
        out, "train", "../split/train.json", "../dataset", ROOT / "models/pretrained.pth",
        "yolox.pth", "--val", "../split/val.json", "--last", "last.pth", "--curves", "curves",
    )  # fmt: skip
    aps, ap50s = (read_curve(out, name) for name in ("AP", "AP50"))
    best = max(range(len(aps)), key=aps.__getitem__)
    write_json(out / "result.json", {"best_AP": aps[best], "AP50": ap50s[best], "last_AP": aps[-1]})


def judge(out: Path, export: Path, base: dict) -> None:
    """Write AP of a run's last weights on another export as judged.json.

    Images whose names occur in the run's own export are left out.
    """
    data = out.parent
    others = data / "others.json"
    if not others.exists():
        write_params(data / "judge", {**base, "data.export": str(export)})
        run_stage(data / "judge", "ingest", "dataset")
        coco = read_coco(data / "judge/dataset/annotations.json")
        own = read_coco(data / "dataset/annotations.json")
        known = {image["file_name"] for image in own["images"]}
        unknown = [image for image in coco["images"] if image["file_name"] not in known]
        write_json(others, subset(coco, unknown))
    run_stage(
        out, "evaluate", "last.pth", others, data / "judge/dataset", "judged.json",
        "curves/judged.csv", "curves/judged_detections.json",
    )  # fmt: skip


def read_curve(out: Path, name: str) -> list[float]:
    """Read a curve that `train` wrote, in the order of its epochs."""
    with (out / f"curves/plots/metrics/val/{name}.tsv").open() as lines:
        return [float(row[name]) for row in csv.DictReader(lines, delimiter="\t")]


def print_table(folder: Path) -> None:
    """Print means over seeds, and the single values of the figures that decide."""
    print("| changed | best AP | last AP | last AP by seed | on other images | by seed |")
    print("| --- | ---: | ---: | --- | ---: | --- |")
    for name in RECIPES:
        runs = sorted(path.parent for path in folder.glob(f"seed */{name}/result.json"))
        if not runs:
            continue
        results = [read_json(run / "result.json") for run in runs]
        best, last = ([result[key] for result in results] for key in ("best_AP", "last_AP"))
        judged = [path for run in runs if (path := run / "judged.json").exists()]
        other = [read_json(path)["AP"] for path in judged]
        columns = [f"{mean(best):.3f}"]
        for values in (last, other):
            columns.append(f"{mean(values):.3f}" if values else "")
            columns.append(" ".join(f"{value:.3f}" for value in values))
        print(f"| {name} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main()
