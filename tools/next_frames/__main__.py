"""Next frames: some of the pool to label, with boxes that only need correction.

    python -m tools.next_frames OUT

OUT/pictures is for a new task in CVAT. OUT/next.zip is the "COCO 1.0" that it imports: the boxes
that the model has drawn. OUT/index.html shows both, OUT/frames.json says why each frame was chosen.
`next` of params.yaml says how many frames; what this choice is worth is in docs/loop.md.
"""

import argparse
import shutil
import sys
from pathlib import Path

import jinja2
import numpy as np

from detector.core.backend import ModelError
from detector.runtime.model_file import confidences
from stages.admission.findings import Findings
from stages.common.coco import labels_of, read_coco, read_image
from stages.common.cvat import task_names, write_import
from stages.common.files import atomic_path, read_json, write_json, write_text
from stages.common.metrics import read_metrics
from stages.common.params import Params, load_params
from stages.common.run import UserError
from stages.evaluation.html import jpeg_uri
from stages.evaluation.matching import by_image, corners
from stages.ingest.exports import exports_in
from stages.report.figures import view
from tools.next_frames.answers import DETECTIONS, other_answers
from tools.next_frames.ranking import choose, disagreement

DATASET, POOL = Path("data/dataset/annotations.json"), Path("data/pool")
TEMPLATE = Path(__file__).parent / "page.html"
WRITTEN = {"pictures", "next.zip", "index.html", "frames.json"}
TOLD = """\
1. In CVAT, create a task with the labels {labels}; select all files of {out}/pictures.
2. In the task: Actions, Upload annotations, format COCO 1.0, file {out}/next.zip.
3. Correct the boxes; add what is missing. {out}/index.html shows what to expect.
4. Actions, Export task dataset, format COCO 1.0, with "Save images" on.
5. {put}, and run: dvc repro"""


def main() -> None:
    """Choose frames of the pool, and write them for CVAT with boxes already drawn."""
    parser = argparse.ArgumentParser(prog="python -m tools.next_frames", description=main.__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    try:
        check_target(out)
        params = load_params()
        pool, found, images, reasons = chosen_frames(params)
        write(out, pool, found, images, reasons)
    except (UserError, ModelError, OSError) as error:
        sys.exit(f"next: {error}")
    drawn = sum(len(found[image["id"]]) for image in images)
    print(f"{out}: {len(images)} of {len(pool['images'])} frames, with {drawn} boxes drawn")
    print(TOLD.format(out=out, labels=", ".join(labels_of(pool)), put=where_to_put(params)))


def check_target(out: Path) -> None:
    """Check that nothing is replaced that was not written here.

    Raises:
        UserError: OUT is a file, or holds other files.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out} is a file or a link; name a folder")
    if others := sorted({path.name for path in out.glob("*")} - WRITTEN):
        raise UserError(f"{out} holds {others[0]!r} too, which would be lost; move it elsewhere")


def chosen_frames(params: Params) -> tuple[dict, dict[int, list[dict]], list[dict], list[str]]:
    """Choose frames.

    Returns:
        The pool, the boxes drawn in each of its frames, the entries of those that were chosen, and
        why each was.

    Raises:
        UserError: the pool is empty, or something is missing.
    """
    pool, known = read_json(POOL / "annotations.json"), read_coco(DATASET)["images"]
    if not pool["images"]:
        raise UserError(
            f"{POOL} holds no frames: name a folder, a zip or a video of frames without labels by "
            f"data.pool, which is {params.data.pool!r}, and run `dvc repro`"
        )
    labels, images = labels_of(pool), pool["images"]
    plain = read_json(DETECTIONS / "pool_torch.json")
    drawn = round(params.next.frames * params.next.random)
    scores = np.zeros(len(images))
    if drawn < params.next.frames:
        others = other_answers(pool, POOL / "images", params)
        scores = disagreement(images, [plain, *others], len(labels))
    rows = choose(images, known, scores, params.next.frames, drawn, seed=len(known))
    point = confidences(read_metrics(Path("metrics/operating_point.json")), labels)
    reasons = ["drawn at random"] * min(drawn, len(rows))
    reasons += [f"disagreement {scores[row]:.2f}" for row in rows[len(reasons) :]]
    return pool, by_image(plain, point), [images[row] for row in rows], reasons


def write(
    out: Path, pool: dict, found: dict[int, list[dict]], images: list[dict], reasons: list[str]
) -> None:
    """Write pictures, the import for CVAT, the page and frames.json into a folder."""
    names = task_names([image["file_name"] for image in images])
    labels, rows = labels_of(pool), [row for image in images for row in found[image["id"]]]
    shown = []
    with atomic_path(out) as tmp:
        (tmp / "pictures").mkdir(parents=True)
        for image, name, reason in zip(images, names, reasons, strict=True):
            shutil.copyfile(POOL / "images" / image["file_name"], tmp / "pictures" / name)
            shown.append(
                {
                    "name": name,
                    "frame": image["file_name"],
                    "chosen": reason,
                    "boxes": [
                        {
                            "label": labels[row["category_id"] - 1],
                            "bbox": [round(value, 2) for value in row["bbox"]],
                            "score": round(row["score"], 4),
                        }
                        for row in found[image["id"]]
                    ],
                }
            )
        write_json(tmp / "frames.json", shown)
        write_import(tmp / "next.zip", labels, images, names, rows)
        write_text(tmp / "index.html", page(shown))


def page(shown: list[dict]) -> str:
    """Return the page: every frame with its boxes."""
    frames = [{**one, "picture": jpeg_uri(picture(one["frame"], one["boxes"]))} for one in shown]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(frames=frames)


def picture(name: str, rows: list[dict]) -> np.ndarray:
    """Return a frame with the boxes that the model has drawn."""
    scores = np.array([row["score"] for row in rows])
    return view(read_image(POOL / "images" / name), np.zeros((0, 4)), corners(rows), scores)


def where_to_put(params: Params) -> str:
    """Say where the new export belongs, so that it counts beside the first one."""
    export = Path(params.data.export)
    if "" not in exports_in(export, params.ingest, Findings()):
        return f"Put that zip into {export}"
    return f"Put that zip and {export} into a folder of their own, name it in data.export"


if __name__ == "__main__":
    main()
