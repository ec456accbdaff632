"""Compare settings of the stage `quantize` on one model: accuracy lost and speed gained.

    python -m tools.int8_recipes IR DATASET CALIBRATION VAL [--recipes NAME ...] [--seconds 60]
        [--also IR CALIBRATION VAL ...]

IR is the float model (models/ir), CALIBRATION and VAL are lists of `split`. A recipe is params.yaml
with some values of `quantize` changed. AP is computed in float32 where it is not in INT8, and
compared with that of IR, with a 95 % interval. Speed is throughput in the precision that this
machine chooses, all models interleaved; `--seconds 0` leaves it out.

`--also` adds a model that was trained on another split of the same DATASET: the detections of both,
each on its own val images, are evaluated together, so that every image counts for a model that has
not seen it. Speed is that of the first model.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openvino as ov

from detector.runtime.model_file import IR_FILE
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.benchmark.interleave import interleave
from stages.benchmark.modes import throughput_fps
from stages.common.coco import read_coco
from stages.common.coco_eval import score
from stages.common.params import Evaluate, Quantize, load_params
from stages.conversion.ir_file import save_ir
from stages.evaluate import detect
from stages.evaluation.bootstrap import paired_interval
from stages.quantize.recipe import CalibrationDataset, correct, quantize

SLICE_SECONDS = 0.5
ALL_INT8 = "all layers in INT8"


def keep(*groups: str, **changes: object) -> dict:
    """Return a recipe that leaves groups of convolutions in floating point."""
    return {"keep_float": groups, "ranges": "mean", **changes}


RECIPES = {
    "as in params.yaml": {},
    ALL_INT8: keep(),
    "performance preset": keep(preset="performance"),
    "predictions float": keep("predictions"),
    "and the stem": keep("predictions", "stem"),
    "and the first block": keep("predictions", "first_block"),
    "and stem and first block": keep("predictions", "stem", "first_block"),
    "and all depthwise": keep("predictions", "depthwise"),
    "full bias correction": keep("predictions", fast_bias_correction=False),
    "ranges: all": keep("predictions", ranges="all"),
    "10 calibration images": keep("predictions", calibration_images=10),
    "100 calibration images": keep("predictions", calibration_images=100),
}


class Fold(NamedTuple):
    """A float model, and the lists of images that it is calibrated and evaluated on."""

    ir: Path
    calibration: Path
    val: Path


def main() -> None:
    """Compare settings of INT8."""
    parser = argparse.ArgumentParser(prog="python -m tools.int8_recipes", description=main.__doc__)
    for name in ("ir", "dataset", "calibration", "val"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--also", nargs=3, type=Path, action="append", default=[])
    arguments = parser.parse_args()
    params, images_dir = load_params(), arguments.dataset / "images"
    first = Fold(arguments.ir, arguments.calibration, arguments.val)
    folds = [first, *(Fold(*paths) for paths in arguments.also)]
    check_no_image_judges_twice(folds)
    with tempfile.TemporaryDirectory() as scratch:
        models = {"FP16": [fold.ir for fold in folds]}
        for name in arguments.recipes:
            settings = Quantize(**{**params.quantize.model_dump(), **RECIPES[name]})
            models[name] = [Path(scratch, f"{name} {number}") for number in range(len(folds))]
            for fold, out in zip(folds, models[name], strict=True):
                write_int8(fold, images_dir, settings, out)
        speeds = measure_speed(models, arguments.seconds) if arguments.seconds else {}
        print_table(measure_accuracy(models, folds, images_dir, params.evaluate), speeds)


def check_no_image_judges_twice(folds: list[Fold]) -> None:
    """Refuse val lists that share images: a detection is matched by its image's id."""
    images = [image for fold in folds for image in read_coco(fold.val)["images"]]
    if len({image["id"] for image in images}) < len(images):
        sys.exit("int8_recipes: val lists share images; give models of splits that do not overlap")


def write_int8(fold: Fold, images_dir: Path, settings: Quantize, out: Path) -> None:
    """Quantize a float model as the stage `quantize` does."""
    images = CalibrationDataset(
        fold.calibration, fold.val, images_dir,
        OpenVinoBackend(fold.ir, "f32").input_hw, settings.calibration_images,
    )  # fmt: skip
    quantized = quantize(ov.Core().read_model(fold.ir / IR_FILE), images, settings)
    correct(quantized)
    save_ir(quantized, out)


def measure_accuracy(
    models: dict[str, list[Path]], folds: list[Fold], images_dir: Path, settings: Evaluate
) -> dict[str, tuple[float, float, float, float]]:
    """Evaluate the models of all folds together; compare with the first entry.

    Returns:
        By name AP, the AP that was lost, and the ends of its 95 % interval, 0..1.
    """
    vals = [read_coco(fold.val, boxes_needed=True) for fold in folds]
    parts = {key: [x for coco in vals for x in coco[key]] for key in ("images", "annotations")}
    figures, reference = {}, None
    for name, paths in models.items():
        rows = []
        for path, coco in zip(paths, vals, strict=True):
            rows += detect(OpenVinoBackend(path, "f32"), coco, images_dir, settings)
        found = score({**vals[0], **parts}, rows)
        reference = reference or found
        ap, lost = found.stats[0], reference.stats[0] - found.stats[0]
        figures[name] = ap, lost, *paired_interval(reference, found)
    return figures


def measure_speed(models: dict[str, list[Path]], seconds: float) -> dict[str, float]:
    """Return the median throughput of the first fold's models, frames per second."""
    backends = {name: OpenVinoBackend(paths[0], throughput=True) for name, paths in models.items()}
    shape = (*backends["FP16"].input_hw, 3)
    canvas_bgr = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    measurements = {name: partial(throughput_fps, b, canvas_bgr) for name, b in backends.items()}
    rounds = interleave(measurements, seconds, SLICE_SECONDS)
    if rounds.busy:
        print(rounds.warning, file=sys.stderr)
    return {name: float(np.median(fps)) for name, fps in rounds.results.items()}


def print_table(accuracies: dict[str, tuple], speeds: dict[str, float]) -> None:
    """Print a row per recipe; the last column needs the recipe of all layers in INT8."""
    print(f"| recipe | AP | AP points lost (95 % interval) | FPS | of {ALL_INT8} |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (ap, *lost) in accuracies.items():
        drop, low, high = (100 * value for value in lost)
        fps, base = speeds.get(name), speeds.get(ALL_INT8)
        speed = f"{fps:.1f}" if fps else ""
        share = f"{100 * fps / base:.0f} %" if fps and base else ""
        loss = f"{drop:+.2f} ({low:+.2f} to {high:+.2f})"
        print(f"| {name} | {ap:.4f} | {loss} | {speed} | {share} |")


if __name__ == "__main__":
    main()
