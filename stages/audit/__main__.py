"""Audit: one HTML page to check a data set by eye before training.

In:   data/dataset     images, annotations.json and report.json of `ingest`
      data/split       the splits, and in report.json the near duplicates
Out:  data/audit.html   counts, plots, frames and suspicious boxes; works offline

Run:  python -m stages.audit data/dataset data/split data/audit.html
"""

from pathlib import Path

import jinja2

from stages.audit import thumbnails
from stages.audit.crops import OTHERS, class_colors, render
from stages.audit.drawings import places_svg, sizes_svg
from stages.audit.measures import (
    MIN_SIDE_PX,
    Boxes,
    class_rows,
    count_splits,
    measure,
    splits_of,
    too_small,
)
from stages.audit.summary import summarize
from stages.audit.suspicious_boxes import FEW_BOXES, Suspicion, find_suspicious_boxes
from stages.common.coco import labels_of, read_coco
from stages.common.files import read_json, write_text
from stages.common.params import load_params
from stages.common.run import UserError, run_stage

TEMPLATE = Path(__file__).parent / "page.html"
NOTES = 100
PLACES = ("category", "image", "annotation")


def main(dataset: Path, split: Path, out: Path) -> None:
    """Write the audit page of a data set."""
    params = load_params()
    coco = read_coco(dataset / "annotations.json", boxes_needed=True)
    splits, split_report = splits_of(coco, split), read_split_report(split / "report.json", coco)
    notes = notes_of(read_json(dataset / "report.json"))
    boxes = measure(coco, params.model.input_hw)
    found = find_suspicious_boxes(boxes, labels_of(coco))
    words = facts(coco, boxes, splits, split_report, found)
    drawn = drawings(boxes, len(coco["categories"]), params.model.input_hw)
    seen = pictures(
        coco, boxes, splits, split_report, found, params.audit.pictures, dataset / "images"
    )
    write_text(out, page(**words, **drawn, **seen, notes=notes))
    print("{images} images, {boxes} boxes".format(**words["counts"]), end=": ")
    print(f"{words['small']} under {MIN_SIDE_PX} px at the input, {words['suspicious']} to check")
    print(f"Look at it: {out}")


def read_split_report(path: Path, coco: dict) -> dict:
    """Read the report of `split`.

    Raises:
        UserError: it is unreadable, or names images that the data set lacks.
    """
    split_report = read_json(path)
    named = {name for pair in split_report["near_duplicates"] for name in pair["images"]}
    strange = sorted(named - {image["file_name"] for image in coco["images"]})
    if strange:
        raise UserError(
            f"{path} names {strange[0]!r}, which the data set lacks; run `dvc repro split`"
        )
    return split_report


def facts(
    coco: dict, boxes: Boxes, splits: list[str], split_report: dict, found: list[Suspicion]
) -> dict:
    """Return the numbers and sentences of the page."""
    table = class_rows(boxes, labels_of(coco), splits)
    return {
        "counts": {
            "images": len(coco["images"]),
            "boxes": len(boxes.ids),
            "classes": len(table),
            **count_splits(splits),
        },
        "summary": summarize(coco, boxes, table, splits, split_report, found),
        "classes": table,
        "small": int(too_small(boxes).sum()),
        "suspicious": len({suspicion.row for suspicion in found}),
        "near_duplicate_pairs": split_report["near_duplicate_pairs"],
    }


def drawings(boxes: Boxes, classes: int, input_hw: tuple[int, int]) -> dict:
    """Return the plots of the page and the class colors."""
    colors = class_colors(boxes, classes)
    return {
        "input": "{}x{}".format(*input_hw),
        "colors": colors,
        "others": OTHERS if OTHERS in colors else None,
        "sizes": sizes_svg(boxes, colors, input_hw),
        "places": places_svg(boxes),
    }


def pictures(
    coco: dict,
    boxes: Boxes,
    splits: list[str],
    split_report: dict,
    found: list[Suspicion],
    count: int,
    images_dir: Path,
) -> dict:
    """Return the thumbnails of each section and their rendered crops."""
    frames, pairs = (
        thumbnails.frames(coco, boxes, splits, count),
        thumbnails.pairs(coco, boxes, split_report),
    )
    smallest, largest = thumbnails.extremes(coco, boxes)
    odd = thumbnails.odd_ones(coco, boxes, found)
    both = [thumbnail for pair in pairs for thumbnail in pair.thumbnails]
    crops = [thumbnail.crop for thumbnail in (*frames, *both, *smallest, *largest, *odd)]
    return {
        "frames": frames,
        "pairs": pairs,
        "smallest": smallest,
        "largest": largest,
        "odd": odd,
        "pictures": render(crops, coco, boxes, images_dir),
    }


def notes_of(report: dict) -> dict:
    """Return the first warnings and repairs of `ingest` as `rows`, and the number of `more`."""
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
