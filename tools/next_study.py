"""Compare ways to choose the frames that are labelled next.

    python -m tools.next_study EXPORT FOLDER --judge PATTERN [--images 40] [--step 20] [--steps 2]
        [--draws 0 1 2 3 4] [--ways WAY ...] [--set KEY=VALUE ...]

The images of the export whose file names hold PATTERN judge, the others are the pool. Each draw
takes some of the pool at random, trains on them, lets each way choose `--step` more, which the
labels of the export then stand for, and trains again. Prints AP on the judging images, how many
boxes the chosen frames have, and how many of the drawn ones were right.

FOLDER keeps the models; a training that is there is not repeated.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detector.core.frame_detector import CONFIDENCE
from stages.common.coco import labels_of, subset
from stages.common.groups import MAX_BITS, different_bits, hashes_of
from stages.evaluation.matching import by_image, corners
from tools.next_frames.answers import detect_mirrored
from tools.next_frames.ranking import choose, disagreement
from tools.stand_in import count_right
from tools.study import Study, parser_of

FOLDS = 3
WAYS = ("random", "every Nth", "looks", "disagreement", "disagreement of folds")


@dataclass
class Run:
    """The result of one draw.

    Attributes:
        ap: AP points on the judging images, at first and after each step.
        boxes: number of boxes of the chosen frames.
        drawn: boxes that the model drew there at its confidence.
        right: of the boxes, those that the model drew so that a person would leave them.
    """

    ap: list[float] = field(default_factory=list)
    boxes: int = 0
    drawn: int = 0
    right: int = 0


def main() -> None:
    """Compare ways to choose the frames that are labelled next."""
    parser = parser_of("next_study", main.__doc__)
    parser.add_argument("--judge", required=True, metavar="PATTERN")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--step", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--draws", type=int, nargs="+", default=[*range(5)])
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    arguments = parser.parse_args()
    study = NextStudy(arguments)
    print_table({way: [study.run(way, d) for d in arguments.draws] for way in arguments.ways})


class NextStudy(Study):
    """A study of which a part of the images judges, and the rest is a pool."""

    def __init__(self, arguments: argparse.Namespace):
        super().__init__(arguments)
        self.arguments = arguments
        judging = {
            image["id"]
            for image in self.coco["images"]
            if re.search(arguments.judge, image["file_name"])
        }
        self.pool = [image for image in self.coco["images"] if image["id"] not in judging]
        judges = [image for image in self.coco["images"] if image["id"] in judging]
        self.judges = subset(self.coco, judges)

    def run(self, way: str, draw: int) -> Run:
        """Label some images, and more of them as a way chooses; train after each step."""
        rng, given = np.random.default_rng(draw), self.arguments
        rows = rng.choice(len(self.pool), given.images, replace=False)
        labelled, found = [self.pool[row] for row in sorted(rows)], Run()
        for number in range(given.steps + 1):
            out = self.folder / f"draw {draw}" / (way if number else "at first") / str(number)
            found.ap.append(self.train(out, subset(self.coco, labelled), self.judges))
            if number < given.steps:
                candidates = self.candidates(labelled)
                rows = self.choose(way, out, labelled, candidates)
                chosen = [candidates[row] for row in rows]
                self.count(found, chosen, self.detect(out, "yolox.pth", self.pool, "pool"))
                labelled = sorted(labelled + chosen, key=lambda image: image["id"])
        return found

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
        self, way: str, out: Path, labelled: list[dict], candidates: list[dict]
    ) -> Sequence[int]:
        count = self.arguments.step
        if way == "every Nth":
            return [number * len(candidates) // count for number in range(count)]
        scores, drawn = np.ones(len(candidates)), count if way == "random" else 0
        if way.startswith("disagreement"):
            answers = self.answers(out, labelled if way.endswith("folds") else [])
            classes = len(labels_of(self.coco))
            scores, drawn = disagreement(candidates, answers, classes), count // 4
        return choose(candidates, labelled, scores, count, drawn, seed=0)

    def answers(self, out: Path, labelled: list[dict]) -> list[list[dict]]:
        """Return what the model finds in the pool, as INT8 and in a mirror too; and, where the
        labelled images are given, models that have not seen a part of them."""
        self.convert(out)
        answers = [self.detect(out, name, self.pool, name) for name in ("ir", "int8")]
        answers.append(self.detect(out, "ir", self.pool, "mirrored", detect_mirrored))
        for fold in range(FOLDS if labelled else 0):
            own = [image for n, image in enumerate(labelled) if n % FOLDS != fold]
            self.train(out / str(fold), subset(self.coco, own), self.judges)
            answers.append(self.detect(out / str(fold), "yolox.pth", self.pool, "pool"))
        return answers

    def count(self, found: Run, chosen: list[dict], rows: list[dict]) -> None:
        """Count the boxes of chosen frames, and how well a model has drawn them."""
        truth = by_image(self.coco["annotations"])
        drawn = by_image(rows, [CONFIDENCE] * len(labels_of(self.coco)))
        for image in chosen:
            true, own = (corners(side[image["id"]]) for side in (truth, drawn))
            found.boxes, found.drawn = found.boxes + len(true), found.drawn + len(own)
            found.right += count_right(true, own)


def print_table(found: dict[str, list[Run]]) -> None:
    print("| chosen by | AP, points | over random | boxes | drawn right | drawn |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    plain = np.array([run.ap for run in found["random"]]) if "random" in found else None
    for way, runs in found.items():
        ap = np.array([run.ap for run in runs])
        means = " ".join(f"{value:.1f}" for value in ap.mean(axis=0))
        gain = "" if plain is None else " ".join(map(spread, (ap - plain)[:, 1:].T))
        counts = (sum(getattr(run, key) for run in runs) for key in ("boxes", "right", "drawn"))
        print(f"| {way} | {means} | {gain} | {' | '.join(map(str, counts))} |")


def spread(values: np.ndarray) -> str:
    return f"{values.mean():+.1f} ({values.min():+.1f} to {values.max():+.1f})"


if __name__ == "__main__":
    main()
