"""Show what few labelled images can tell: draw them from many, and ask the others.

    python -m tools.evidence EXPORT FOLDER [--images 40] [--draws 10] [--pairs 4] [--seeds 5]
        [--set KEY=VALUE ...]

Each draw takes some images of the export and cross-validates the recipe of params.yaml on them. The
other images, less the near duplicates of drawn ones, tell the truth. Of the first `--pairs` draws,
every fold is trained with `--seeds` seeds, and once more with each of CHANGES. `--set` changes a
value of params.yaml for all.

FOLDER keeps models and detections. A run that is there is not repeated, so a call continues where
another one ended. Prints the tables of docs/evidence.md for all that it holds: half-widths of the
intervals and how many hold the truth; how often the review finds a change where there is none, and
where there is one.
"""

import argparse
import contextlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import numpy as np
import yaml

from detector.core.frame_detector import CONFIDENCE
from stages.common.coco import read_coco, subset
from stages.common.coco_eval import accuracy, score
from stages.common.files import read_json, write_json
from stages.common.groups import cluster, hashes_of
from stages.common.params import load_params
from stages.crossval import judge
from stages.evaluation.bootstrap import interval, packed, paired_interval, resampled_ap, truth_id
from stages.evaluation.drops import INT8, REFERENCE, VARIANTS, drop
from stages.evaluation.fidelity import fidelity
from tools.params_file import ROOT, run_stage, write_params
from tools.review.accuracy import (
    BETTER,
    WORSE,
    Evidence,
    ap_change,
    drop_change,
    from_folds,
    from_val,
)

BASE, NOTHING = "as it is", "none but the seed"
CHANGES = {
    "preset performance": {"quantize.preset": "performance"},
    "half the input": {"model.input_hw": [160, 288]},
    "half the learning rate": {"train.basic_lr_per_img": 0.00003},
    "ReLU from SiLU's weights": {"model.act": "relu"},
}
FOLDS = 5
# What the float variants find is the same but for rounding (`compare` checks it), and OpenVINO is
# the fastest of them.
FILES = {key: INT8 if key == INT8 else "ir" for key in VARIANTS}


@dataclass(frozen=True)
class Run:
    """One training: on all folds but one of a draw."""

    draw: Path
    change: str
    seed: int
    fold: int

    @property
    def folder(self) -> Path:
        return self.draw / self.change / f"{self.seed}-{self.fold}"


def main() -> None:
    """Show what few labelled images can tell."""
    parser = argparse.ArgumentParser(prog="python -m tools.evidence", description=main.__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="settings")
    arguments = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in arguments.settings)
    base = {key: yaml.safe_load(value) for key, value in settings.items()}
    folder = arguments.folder.resolve()
    if not (folder / "dataset").exists():
        write_params(folder, {**base, "data.export": str(arguments.export.resolve())})
        run_stage(folder, "ingest", "dataset")
    draws = [prepare(folder, number, arguments.images, base) for number in range(arguments.draws)]
    runs = planned(draws, arguments.pairs, arguments.seeds)
    for number, run in enumerate(runs, 1):
        print(f"{number} of {len(runs)}: {run.folder.relative_to(folder)}", flush=True)
        do_in_a_process(run)
    print_tables(draws, arguments.pairs, arguments.seeds)


def prepare(folder: Path, number: int, images: int, base: dict) -> Path:
    """Draw images, make the lists of the folds and the params.yaml of each change."""
    draw = folder / f"draw {number}"
    for change, values in {BASE: {}, **CHANGES}.items():
        write_params(draw / change, {**base, **values, "crossval.folds": list(range(FOLDS))})
    if not (draw / "lists").exists():
        coco = read_coco(folder / "dataset/annotations.json")
        rows = np.random.default_rng(number).choice(len(coco["images"]), images, replace=False)
        drawn = [coco["images"][row] for row in sorted(rows)]
        clusters = cluster(hashes_of(coco["images"]))
        others = [
            image
            for image, own in zip(coco["images"], clusters, strict=True)
            if own not in clusters[rows]
        ]
        write_json(draw / "drawn.json", subset(coco, drawn))
        write_json(draw / "others.json", subset(coco, others))
        run_stage(draw / BASE, "split", "../drawn.json", "../split", "../lists", "../data.json")
    return draw


def planned(draws: list[Path], pairs: int, seeds: int) -> list[Run]:
    """List all trainings, those that other runs start from first."""
    once = [Run(draw, BASE, 0, fold) for draw in draws for fold in range(FOLDS)]
    again = [
        Run(draw, BASE, seed, fold)
        for seed in range(1, seeds)
        for draw in draws[:pairs]
        for fold in range(FOLDS)
    ]
    changed = [
        Run(draw, change, 0, fold)
        for change in CHANGES
        for draw in draws[:pairs]
        for fold in range(FOLDS)
    ]
    return once + changed + again


def do_in_a_process(run: Run) -> None:
    """Do a run in a process of its own: training may not fork one in which OpenVINO has threads."""
    process = get_context("spawn").Process(target=execute, args=(run,))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"evidence: {run.folder} failed with status {process.exitcode}")


def execute(run: Run) -> None:
    """Train, convert and quantize a model, and detect in all images of the data set."""
    out, lists, dataset = (
        run.folder,
        run.draw / "lists" / str(run.fold),
        run.draw.parent / "dataset",
    )
    if (out / "int8.json").exists():
        return
    from stages import evaluate, export, ir, train
    from stages.quantize.__main__ import main as quantize_main

    out.mkdir(exist_ok=True)
    os.chdir(run.draw / run.change)
    with (out / "log").open("w") as log, contextlib.redirect_stdout(log):
        if is_quantization(run.change):
            floats = shutil.ignore_patterns("int8*")
            shutil.copytree(run.draw / BASE / out.name, out, ignore=floats, dirs_exist_ok=True)
        else:
            train.main(
                lists / "train.json", dataset, ROOT / "models/pretrained.pth", out / "yolox.pth",
                seed=str(run.seed),
            )  # fmt: skip
            export.main(out / "yolox.pth", lists / "val.json", dataset, out / "yolox.onnx")
            ir.main(out / "yolox.onnx", lists / "val.json", dataset, out / "ir")
        quantize_main(
            out / "ir", lists / "calibration.json", lists / "val.json", dataset, out / "int8"
        )
        # Other seeds are only compared, on the images that were drawn.
        judged = lists / "val.json" if run.seed else dataset / "annotations.json"
        for name in ("ir", "int8"):
            backend = evaluate.open_backend(out / name, "f32")
            found = evaluate.detect(
                backend, read_coco(judged), dataset / "images", load_params().evaluate
            )
            write_json(out / f"{name}.json", found)


def print_tables(draws: list[Path], pairs: int, seeds: int) -> None:
    """Print what the intervals of single runs say, and what reviews of two runs say."""
    judges = {"val images of one fold": (val_evidence, 1), "five folds": (fold_evidence, FOLDS)}
    print(f"{len(draws)} draws; half-widths in AP points, median (range)")
    print("| judged by | AP, half-width | holds the truth | INT8 lost, half-width | holds |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (judged, folds) in judges.items():
        found = [judged(draw, BASE, 0) for draw in draws]
        real = [truth(draw, BASE, 0, folds) for draw in draws]
        intervals = (
            [100 * np.array(own.accuracy[REFERENCE]["AP_interval"]) for own in found],
            [np.array(own.drop["interval"]) for own in found],
        )
        reals = [ap for ap, _ in real], [ap - int8 for ap, int8 in real]
        cells = [described(*both) for both in zip(intervals, reals, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")
    print_fidelity(draws)
    if not pairs:
        return
    print("\n| change | really, AP points | val images of one fold | five folds |")
    print("| --- | ---: | ---: | ---: |")
    alike = [
        ((draw, BASE, a), (draw, BASE, b))
        for draw in draws[:pairs]
        for a, b in combinations(range(seeds), 2)
    ]
    print_verdicts(NOTHING, alike, [0.0], judges)
    for change in CHANGES:
        both = [((draw, BASE, 0), (draw, change, 0)) for draw in draws[:pairs]]
        real = [truth(*b, FOLDS)[1] - truth(*a, FOLDS)[1] for a, b in both]
        print_verdicts(change, both, real, judges)


def print_fidelity(draws: list[Path]) -> None:
    """Print what the images that were not drawn, as a pool, say of INT8: one model a draw."""
    found = []
    for draw in draws:
        pool = {**read_coco(draw / "others.json"), "annotations": []}
        rows = [of_images(Run(draw, BASE, 0, 0).folder, name, pool) for name in ("ir", "int8")]
        found.append(fidelity(pool, *rows, [CONFIDENCE] * len(pool["categories"])))
    halves = [[half_width(100 * np.array(own["AP_interval"])) for own in found]]
    halves += [[half_width(own["interval"]) for own in found]]
    ap, changed = (f"{np.median(h):.1f} ({min(h):.1f} to {max(h):.1f})" for h in halves)
    frames = round(mean(own["frames"] for own in found))
    share = mean(own["changed_per_1000"] for own in found)
    print(
        f"\n{frames} frames as a pool: AP against float's boxes +-{ap} points; other boxes in "
        f"{share:.0f} of 1,000 +-{changed}"
    )


def half_width(interval: Sequence[float]) -> float:
    return (interval[1] - interval[0]) / 2


def described(intervals: list[np.ndarray], real: list[float]) -> str:
    """Return two cells: median half-width with its range, and how many intervals hold the truth."""
    halves = [half_width(own) for own in intervals]
    held = sum(low <= value <= high for (low, high), value in zip(intervals, real, strict=True))
    return f"{np.median(halves):.1f} ({min(halves):.1f} to {max(halves):.1f}) | {held}"


def print_verdicts(change: str, both: list[tuple], real: list[float], judges: dict) -> None:
    """Print a row: how often AP of INT8 and its drop came out as better or worse.

    Args:
        change: name of the row.
        both: two runs each, before and after.
        real: by how much AP of INT8 really differs, AP points.
        judges: functions that return the evidence of a run, and how many folds they judge.
    """
    cells = []
    for judged, _ in judges.values():
        pairs = [(judged(*before), judged(*after)) for before, after in both]
        counts = [
            sum(found.verdict() in (BETTER, WORSE) for found in changes)
            for changes in (
                [ap_change(*pair, INT8) for pair in pairs],
                [drop_change(*pair) for pair in pairs],
            )
        ]
        widths = [ap_change(*pair, INT8).half_width for pair in pairs]
        cells.append(
            f"{counts[0]}, drop {counts[1]}, of {len(both)}; half-width {np.median(widths):.1f}"
        )
    spread = f"{mean(real):+.1f} ({min(real):+.1f} to {max(real):+.1f})"
    print(f"| {change} | {spread} | {' | '.join(cells)} |")


@cache
def fold_evidence(draw: Path, change: str, seed: int) -> Evidence:
    """Return what the cross-validation of a draw knows."""
    vals = [read_coco(draw / f"lists/{fold}/val.json") for fold in range(FOLDS)]
    folders = [Run(draw, change, seed, fold).folder for fold in range(FOLDS)]
    rows = {
        key: [[of_images(folder, name, val) for folder, val in zip(folders, vals, strict=True)]]
        for key, name in FILES.items()
    }
    return from_folds(judge(vals, rows, rows), trained(change, seed))


@cache
def val_evidence(draw: Path, change: str, seed: int) -> Evidence:
    """Return what the val images of the first fold know, as those of a split would."""
    val, folder = read_coco(draw / "lists/0/val.json"), Run(draw, change, seed, 0).folder
    found = {key: score(val, of_images(folder, name, val)) for key, name in FILES.items()}
    figures = {}
    for key, evaluation in found.items():
        resampled = resampled_ap(evaluation)
        figures[key] = {
            **accuracy(val, evaluation),
            "AP_interval": interval(resampled, len(val["images"])),
            "truth": truth_id(val),
            "resampled": packed(resampled),
        }
    lost = paired_interval(found[REFERENCE], found[INT8])
    drops = {INT8: drop(figures[REFERENCE], figures[INT8], lost)}
    return from_val(figures, drops, trained(change, seed))


@cache
def truth(draw: Path, change: str, seed: int, folds: int) -> tuple[float, float]:
    """Return AP of the float and of the INT8 model on the images that were not drawn, in AP points,
    averaged over the models of the first folds."""
    others = read_coco(draw / "others.json")
    folders = [Run(draw, change, seed, fold).folder for fold in range(folds)]
    return tuple(
        mean(100 * score(others, of_images(folder, name, others)).stats[0] for folder in folders)
        for name in ("ir", "int8")
    )


def of_images(folder: Path, name: str, coco: dict) -> list[dict]:
    """Read what a model found in the images of a list."""
    wanted = {image["id"] for image in coco["images"]}
    return [row for row in read_json(folder / f"{name}.json") if row["image_id"] in wanted]


def trained(change: str, seed: int) -> tuple[str, ...]:
    """Return what stands for the hashes of the weights: two runs share them if only quantization
    differs."""
    return (BASE if is_quantization(change) else change, str(seed))


def is_quantization(change: str) -> bool:
    return change != BASE and all(key.startswith("quantize.") for key in CHANGES[change])


if __name__ == "__main__":
    main()
