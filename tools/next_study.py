"""Compare ways to choose the frames that are labelled next.

    python -m tools.next_study EXPORT FOLDER --judge PATTERN [--images 40] [--step 20] [--steps 2]
        [--draws 5] [--set KEY=VALUE ...]

The images of the export whose file names hold PATTERN judge, the others are the pool. Each draw
takes some of the pool at random, trains on them, lets each way choose `--step` more, which the
labels of the export then stand for, and trains again. Prints AP on the judging images, how many
boxes the chosen frames have, and how many of the drawn ones were right.

FOLDER keeps the models; a training that is there is not repeated.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from detector.core.frame_detector import CONFIDENCE
from stages.common.coco import labels_of, read_coco, subset
from stages.common.files import read_json, write_json
from stages.common.groups import MAX_BITS, different_bits, hashes_of
from stages.common.params import load_params
from stages.evaluate import detect, open_backend
from stages.evaluation.matching import by_image, corners, iou_matrix
from tools.next_frames.answers import detect_mirrored
from tools.next_frames.ranking import choose, disagreement
from tools.params_file import ROOT, run_stage, write_params

FOLDS = 3
WAYS = ("random", "every Nth", "looks", "disagreement", "disagreement of folds")
WEIGHTS = ROOT / "models/pretrained.pth"
RIGHT_IOU = 0.75  # of a box that a person would leave as it is


def main() -> None:
    """Compare ways to choose the frames that are labelled next."""
    parser = argparse.ArgumentParser(prog="python -m tools.next_study", description=main.__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge", required=True, metavar="PATTERN")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--step", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--draws", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="settings")
    arguments = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in arguments.settings)
    changes = {key: yaml.safe_load(value) for key, value in settings.items()}
    folder = arguments.folder.resolve()
    study = Study(folder, arguments.export.resolve(), arguments.judge, changes)
    found = {
        way: [
            study.run(way, draw, arguments.images, arguments.step, arguments.steps)
            for draw in arguments.draws
        ]
        for way in arguments.ways
    }
    print_table(found)


class Study:
    """The data of a study, and its trainings below a folder."""

    def __init__(self, folder: Path, export: Path, judge: str, changes: dict):
        self.folder, self.dataset = folder, folder / "dataset"
        if not self.dataset.exists():
            write_params(folder, {**changes, "data.export": str(export)})
            run_stage(folder, "ingest", "dataset")
        self.params = load_params(folder / "params.yaml")
        self.coco = read_coco(self.dataset / "annotations.json")
        judging = [bool(re.search(judge, image["file_name"])) for image in self.coco["images"]]
        images = list(zip(self.coco["images"], judging, strict=True))
        self.judges = subset(self.coco, [image for image, judges in images if judges])
        self.pool = [image for image, judges in images if not judges]
        write_json(folder / "judges.json", self.judges)

    def run(self, way: str, draw: int, start: int, step: int, steps: int) -> Run:
        """Label some images, and more of them as a way chooses; train after each step."""
        rows = np.random.default_rng(draw).choice(len(self.pool), start, replace=False)
        labelled, found = [self.pool[row] for row in sorted(rows)], Run([], 0, 0, 0)
        for number in range(steps + 1):
            out = self.folder / f"draw {draw}" / (way if number else "at first") / str(number)
            found.ap.append(self.train(out, labelled))
            if number == steps:
                return found
            candidates = self.candidates(labelled)
            chosen = [candidates[row] for row in self.choose(way, out, labelled, candidates, step)]
            found.count(subset(self.coco, chosen), self.detect(out, "ir"))
            labelled = sorted(labelled + chosen, key=lambda image: image["id"])
        raise AssertionError

    def candidates(self, labelled: list[dict]) -> list[dict]:
        """Return the images of the pool that repeat nothing, as the stage `pool` takes them."""
        seen, kept = hashes_of(labelled), []
        for image in self.pool:
            own = hashes_of([image])
            if (different_bits(own, seen) > MAX_BITS).all():
                seen = np.concatenate([seen, own])
                kept.append(image)
        return kept

    def choose(
        self, way: str, out: Path, labelled: list[dict], candidates: list[dict], count: int
    ) -> Sequence[int]:
        if way == "every Nth":
            return [number * len(candidates) // count for number in range(count)]
        scores, drawn = np.ones(len(candidates)), count if way == "random" else 0
        if way.startswith("disagreement"):
            answers = [self.detect(out, name) for name in ("ir", "int8", "flipped")]
            if way.endswith("folds"):
                answers += [self.detect_fold(out, labelled, fold) for fold in range(FOLDS)]
            labels = labels_of(self.coco)
            scores, drawn = disagreement(candidates, answers, len(labels)), count // 4
        return choose(candidates, labelled, scores, count, drawn, seed=0)

    def train(self, out: Path, labelled: list[dict]) -> float:
        """Train on images; return AP on the judging ones."""
        if not (out / "accuracy.json").exists():
            write_json(out / "train.json", subset(self.coco, labelled))
            self.stage("train", out / "train.json", self.dataset, WEIGHTS, out / "yolox.pth")
            self.stage("evaluate", out / "yolox.pth", self.folder / "judges.json", self.dataset,
                       out / "accuracy.json", out / "curve.csv", out / "judged.json")  # fmt: skip
        return 100 * read_json(out / "accuracy.json")["AP"]

    def stage(self, name: str, *arguments: object) -> None:
        run_stage(self.folder, name, *arguments)

    def detect(self, out: Path, name: str) -> list[dict]:
        """Return what the model of a training finds in the pool: as IR, as INT8, or mirrored."""
        path, val = out / f"{name}.json", self.folder / "judges.json"
        if not path.exists():
            if not (out / "ir").exists():
                onnx = out / "yolox.onnx"
                self.stage("export", out / "yolox.pth", val, self.dataset, onnx)
                self.stage("ir", onnx, val, self.dataset, out / "ir")
            if name == "int8":
                listed = out / "train.json"
                self.stage("quantize", out / "ir", listed, val, self.dataset, out / "int8")
            model = out / ("int8" if name == "int8" else "ir")
            find = detect_mirrored if name == "flipped" else detect
            images = {**self.coco, "images": self.pool}
            found = find(open_backend(model, "f32"), images, self.dataset / "images",
                         self.params.evaluate)  # fmt: skip
            write_json(path, found)
        return read_json(path)

    def detect_fold(self, out: Path, labelled: list[dict], fold: int) -> list[dict]:
        """Return what a model finds in the pool that has not seen one fold of the images."""
        self.train(out / str(fold), [im for n, im in enumerate(labelled) if n % FOLDS != fold])
        return self.detect(out / str(fold), "ir")


@dataclass
class Run:
    """The result of one draw.

    Attributes:
        ap: AP points on the judging images, at first and after each step.
        boxes: of the chosen frames.
        drawn: boxes that the model drew there at its confidence.
        right: of these, boxes that a person would leave as they are.
    """

    ap: list[float]
    boxes: int
    drawn: int
    right: int

    def count(self, chosen: dict, rows: list[dict]) -> None:
        """Count the boxes of chosen frames, and how well a model has drawn them."""
        truth = by_image(chosen["annotations"])
        drawn = by_image(rows, [CONFIDENCE] * len(labels_of(chosen)))
        for image in chosen["images"]:
            true, own = (side[image["id"]] for side in (truth, drawn))
            self.boxes, self.drawn = self.boxes + len(true), self.drawn + len(own)
            overlaps = iou_matrix(corners(own), corners(true))
            self.right += int((overlaps >= RIGHT_IOU).any(0).sum()) if len(own) else 0


def print_table(found: dict[str, list[Run]]) -> None:
    print("| chosen by | AP, points | gain over random | boxes | of these drawn right | drawn |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    plain = np.array([run.ap for run in found["random"]]) if "random" in found else None
    for way, runs in found.items():
        ap = np.array([run.ap for run in runs])
        gain = "" if plain is None else " ".join(f"{g:+.1f}" for g in (ap - plain).mean(0)[1:])
        boxes, drawn, right = (
            sum(getattr(r, k) for r in runs) for k in ("boxes", "drawn", "right")
        )
        print(f"| {way} | {' '.join(f'{a:.1f}' for a in ap.mean(0))} | {gain} | {boxes} | "
              f"{right} | {drawn} |")  # fmt: skip
        print(f"    {np.round(ap, 1).tolist()}")


if __name__ == "__main__":
    main()
