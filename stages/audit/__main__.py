"""Look: one page by which a person checks a data set by eye, before anything is trained.

In:   data/dataset     pictures, annotations.json and report.json of `ingest`
      data/split       the sides, and in report.json the pictures that look the same
Out:  data/audit.html   counts, drawings, frames and the boxes to check; opens without a network

Run:  python -m stages.audit.__main__ data/dataset data/split data/audit.html
"""

from pathlib import Path

import jinja2

from stages.audit import thumbnails
from stages.audit.crops import OTHERS, colours, render
from stages.audit.drawings import places_svg, sizes_svg
from stages.audit.measures import (
    MIN_SIDE_PX,
    Boxes,
    class_rows,
    measure,
    sides_met,
    sides_of,
    too_small,
)
from stages.audit.summary import verdict
from stages.audit.suspicious_boxes import FEW_BOXES, Doubt, doubts
from stages.common.coco import labels_of, read_coco
from stages.common.files import read_json, write_text
from stages.common.params import load_params
from stages.common.run import UserError, run_stage

TEMPLATE = Path(__file__).parent / "page.html"
NOTES = 100
PLACES = ("category", "image", "annotation")


def main(dataset: Path, split: Path, out: Path) -> None:
    """Writes the page that shows a data set."""
    params = load_params()
    coco = read_coco(dataset / "annotations.json", boxes_needed=True)
    sides, twins = sides_of(coco, split), read_twins(split / "report.json", coco)
    notes = notes_of(read_json(dataset / "report.json"))
    boxes = measure(coco, params.model.input_hw)
    found = doubts(boxes, labels_of(coco))
    words = facts(coco, boxes, sides, twins, found)
    drawn = drawings(boxes, len(coco["categories"]), params.model.input_hw)
    seen = pictures(coco, boxes, sides, twins, found, params.audit.pictures, dataset / "images")
    write_text(out, page(**words, **drawn, **seen, notes=notes))
    print("{images} images, {boxes} boxes".format(**words["counts"]), end=": ")
    print(f"{words['small']} under {MIN_SIDE_PX} px at the input, {words['in_doubt']} to check")
    print(f"Look at it: {out}")


def read_twins(path: Path, coco: dict) -> dict:
    """The report of `split`.

    Raises:
        UserError: it is unreadable, or speaks of other pictures than the data set has.
    """
    twins = read_json(path)
    named = {name for pair in twins["near_duplicates"] for name in pair["images"]}
    strange = sorted(named - {image["file_name"] for image in coco["images"]})
    if strange:
        raise UserError(
            f"{path} names {strange[0]!r}, which the data set lacks; run `dvc repro split`"
        )
    return twins


def facts(coco: dict, boxes: Boxes, sides: list[str], twins: dict, found: list[Doubt]) -> dict:
    """The numbers and sentences of the page."""
    table = class_rows(boxes, labels_of(coco), sides)
    return {
        "counts": {
            "images": len(coco["images"]),
            "boxes": len(boxes.ids),
            "classes": len(table),
            **sides_met(sides),
        },
        "verdict": verdict(coco, boxes, table, sides, twins, found),
        "classes": table,
        "small": int(too_small(boxes).sum()),
        "in_doubt": len({doubt.row for doubt in found}),
        "twin_pairs": twins["near_duplicate_pairs"],
    }


def drawings(boxes: Boxes, classes: int, input_hw: tuple[int, int]) -> dict:
    """The drawings of the page and the colours that explain them."""
    hues = colours(boxes, classes)
    return {
        "input": "{}x{}".format(*input_hw),
        "hues": hues,
        "others": OTHERS if OTHERS in hues else None,
        "sizes": sizes_svg(boxes, hues, input_hw),
        "places": places_svg(boxes),
    }


def pictures(
    coco: dict,
    boxes: Boxes,
    sides: list[str],
    twins: dict,
    found: list[Doubt],
    count: int,
    images_dir: Path,
) -> dict:
    """The tiles of each section, and the pictures that they show."""
    frames, pairs = (
        thumbnails.frames(coco, boxes, sides, count),
        thumbnails.pairs(coco, boxes, twins),
    )
    smallest, largest = thumbnails.extremes(coco, boxes)
    odd = thumbnails.odd_ones(coco, boxes, found)
    both = [tile for pair in pairs for tile in pair.tiles]
    shots = [tile.shot for tile in (*frames, *both, *smallest, *largest, *odd)]
    return {
        "frames": frames,
        "pairs": pairs,
        "smallest": smallest,
        "largest": largest,
        "odd": odd,
        "pictures": render(shots, coco, boxes, images_dir),
    }


def notes_of(report: dict) -> dict:
    """What `ingest` warned of and repaired: the first `rows`, and how many `more` there are."""
    rows = [
        (kind, note, " ".join(f"{key} {note[key]}" for key in PLACES if key in note))
        for kind, notes in (("warning", report["warnings"]), ("repair", report["repairs"]))
        for note in notes
    ]
    return {"rows": rows[:NOTES], "more": len(rows[NOTES:])}


def page(**content: object) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(least_px=MIN_SIDE_PX, few=FEW_BOXES, **content)


if __name__ == "__main__":
    run_stage(main)
