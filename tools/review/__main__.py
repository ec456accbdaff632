"""Review: the effects of a change, as one Markdown page for a pull request.

    python -m tools.review BASE OUT.md

Compares the working tree with a commit: parameters, data, and the figures in metrics/. The verdict
on a figure comes from the resamples and intervals that `evaluate`, `crossval` and `benchmark`
stored with it, so neither data nor models are needed. With --max-drop the exit status is 1 where an
AP is surely lower by more than that. Where the detections of both commits are in DVC's cache or a
remote, OUT_frames/ shows frames that INT8 gets right now and did not before, and the reverse.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import dvc.api
import yaml
from dvc.exceptions import DvcException

from detector.core.frame_detector import CONFIDENCE
from detector.runtime.model_file import confidences
from stages.common.coco import labels_of, read_coco
from stages.common.files import as_markdown, write_text
from stages.common.metrics import flat
from stages.common.run import UserError
from stages.evaluation.matching import by_image
from stages.report.table import NAMES, measured_on
from tools.review.accuracy import EQUAL, Evidence, ap_change, from_folds, from_val, power
from tools.review.common_images import on_common_images
from tools.review.frames import SHOWN, changed_images, write_picture
from tools.review.verdicts import BETWEEN_RUNS, WHY_INCOMPARABLE, Row, rows, why_incomparable

OTHERS = ("drop", "crossval", "speed", "data")
SPLITS = ("train", "val", "test")
ABSENT = object()  # a parameter may be null
DETECTIONS, VAL, DATASET = "data/detections/int8.json", "data/split/val.json", "data/dataset"


def main() -> None:
    """Write the review of the working tree against a commit."""
    parser = argparse.ArgumentParser(prog="python -m tools.review", description=__doc__)
    parser.add_argument("base", help="a commit, branch or tag")
    parser.add_argument("out", type=Path)
    parser.add_argument("--max-drop", type=float, help="AP points that any variant may lose")
    arguments = parser.parse_args()
    try:
        before, after = figures(arguments.base), figures(None)
        both = evidence(before, after)
        both = on_common_images(arguments.base, *both) or both
        write_text(arguments.out, review(arguments.base, before, after, both, arguments.out))
        print(arguments.out)
        check_losses(*both, arguments.max_drop)
    except UserError as error:
        sys.exit(f"review: {error}")
    except KeyError as error:
        sys.exit(
            f"review: the metrics of {arguments.base} lack {error}: an older version wrote them; "
            "name a newer commit"
        )
    except (AttributeError, TypeError, ValueError) as error:
        sys.exit(f"review: metrics/ holds something that `dvc repro` does not write: {error}")


def evidence(before: dict, after: dict) -> tuple[Evidence, Evidence]:
    """Return what both commits know of their accuracy: by folds where both have these."""
    if before["crossval"] and after["crossval"]:
        return tuple(from_folds(side["crossval"], side["fold_weights"]) for side in (before, after))
    return tuple(
        from_val(side["accuracy"], side["drop"], side["weights"]) for side in (before, after)
    )


def check_losses(before: Evidence, after: Evidence, max_drop: float | None) -> None:
    """Check that no variant is surely worse by more than is allowed; None allows anything.

    Raises:
        UserError: the whole interval of a change lies below `-max_drop`.
    """
    for key, name in NAMES.items() if max_drop is not None else ():
        found = ap_change(before, after, key)
        if found.interval[1] < -max_drop:
            raise UserError(
                f"AP of {name} changed by {found} points, and at most {max_drop:g} may be lost; "
                "see the page, or allow more by MAX_DROP"
            )


def review(base: str, before: dict, after: dict, both: tuple[Evidence, Evidence], out: Path) -> str:
    """Return the page, and write its pictures beside `out`."""
    parts = [
        f"# Review against {base}",
        *table_of(rows(before, after, both)),
        power(*both),
        *machines(before["speed"]["host"], after["speed"]["host"]),
        "## Parameters",
        params_table(base) or "Unchanged.",
        "## Data",
        *data_lines(before["data"], after["data"]),
        "## Frames whose INT8 detections changed",
        *frame_lines(base, out),
    ]
    return "\n\n".join(parts) + "\n"


def figures(revision: str | None) -> dict[str, dict]:
    """Read metrics/ at a commit; None: in the working tree."""
    names = {key: f"metrics/accuracy/{key}.json" for key in NAMES}
    lock = yaml.safe_load(text_at(revision, "dvc.lock"))["stages"]
    return {
        "accuracy": {key: metrics_at(revision, path) for key, path in names.items()},
        **{name: metrics_at(revision, f"metrics/{name}.json") for name in OTHERS},
        "weights": hashes(lock, "train"),
        "fold_weights": hashes(lock, "fold_train"),
    }


def hashes(lock: dict, stage: str) -> tuple[str, ...]:
    """Return the hashes of what a stage wrote, or all stages of its matrix, by dvc.lock."""
    own = [name for name in sorted(lock) if name.split("@")[0] == stage]
    return tuple(out.get("md5", "") for name in own for out in lock[name].get("outs", []))


def metrics_at(revision: str | None, path: str) -> dict:
    """Read a metrics file at a commit and undo `with_details`."""
    return flat(json.loads(text_at(revision, path)))


def text_at(revision: str | None, path: str) -> str:
    """Read a file of the project at a commit; None: in the working tree.

    Raises:
        UserError: it is not there, or Git does not show it.
    """
    if revision is None:
        if not Path(path).exists():
            raise UserError(f"{path} is missing; run `dvc repro`")
        return Path(path).read_text(encoding="utf-8")
    # `./` counts from the working directory, which is not Git's root in a subfolder.
    shown = subprocess.run(
        ["git", "show", "--end-of-options", f"{revision}:./{path}"], capture_output=True
    )
    if shown.returncode:
        reason = " ".join(shown.stderr.decode(errors="replace").split())
        raise UserError(
            f"{path} of {revision!r} cannot be read: {reason}; name a commit that holds it, and "
            "fetch that first where this is a shallow clone"
        )
    return shown.stdout.decode()


def table_of(changed: list[Row]) -> list[str]:
    if not changed:
        return ["No figure changed."]
    lines = ["| | before | after | change, 95 % | |", "| --- | ---: | ---: | ---: | --- |"]
    lines += [
        f"| {r.figure} | {r.before} | {r.after} | {r.change} | {r.verdict} |" for r in changed
    ]
    return [
        "\n".join(lines),
        "Changes of AP are in AP points. Better and worse: the 95 % interval of the change does "
        f"not hold 0. Equal: it lies within {EQUAL}. A speed-up that differs by less than "
        f"{100 * BETWEEN_RUNS:.0f} % is within the spread between runs.",
    ]


def machines(before: dict, after: dict) -> list[str]:
    """Say when and on which machines both were measured, and why speeds may not compare."""
    reason = why_incomparable(before, after)
    return [
        as_markdown(
            f"Speed before: measured on {measured_on(before)}. After: on {measured_on(after)}."
        ),
        *([WHY_INCOMPARABLE[reason]] if reason else []),
    ]


def params_table(base: str) -> str:
    """List the parameters that differ as Markdown; "" if none does.

    Not by `dvc params diff`, which writes into the repository: a review works in one that is
    read-only.
    """
    before, after = (leaves(yaml.safe_load(text_at(rev, "params.yaml"))) for rev in (base, None))
    rows = [
        f"| {as_markdown(name)} | {shown_value(before, name)} | {shown_value(after, name)} |"
        for name in {**before, **after}
        if before.get(name, ABSENT) != after.get(name, ABSENT)
    ]
    return "\n".join(["| | before | after |", "| --- | ---: | ---: |", *rows]) if rows else ""


def leaves(tree: dict, prefix: str = "") -> dict[str, object]:
    """Return the values of nested sections by dotted names, such as `train.max_epoch`."""
    found = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        found |= leaves(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def shown_value(params: dict[str, object], name: str) -> str:
    return as_markdown(json.dumps(params[name], ensure_ascii=False)) if name in params else "-"


def data_lines(before: dict, after: dict) -> list[str]:
    """Compare the counts of each split, and say whether the split leaks."""
    lines = ["| | before | after |", "| --- | ---: | ---: |"]
    for split in SPLITS:
        old, new = (counts(data.get(split)) for data in (before, after))
        lines += [
            f"| {split}, {name} | {old.get(name, 0)} | {new.get(name, 0)} |"
            for name in {**old, **new}
            if old.get(name, 0) != new.get(name, 0)
        ]
    exports = [data.get("exports", {}) for data in (before, after)]
    for name in sorted({*exports[0], *exports[1]}):
        shown = [f"{e[name]['images']} images, {e[name]['boxes']} boxes" if name in e else "-"
                 for e in exports]  # fmt: skip
        if shown[0] != shown[1]:
            lines.append(f"| export {as_markdown(name)} | {shown[0]} | {shown[1]} |")
    leaks = after["crossing"]["judged_images"]
    leak = f"{leaks} val or test images have a near duplicate in train: AP is too high."
    return [
        "\n".join(lines) if len(lines) > 2 else "The same number of images and boxes.",
        leak if leaks else "No val or test image has a near duplicate in train.",
    ]


def counts(split: dict | None) -> dict[str, int]:
    if split is None:
        return {}
    classes = {f"boxes of {as_markdown(label)}": count for label, count in split["classes"].items()}
    return {"images": split["images"], "boxes": split["boxes"], **classes}


def frame_lines(base: str, out: Path) -> list[str]:
    """Return links to pictures of the frames whose outcome changed, and write these."""
    if not all(Path(path).exists() for path in (DETECTIONS, VAL, DATASET)):
        return ["Not shown: the data of this commit is not here; `dvc pull` fetches it."]
    try:
        before = json.loads(dvc.api.read(DETECTIONS, rev=base))
        same_images = dvc.api.read(VAL, rev=base) == Path(VAL).read_text(encoding="utf-8")
    except (DvcException, OSError) as error:
        kind = type(error).__name__
        return [f"Not shown: {DETECTIONS} of {base} is in no cache or remote ({kind})."]
    if not same_images:
        return ["Not shown: the val images differ from those of the base."]
    after, coco = json.loads(Path(DETECTIONS).read_text(encoding="utf-8")), read_coco(Path(VAL))
    own = [confidences_at(revision, labels_of(coco)) for revision in (base, None)]
    runs = [by_image(rows, least) for rows, least in zip((before, after), own, strict=True)]
    changed, lines = changed_images(coco, runs), []
    for now_right, words in ((False, "Right before, wrong now"), (True, "Wrong before, right now")):
        own = [image for image, is_right in changed if is_right == now_right]
        lines.append(f"{words}: {len(own)} of {len(coco['images'])} frames.")
        for number, image in enumerate(own[:SHOWN]):
            folder = out.with_name(f"{out.stem}_frames")
            picture = folder / f"{'right' if now_right else 'wrong'}_{number}.jpg"
            write_picture(picture, Path(DATASET) / "images", image, coco, runs)
            place = picture.relative_to(out.parent)
            name = as_markdown(image["file_name"])
            lines.append(f"![{name}, before above, after below]({place})")
    return lines


def confidences_at(revision: str | None, labels: list[str]) -> list[float]:
    """Return the confidence from which the deployed model of a commit reports each class."""
    try:
        return confidences(metrics_at(revision, "metrics/operating_point.json"), labels)
    except UserError:
        return [CONFIDENCE] * len(labels)  # an older version chose none


if __name__ == "__main__":
    main()
