"""Compare: the accuracy that each variant lost against PyTorch, with its interval.

In:   data/split/val.json
      data/detections/<variant>.json   what `evaluate` found with each variant, in float32
Out:  metrics/drop_by_class.csv   what INT8 lost of each class
      metrics/drop.json   for onnx, ir and int8: AP points below PyTorch; in `details` the same for
                          AP50 and for each class, and the `interval` of AP

The interval is a 95 % interval of the difference over resamples of the val images, both variants
judged on the same ones (which takes the matches of every image, hence the detections): a few
dozen images cannot show half a point.

ONNX and FP16 must not lose anything: float variants that do are refused, where there are enough
images to be sure of it.

Run:  python -m stages.compare data/split/val.json data/detections metrics/drop.json \
          metrics/drop_by_class.csv
"""

from pathlib import Path

from stages.common.coco import read_coco
from stages.common.coco_eval import accuracy, score
from stages.common.files import read_json, write_csv, write_json
from stages.common.metrics import FEW_IMAGES, with_details
from stages.common.run import UserError, run_stage
from stages.evaluation.bootstrap import paired_interval
from stages.evaluation.drops import FLOAT, INT8, REFERENCE, VARIANTS, drop

# AP points. Rounding weights to FP16 moves a score in its third digit, and with few boxes two
# detections that change places are a point: only the lower end of the interval counts.
FLOAT_TOLERANCE = 0.5


def main(val: Path, detections: Path, out: Path, by_class: Path) -> None:
    """Compare every variant with PyTorch."""
    coco = read_coco(val, boxes_needed=True)
    evaluations = {name: score(coco, read_json(detections / f"{name}.json")) for name in VARIANTS}
    reference = evaluations.pop(REFERENCE)
    figures = accuracy(coco, reference)
    drops = {
        name: drop(figures, accuracy(coco, other), paired_interval(reference, other))
        for name, other in evaluations.items()
    }
    if len(coco["images"]) >= FEW_IMAGES:
        for name in FLOAT:
            check_loss(name, drops[name])
    write_json(out, {name: with_details(drops[name], "AP") for name in drops})
    write_csv(by_class, ("class", "points"), drops[INT8]["per_class"].items())
    for name, figures in drops.items():
        low, high = figures["interval"]
        print(f"{name}: AP drop {figures['AP']:+.2f} points, 95 % {low:+.2f} to {high:+.2f}")


def check_loss(name: str, figures: dict) -> None:
    """Check that a float variant computes the same as PyTorch but for rounding.

    Raises:
        UserError: one lost more than rounding explains.
    """
    if figures["interval"][0] > FLOAT_TOLERANCE:
        raise UserError(
            f"{name} lost {figures['AP']:.2f} AP points, at most {FLOAT_TOLERANCE:g} is expected "
            "for a float variant; run `dvc repro --force export`, or report this with your "
            "params.yaml"
        )


if __name__ == "__main__":
    run_stage(main)
