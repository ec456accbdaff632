"""Tell what a student gains that also learns from a teacher's boxes in frames without labels.

    python -m tools.teach_study EXPORT FOLDER --pool PATTERN --judge PATTERN [--labels N]
        [--label PATTERN] [--seeds 0 1 2] [--tries TRY ...] [--set KEY=VALUE ...]

Of the images whose file names hold `--label`, N are labelled, drawn with each seed. A teacher that
was trained on them detects in the images of `--pool`; students of the same model learn from the
labels and these boxes. The images of `--judge` tell AP. No image is in two of the three.

FOLDER keeps the models; a training that is there is not repeated.
"""

import argparse
import re
from pathlib import Path

import numpy as np

from stages.common.coco import subset
from stages.common.groups import MAX_BITS, different_bits, hashes_of
from stages.evaluation.fidelity import as_truth
from stages.evaluation.matching import by_image, match
from tools.next_frames.answers import detect_mirrored
from tools.next_study import spread
from tools.study import Study, parser_of

SURE, UNSURE = 0.5, 0.15
# By try: how the teacher's boxes are taken, and how many rounds of teaching there are.
TRIES = {
    "boxes from 0.5": ("all", 1),
    "frames without doubt": ("sure", 1),
    "boxes that a mirror confirms": ("mirror", 1),
    "frames without doubt, two rounds": ("sure", 2),
}
LABELS, AS_LONG = "labels only", "labels only, as many steps"


def main() -> None:
    """Tell what a student gains that also learns from a teacher's boxes."""
    parser = parser_of("teach_study", main.__doc__)
    parser.add_argument("--label", default="", metavar="PATTERN")
    parser.add_argument("--pool", required=True, metavar="PATTERN")
    parser.add_argument("--judge", required=True, metavar="PATTERN")
    parser.add_argument("--labels", type=int, default=30)
    parser.add_argument("--frames", type=int, default=90, help="of the pool, evenly spread")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tries", nargs="+", default=[*TRIES], choices=[*TRIES])
    arguments = parser.parse_args()
    study = TeachStudy(arguments)
    found = {name: [] for name in (LABELS, AS_LONG, *arguments.tries)}
    for seed in arguments.seeds:
        for name, ap in study.run(seed, arguments.tries).items():
            found[name].append(ap)
    print("| learned from | AP, points | over labels only |\n| --- | ---: | ---: |")
    for name, ap in found.items():
        gain = spread(np.array(ap) - found[LABELS])
        print(f"| {name} | {', '.join(f'{value:.1f}' for value in ap)} | {gain} |")


class TeachStudy(Study):
    """A study whose images are labelled, in the pool, or judging."""

    def __init__(self, arguments: argparse.Namespace):
        super().__init__(arguments)
        self.arguments = arguments
        self.judges = subset(self.coco, self.named(arguments.judge))

    def named(self, pattern: str) -> list[dict]:
        images = self.coco["images"]
        return [image for image in images if re.search(pattern, image["file_name"])]

    def run(self, seed: int, tries: list[str]) -> dict[str, float]:
        """Return AP by what was learned from, in points."""
        given, judging = self.arguments, {image["id"] for image in self.judges["images"]}
        candidates = [im for im in self.named(given.label) if im["id"] not in judging]
        rows = np.random.default_rng(seed).choice(len(candidates), given.labels, replace=False)
        labelled = [candidates[row] for row in sorted(rows)]
        apart = different_bits(hashes_of(self.named(given.pool)), hashes_of(labelled)).min(1)
        pool = [im for im, bits in zip(self.named(given.pool), apart, strict=True)
                if bits > MAX_BITS and im["id"] not in judging]  # fmt: skip
        pool = [pool[n * len(pool) // given.frames] for n in range(given.frames)] if (
            len(pool) > given.frames
        ) else pool  # fmt: skip
        truth, out = subset(self.coco, labelled), self.folder / f"seed {seed}"
        found = {LABELS: self.train(out / LABELS, truth, self.judges, **{"train.seed": seed})}
        epochs = self.params.train.max_epoch * (len(labelled) + len(pool)) // len(labelled)
        changes = {"train.seed": seed, "train.max_epoch": epochs}
        found[AS_LONG] = self.train(out / AS_LONG, truth, self.judges, **changes)
        for name in tries:
            how, rounds = TRIES[name]
            teacher = out / LABELS
            for number in range(1, rounds + 1):
                taught = self.taught(teacher, how, pool)
                both = {
                    **truth,
                    "images": labelled + taught["images"],
                    "annotations": numbered(truth["annotations"] + taught["annotations"]),
                }
                student = out / name / str(number)
                found[name] = self.train(student, both, self.judges, **{"train.seed": seed})
                teacher = student
        return found

    def taught(self, teacher: Path, how: str, pool: list[dict]) -> dict:
        """Return the frames of the pool with the boxes of a teacher."""
        rows = by_image(self.detect(teacher, "yolox.pth", pool, "pool"))
        mirrored = {}
        if how == "mirror":
            found = self.detect(teacher, "yolox.pth", pool, "mirrored", detect_mirrored)
            mirrored = by_image([row for row in found if row["score"] >= UNSURE])
        images, boxes = [], []
        for image in pool:
            own = rows[image["id"]]
            sure = [row for row in own if row["score"] >= SURE]
            if how == "mirror":
                pairs = match(sure, mirrored.get(image["id"], []))
                sure = [row for row, (other, _) in zip(sure, pairs, strict=True)
                        if other is not None]  # fmt: skip
            doubt = any(UNSURE <= row["score"] < SURE for row in own)
            if how == "all" or (sure and not doubt) or (how == "mirror" and sure):
                images.append(image)
                boxes += sure
        return {"images": images, "annotations": as_truth(boxes)}


def numbered(boxes: list[dict]) -> list[dict]:
    return [{**box, "id": number} for number, box in enumerate(boxes, 1)]


if __name__ == "__main__":
    main()
