"""What each way to INT8 costs in accuracy and gains in speed, on one model.

    python -m tools.int8_recipes IR DATASET CALIBRATION VAL [--recipes NAME ...] [--seconds 60]
        [--also IR CALIBRATION VAL ...]

IR is the float model (models/ir), the lists are those of `split`. Accuracy is computed in float32
where it is not in INT8, and told as the loss against IR with its 95 % interval; speed is throughput
as this machine would run it, all recipes taking turns, against INT8 in all layers. `--seconds 0`
leaves speed out.

`--also` adds a model that was trained on another side of the same DATASET: what both find on the
val images of each is judged together, so that every image may be judged by a model that has not
seen it. Speed is that of the first model.
"""

import argparse
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.advanced_parameters import OverflowFix
from nncf.quantization.range_estimator import RangeEstimatorParametersSet as Ranges

from detector.runtime.model_file import IR_FILE
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.benchmark.modes import throughput_fps
from stages.common.coco import read_coco, read_image
from stages.common.coco_eval import score
from stages.common.params import Evaluate, Quantize
from stages.conversion.ir_file import save_ir
from stages.evaluate import detect
from stages.evaluation.bootstrap import paired_interval
from stages.quantize.calibration import Blobs, calibration_paths
from stages.quantize.recipe import advanced_parameters, fix_input_range, nncf_arguments
from tools.turns import in_turns

SLICE_SECONDS = 0.5
ALL = 10**6  # more images than a list holds


Order = Callable[[list[Path]], list[Path]]


def as_listed(paths: list[Path]) -> list[Path]:
    """The order of `split`: groups, classes and sizes of boxes take turns."""
    return paths


def at_random(seed: int) -> Order:
    return lambda paths: random.Random(seed).sample(paths, len(paths))


def darkest(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: read_image(path).mean())


def brightest(paths: list[Path]) -> list[Path]:
    return darkest(paths)[::-1]


@dataclass(frozen=True)
class Recipe:
    """What differs from the default: parameters, what only NNCF knows of, the order in which
    calibration images are taken."""

    params: dict = field(default_factory=dict)
    advanced: dict = field(default_factory=dict)
    order: Order = as_listed


def keep(*roles: str, **params: object) -> Recipe:
    return Recipe({"keep_float": roles, "ranges": "mean", **params})


def nncf_with(**advanced: object) -> Recipe:
    return Recipe({"keep_float": ("predictions",), "ranges": "mean"}, advanced)


def ranges(kind) -> Recipe:
    return nncf_with(activations_range_estimator_params=kind)


def ten(order: Order) -> Recipe:
    return Recipe({"keep_float": ("predictions",), "calibration_images": 10}, order=order)


RECIPES = {
    "all layers in INT8": keep(),
    "performance preset": keep(preset="performance"),
    "predictions float": keep("predictions"),
    "and the stem": keep("predictions", "stem"),
    "and the first block": keep("predictions", "first_block"),
    "and stem and first block": keep("predictions", "stem", "first_block"),
    "and all depthwise": keep("predictions", "depthwise"),
    "full bias correction": keep("predictions", fast_bias_correction=False),
    "full bias correction, first block": keep(
        "predictions", "first_block", fast_bias_correction=False
    ),
    "no bias correction": nncf_with(disable_bias_correction=True),
    "ranges: all of what was seen": keep("predictions", ranges="all"),
    "ranges: median of images": ranges(Ranges.MEDIAN_MINMAX),
    "ranges: quantiles": ranges(Ranges.MEAN_QUANTILE),
    "ranges: histogram": ranges(Ranges.HISTOGRAM),
    "8 bits in the first layer's weights": nncf_with(overflow_fix=OverflowFix.DISABLE),
    "10 calibration images": ten(as_listed),
    "10 at random": ten(at_random(0)),
    "10 at random, again": ten(at_random(1)),
    "10 at random, once more": ten(at_random(2)),
    "the first 10 by name": ten(sorted),
    "the 10 darkest": ten(darkest),
    "the 10 brightest": ten(brightest),
    "100 calibration images": keep("predictions", calibration_images=100),
    "default, all of what was seen": Recipe({"ranges": "all"}),
}


@dataclass(frozen=True)
class Fold:
    """A float model, and the lists of images that calibrate and judge it."""

    ir: Path
    calibration: Path
    val: Path


def main() -> None:
    """Compare ways to INT8."""
    parser = argparse.ArgumentParser(prog="python -m tools.int8_recipes", description=main.__doc__)
    for name in ("ir", "dataset", "calibration", "val"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--also", nargs=3, type=Path, action="append", default=[])
    arguments = parser.parse_args()
    folds = [Fold(arguments.ir, arguments.calibration, arguments.val)]
    folds += [Fold(*also) for also in arguments.also]
    images_dir = arguments.dataset / "images"
    with tempfile.TemporaryDirectory() as scratch:
        paths = {"FP16": [fold.ir for fold in folds]}
        for name in arguments.recipes:
            paths[name] = [Path(scratch, f"{name} {number}") for number in range(len(folds))]
            for fold, out in zip(folds, paths[name], strict=True):
                make(fold, images_dir, RECIPES[name], out)
        speeds = speeds_of(paths, arguments.seconds) if arguments.seconds else {}
        print_table(accuracies_of(paths, folds, images_dir), speeds)


def make(fold: Fold, images_dir: Path, recipe: Recipe, out: Path) -> None:
    """Quantizes a model by a recipe and writes it."""
    params = Quantize(**recipe.params)
    paths = recipe.order(calibration_paths(fold.calibration, fold.val, images_dir, ALL))
    blobs = Blobs(paths[: params.calibration_images], OpenVinoBackend(fold.ir).input_hw)
    model = ov.Core().read_model(fold.ir / IR_FILE)
    quantized = nncf.quantize(
        model,
        nncf.Dataset(blobs),
        **nncf_arguments(model, len(blobs), params),
        advanced_parameters=replace(advanced_parameters(model, params), **recipe.advanced),
    )
    fix_input_range(quantized)
    save_ir(quantized, out)


def accuracies_of(
    paths: dict[str, list[Path]], folds: list[Fold], images_dir: Path
) -> dict[str, tuple]:
    """AP, and what is lost against the first with both ends of its interval, by name."""
    judged = [read_coco(fold.val, boxes_needed=True) for fold in folds]
    parts = {key: [x for coco in judged for x in coco[key]] for key in ("images", "annotations")}
    truth = {**judged[0], **parts}
    found, reference = {}, None
    for name, models in paths.items():
        rows = []
        for path, coco in zip(models, judged, strict=True):
            rows += detect(OpenVinoBackend(path, "f32"), coco, images_dir, Evaluate())
        evaluation = score(truth, rows)
        reference = reference or evaluation
        low, high = paired_interval(reference, evaluation)
        found[name] = evaluation.stats[0], reference.stats[0] - evaluation.stats[0], low, high
    return found


def speeds_of(paths: dict[str, list[Path]], seconds: float) -> dict[str, float]:
    """Frames a second of throughput by name; medians of turns that all models take."""
    backends = {
        name: OpenVinoBackend(first, throughput=True) for name, (first, *_) in paths.items()
    }
    shape = (*backends["FP16"].input_hw, 3)
    canvas_bgr = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    measured = {
        name: lambda backend=backend: throughput_fps(backend, canvas_bgr, SLICE_SECONDS)
        for name, backend in backends.items()
    }
    rounds = max(1, round(seconds / (SLICE_SECONDS * len(paths))))
    return {name: float(np.median(fps)) for name, fps in in_turns(measured, rounds).items()}


def print_table(accuracies: dict[str, tuple], speeds: dict[str, float]) -> None:
    print("| recipe | AP | lost, points (95 % interval) | FPS | of INT8 in all layers |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (ap, *lost) in accuracies.items():
        drop, low, high = (100 * value for value in lost)
        speed, share = speeds.get(name), None
        if speed and (full := speeds.get("all layers in INT8")):
            share = f"{100 * speed / full:.0f} %"
        lost_cell = f"{drop:+.2f} ({low:+.2f} to {high:+.2f})"
        cells = [name, f"{ap:.4f}", lost_cell, f"{speed:.1f}" if speed else "", share or ""]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
