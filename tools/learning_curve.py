"""Ask what more labels would bring: AP with a part of the labelled images, and a forecast.

    python -m tools.learning_curve OUT.md [--folds 5] [--folder FOLDER]

The recipe of params.yaml is cross-validated with a quarter, a half, three quarters and all of the
images that a fold trains on; all labelled images judge each time. A part holds whole groups, and
smaller parts lie in larger ones. What AP lacks to 1 is taken to fall as a power of the number of
images, as it does for many tasks and models (Hestness and others, Deep Learning Scaling is
Predictable, Empirically, 2017): the line through the four points, on logarithmic scales, gives the
forecast for twice the images. Its interval covers the choice of the images, and by how far the
points lie from the line, the chance of training.

FOLDER keeps weights and detections: a call continues where another one ended. OUT.png shows the
curve.
"""

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import yaml

from stages.common.coco import read_coco, subset
from stages.common.files import atomic_path, read_json, write_json, write_text
from stages.common.run import UserError
from stages.evaluation.bootstrap import SEED, ends
from stages.evaluation.out_of_fold import Sampled, sample, uncertainty
from stages.split.groups import position
from tools.params_file import ROOT, run_stage, write_params

matplotlib.use("Agg")
from matplotlib import pyplot

PARTS = (0.25, 0.5, 0.75, 1.0)
DATASET = ROOT / "data/dataset"
LEAST_ERROR = 1e-3  # of 1 - AP, whose logarithm is taken


@dataclass(frozen=True)
class Curve:
    """AP by the number of images that were trained on, and what the line through it says of twice.

    Attributes:
        images: of each part, mean over the folds.
        ap: of each part, 0 to 1.
        intervals: of these, 95 %.
        gain: by twice the images of the last part, 0 to 1, and its 95 % interval.
    """

    images: list[float]
    ap: list[float]
    intervals: list[tuple[float, float]]
    gain: tuple[float, tuple[float, float]]


def main() -> None:
    """Cross-validate with parts of the labelled images, and forecast AP with twice as many."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.learning_curve", description=main.__doc__
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=ROOT / ".dvc/tmp/learning_curve")
    arguments = parser.parse_args()
    try:
        labelled = read_coco(DATASET / "annotations.json")
    except UserError as error:
        sys.exit(f"learning_curve: {error}")
    work = arguments.folder.resolve() / key_of(arguments.folds)
    vals = prepare(work, arguments.folds)
    measured = [measure(work, part, vals) for part in PARTS]
    curve = curve_of([images for images, _ in measured], [found for _, found in measured], vals)
    chart = arguments.out.with_suffix(".png")
    write_chart(curve, chart)
    text = page(curve, len(labelled["images"]), chart.name)
    write_text(arguments.out, text)
    print(text)


def key_of(folds: int) -> str:
    """Name a folder by parameters and data, so that results of others are not taken for these."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    sections = [params[name] for name in ("split", "model", "train", "evaluate")]
    content = json.dumps([folds, sections]).encode() + (DATASET / "annotations.json").read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def prepare(work: Path, folds: int) -> list[dict]:
    """Split into folds, unless that was done before; return the COCO that judges each fold."""
    if not (work / "lists").exists():
        write_params(work, {"crossval.folds": list(range(folds)), "train.images": "train"})
        run_stage(work, "split", DATASET / "annotations.json", "split", "lists", "data.json")
    return [read_coco(work / f"lists/{fold}/val.json") for fold in range(folds)]


def measure(work: Path, part: float, vals: list[dict]) -> tuple[float, Sampled]:
    """Train each fold with a part of its images, and judge all images.

    Returns:
        The mean number of images that were trained on, and AP with its resamples.
    """
    folders = [work / f"{part:g}" / str(fold) for fold in range(len(vals))]
    for out in folders:
        train = part_of(read_coco(work / f"lists/{out.name}/train.json"), part)
        write_json(out / "train.json", train)
    for out in folders:
        if not (out / "detections.json").exists():
            run_stage(
                work, "train", out / "train.json", DATASET, ROOT / "models/pretrained.pth",
                out / "yolox.pth",
            )  # fmt: skip
            run_stage(
                work, "evaluate", out / "yolox.pth", work / f"lists/{out.name}/val.json", DATASET,
                out / "accuracy.json", out / "curve.csv", out / "detections.json",
            )  # fmt: skip
    images = [len(read_coco(out / "train.json")["images"]) for out in folders]
    rows = [read_json(out / "detections.json") for out in folders]
    return float(np.mean(images)), sample(vals, [rows])


def part_of(coco: dict, part: float) -> dict:
    """Return whole clusters of images, in an order of their own, until they are a part of all.

    More are taken where these have no box.
    """
    clusters = {image["cluster"] for image in coco["images"]}
    boxed = {box["image_id"] for box in coco["annotations"]}
    taken: list[dict] = []
    for cluster in sorted(clusters, key=lambda number: position(str(number), SEED)):
        if len(taken) >= round(part * len(coco["images"])) and boxed & {i["id"] for i in taken}:
            break
        taken += [image for image in coco["images"] if image["cluster"] == cluster]
    return subset(coco, sorted(taken, key=lambda image: image["id"]))


def curve_of(images: list[float], parts: list[Sampled], vals: list[dict]) -> Curve:
    """Fit the line and forecast.

    Args:
        images: trained on, for each part.
        parts: AP of each part.
        vals: the COCO of each fold.
    """
    clusters = len({image["cluster"] for val in vals for image in val["images"]})
    intervals = [uncertainty(part, clusters).interval for part in parts]
    ap = np.array([part.ap.mean() for part in parts])
    resampled = np.array([part.resampled.mean(axis=0) for part in parts])
    resampled = resampled[:, np.isfinite(resampled).all(axis=0)]  # those with boxes
    (gain,), (misfit,) = forecast(images, log_error(ap[:, None]))
    # How much the points scatter about a line is known from few of them (Gelman and others,
    # Bayesian Data Analysis, section 14.2: the variance given the residuals).
    rng, draws = np.random.default_rng(SEED), resampled.shape[1]
    scatter = np.sqrt(misfit / rng.chisquare(len(parts) - 2, draws))
    gains, _ = forecast(images, log_error(resampled) + rng.normal(0, scatter, resampled.shape))
    return Curve(images, ap.tolist(), intervals, (float(gain), ends(gains, clusters)))


def log_error(ap: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(1 - ap, LEAST_ERROR))


def forecast(images: list[float], log_errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit lines, and go on to twice the images of the last part.

    Args:
        images: [P].
        log_errors: logarithms of 1 - AP, float [P, N].

    Returns:
        The gain in AP, and the sum of the squares of what the lines leave: float [N] each.
    """
    slope, start = np.polyfit(np.log(images), log_errors, 1)
    line = start + np.outer(np.log([*images, 2 * images[-1]]), slope)
    gain = np.exp(line[-2]) - np.exp(line[-1])
    return gain, ((log_errors - line[:-1]) ** 2).sum(axis=0)


def page(curve: Curve, labelled: int, chart: str) -> str:
    """Return the page: a table, the forecast and the chart."""
    rows = [
        f"| {images:.0f} | {ap:.3f} | {low:.2f} to {high:.2f} |"
        for images, ap, (low, high) in zip(curve.images, curve.ap, curve.intervals, strict=True)
    ]
    gain, (low, high) = curve.gain
    forecast = (
        f"{labelled} more labelled images: AP {100 * gain:+.1f} points, 95 % {100 * low:+.1f} to "
        f"{100 * high:+.1f}, if they are like these and AP goes on as it did."
    )
    heading = ["| Images trained on | AP | 95 % interval |", "| ---: | ---: | ---: |"]
    picture = f"![AP by the number of images]({chart})"
    return "\n".join(["# Learning curve", "", *heading, *rows, "", forecast, "", picture]) + "\n"


def write_chart(curve: Curve, out: Path) -> None:
    """Draw a .png: AP with its intervals, and the forecast."""
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    ap, (gain, ends_of_gain) = np.array(curve.ap), curve.gain
    around = np.abs(np.array(curve.intervals) - ap[:, None]).T
    axes.errorbar(curve.images, ap, around, marker="o", capsize=4, label="cross-validated")
    beyond = [[gain - ends_of_gain[0]], [ends_of_gain[1] - gain]]
    twice = 2 * curve.images[-1]
    axes.errorbar([twice], [ap[-1] + gain], beyond, marker="o", capsize=4, label="forecast")
    axes.plot([curve.images[-1], twice], [ap[-1], ap[-1] + gain], linestyle=":", color="C1")
    axes.set_xscale("log", base=2)
    axes.set_xticks([*curve.images, twice], [f"{count:.0f}" for count in (*curve.images, twice)])
    axes.set_xlabel("images trained on")
    axes.set_ylabel("AP on all labelled images")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    with atomic_path(out) as tmp:
        figure.savefig(tmp, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
