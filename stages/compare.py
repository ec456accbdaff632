"""Compare: what each variant lost against PyTorch, and how often it answers otherwise.

In:   data/split/val.json
      data/pool/annotations.json            frames without labels
      data/detections/<variant>.json        what `evaluate` found in val with it, in float32
      data/detections/pool_<variant>.json   what it found in the pool, as this machine runs them
      metrics/operating_point.json          the confidence of the deployed model
Out:  metrics/drop_by_class.csv   what INT8 lost of each class
      metrics/drop.json   for onnx, ir and int8: AP points below PyTorch; in `details` the same for
                          AP50 and for each class, the `interval` of AP, and where there is a pool
                          `fidelity`, see stages/evaluation/fidelity.py

The interval is a 95 % interval of the difference over resamples of the val images, both variants
judged on the same ones (which takes the matches of every image, hence the detections): a few
dozen images cannot show half a point.

ONNX and FP16 must not lose anything: float variants that do are refused, where there are enough
images to be sure of it.

Run:  python -m stages.compare data/split/val.json data/pool/annotations.json data/detections \
          metrics/operating_point.json metrics/drop.json metrics/drop_by_class.csv
"""

from pathlib import Path

from detector.runtime.model_file import confidences
from stages.common.coco import labels_of, read_coco
from stages.common.coco_eval import accuracy, score
from stages.common.files import read_json, write_csv, write_json
from stages.common.metrics import FEW_IMAGES, read_metrics, with_details
from stages.common.run import UserError, run_stage
from stages.evaluation.bootstrap import paired_interval
from stages.evaluation.drops import FLOAT, INT8, REFERENCE, VARIANTS, drop
from stages.evaluation.fidelity import fidelity

# AP points. Rounding weights to FP16 moves a score in its third digit, and with few boxes two
# detections that change places are a point: only the lower end of the interval counts.
FLOAT_TOLERANCE = 0.5


def main(
    val: Path, pool: Path, detections: Path, operating_point: Path, out: Path, by_class: Path
) -> None:
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
    frames = read_json(pool)
    if frames["images"]:
        limits = confidences(read_metrics(operating_point), labels_of(coco))
        found = {name: read_json(detections / f"pool_{name}.json") for name in VARIANTS}
        for name in drops:
            answers = fidelity(frames, found[REFERENCE], found[name], limits)
            drops[name]["fidelity"] = with_details(answers, "changed_per_1000")
    write_json(out, {name: figures_shown(drops[name]) for name in drops})
    write_csv(by_class, ("class", "points"), drops[INT8]["per_class"].items())
    for name, figures in drops.items():
        low, high = figures["interval"]
        print(f"{name}: AP drop {figures['AP']:+.2f} points, 95 % {low:+.2f} to {high:+.2f}")


def figures_shown(figures: dict) -> dict:
    """Return the figures with all but a few moved into the details."""
    return with_details(figures, "AP", *(["fidelity"] if "fidelity" in figures else []))


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
