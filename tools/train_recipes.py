"""Which recipe trains best on a data set: every recipe with every seed, judged on val.

    python -m tools.train_recipes EXPORT FOLDER [--recipes NAME ...] [--seeds 0 1 2]
        [--val PATTERN] [--judge EXPORT] [--set KEY=VALUE ...]

Each recipe is the stage `train` with params.yaml, one thing changed, as a process of its own. A
seed is that of the split and of the training. `--val` takes a regular expression instead of the
split: images whose name has it judge, all others are trained on. `--judge` takes a second export:
its images that the first one lacks judge the last weights of each run, since ten val images cannot
rank recipes. `--set` changes a parameter for all recipes.

FOLDER keeps weights and results: a run that is there is not made again, so that a call goes on
where another ended, and two calls with other seeds may share it. Prints a table of all it holds.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import yaml

from stages.common.coco import read_coco, subset
from stages.common.files import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
RUN = "import runpy; runpy.run_module('stages.train', run_name='__main__')"
# Two that lost and are therefore no parameters: early layers that do not learn, and the average
# of weights as YOLOX ramps it up, over 2000 updates.
FREEZE = """
from stages.yolox import trainer as loop
optimizer_of = loop.optimizer_of
def frozen(config, params):
    for name, parameter in config.model.backbone.backbone.named_parameters():
        parameter.requires_grad = not name.startswith(("stem", "dark2", "dark3"))
    return optimizer_of(config, params)
loop.optimizer_of = frozen
"""
SLOW_AVERAGE = """
import math
from stages.yolox import trainer as loop
loop.ema_decay = lambda updates, steps: 0.9998 * (1 - math.exp(-updates / 2000))
"""


@dataclass(frozen=True)
class Recipe:
    """What differs from params.yaml: parameters by name, and code that runs before the stage."""

    changes: dict[str, object] = field(default_factory=dict)
    patch: str = ""


SGD = {"train.optimizer": "sgd", "train.weight_decay": 0.0005}
RECIPES = {
    "as in params.yaml": Recipe(),
    "SGD, learning rate per image 0.0003": Recipe({**SGD, "train.basic_lr_per_img": 0.0003}),
    "SGD, 0.001": Recipe({**SGD, "train.basic_lr_per_img": 0.001}),
    "AdamW, twice the learning rate": Recipe({"train.basic_lr_per_img": 0.00012}),
    "AdamW, half the learning rate": Recipe({"train.basic_lr_per_img": 0.00003}),
    "no warm-up": Recipe({"train.warmup_epochs": 0}),
    "no mosaic": Recipe({"train.mosaic_prob": 0.0}),
    "mosaic for all samples": Recipe({"train.mosaic_prob": 1.0}),
    "mosaic closed for the last 20 epochs": Recipe({"train.no_aug_epochs": 20}),
    "mosaic and mixup": Recipe({"train.enable_mixup": True, "train.mixup_prob": 0.5}),
    "no turning or shearing": Recipe({"train.degrees": 0.0, "train.shear": 0.0}),
    "no change of colour": Recipe({"train.hsv_prob": 0.0}),
    "input 64 px up and down": Recipe({"train.multiscale_range": 2}),
    "early layers frozen": Recipe(patch=FREEZE),
    "no average of weights": Recipe({"train.ema": False}),
    "average ramped as in YOLOX": Recipe(patch=SLOW_AVERAGE),
    "from bundled weights": Recipe({"train.pretrained": str(ROOT / "models/pretrained.pth")}),
    "from random weights": Recipe({"train.pretrained": "none"}),
}


def main() -> None:
    """Compare training recipes."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_recipes", description=main.__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--val", help="regular expression on names of images that judge")
    parser.add_argument("--judge", type=Path, help="a second export that judges as well")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="settings")
    arguments = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in arguments.settings)
    base = {
        "data.export": str(arguments.export.resolve()),
        **{key: yaml.safe_load(value) for key, value in settings.items()},
    }
    for seed in arguments.seeds:
        data = arguments.folder.resolve() / f"seed {seed}"
        prepare(data, {**base, "split.seed": seed}, arguments.val)
        for name in arguments.recipes:
            out = data / name
            if not (out / "result.json").exists():
                train(out, {**base, "train.seed": seed}, RECIPES[name])
            if arguments.judge and not (out / "judged.json").exists():
                judge(out, arguments.judge.resolve(), base)
    print_table(arguments.folder)


def prepare(data: Path, changes: dict, val: str | None) -> None:
    """Imports and splits the export into a folder, unless that was done before."""
    if (data / "split/val.json").exists():
        return
    write_params(data, changes)
    run(data, "-m", "stages.ingest.__main__", "dataset")
    if val is None:
        run(data, "-m", "stages.split.__main__", "dataset/annotations.json", "split", "data.json")
        return
    coco, pattern = read_coco(data / "dataset/annotations.json"), re.compile(val)
    judged = [bool(pattern.search(image["file_name"])) for image in coco["images"]]
    for side, on_val in (("train", False), ("val", True)):
        images = [i for i, here in zip(coco["images"], judged, strict=True) if here == on_val]
        write_json(data / f"split/{side}.json", subset(coco, images))


def train(out: Path, base: dict, recipe: Recipe) -> None:
    """One run of the stage `train`; its weights and result.json stay in `out`."""
    write_params(out, {**base, **recipe.changes})
    run(
        out, "-c", recipe.patch + RUN,
        "../split/train.json", "../split/val.json", "../dataset", ROOT / "models/pretrained.pth",
        "yolox.pth", "last.pth", "curves",
    )  # fmt: skip
    aps, ap50s = (curve(out, name) for name in ("AP", "AP50"))
    best = max(range(len(aps)), key=aps.__getitem__)
    write_json(out / "result.json", {"best_AP": aps[best], "AP50": ap50s[best], "last_AP": aps[-1]})


def judge(out: Path, export: Path, base: dict) -> None:
    """AP of the last weights of a run on the images of another export, as judged.json in `out`.

    Images whose names the run's own export has are left out.
    """
    data = out.parent
    others = data / "others.json"
    if not others.exists():
        write_params(data / "judge", {**base, "data.export": str(export)})
        run(data / "judge", "-m", "stages.ingest.__main__", "dataset")
        coco = read_coco(data / "judge/dataset/annotations.json")
        own = read_coco(data / "dataset/annotations.json")
        known = {image["file_name"] for image in own["images"]}
        unknown = [image for image in coco["images"] if image["file_name"] not in known]
        write_json(others, subset(coco, unknown))
    run(
        out, "-m", "stages.evaluate", "last.pth", others, data / "judge/dataset", "judged.json",
        "curves/judged.csv", "curves/judged_detections.json",
    )  # fmt: skip


def write_params(folder: Path, changes: dict) -> None:
    """params.yaml of this repository with some values changed, in a folder."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in changes.items():
        section, name = key.split(".")
        params[section][name] = value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def run(folder: Path, *arguments: object) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *map(str, arguments)], cwd=folder, env=environment, check=True)


def curve(out: Path, name: str) -> list[float]:
    """The values of a curve that `train` wrote, in the order of its epochs."""
    with (out / f"curves/plots/metrics/val/{name}.tsv").open() as lines:
        return [float(row[name]) for row in csv.DictReader(lines, delimiter="\t")]


def print_table(folder: Path) -> None:
    """All results of a folder: means over seeds, and the single ones of what decides."""
    print("| changed | best AP | last AP | last AP by seed | on other images | by seed |")
    print("| --- | ---: | ---: | --- | ---: | --- |")
    for name in RECIPES:
        runs = sorted(path.parent for path in folder.glob(f"seed */{name}/result.json"))
        results = [read_json(path / "result.json") for path in runs]
        others = [read_json(p / "judged.json") for p in runs if (p / "judged.json").exists()]
        if results:
            columns = [
                mean_of(results, "best_AP"),
                *(mean_of(results, "last_AP"), each(results, "last_AP")),
                *(mean_of(others, "AP"), each(others, "AP")),
            ]
            print(f"| {name} | {' | '.join(columns)} |")


def mean_of(results: list[dict], key: str) -> str:
    return f"{mean(result[key] for result in results):.3f}" if results else ""


def each(results: list[dict], key: str) -> str:
    return " ".join(f"{result[key]:.3f}" for result in results)


if __name__ == "__main__":
    main()
