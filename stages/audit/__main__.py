"""Audit: one HTML page to check a data set by eye before training.

In:   data/dataset     images, annotations.json and report.json of `ingest`
      data/split       the splits, and in report.json the near duplicates
      --suspects       suspects.json of `label_errors`
Out:  data/audit.html   counts, plots, frames and suspicious boxes; works offline

Run:  python -m stages.audit data/dataset data/split data/audit.html
"""

from pathlib import Path

import jinja2

from stages.audit.measures import MIN_SIDE_PX, class_rows, count_splits, measure, splits_of
from stages.audit.plots import plot_positions, plot_sizes
from stages.audit.summary import summarize
from stages.audit.suspicious_boxes import FEW_BOXES, find_suspicious_boxes
from stages.audit.thumbnails import OTHERS, Thumbnails
from stages.common.coco import labels_of, read_coco
from stages.common.files import read_json, write_text
from stages.common.params import load_params
from stages.common.run import UserError, run_stage

TEMPLATE = Path(__file__).parent / "page.html"
NOTES, SUSPECTS = 100, 60
PLACES = ("category", "image", "annotation")


def main(dataset: Path, split: Path, out: Path, *, suspects: Path | None = None) -> None:
    """Write the audit page of a data set."""
    params = load_params()
    coco = read_coco(dataset / "annotations.json", boxes_needed=True)
    splits, split_report = splits_of(coco, split), read_split_report(split / "report.json", coco)
    input_hw = params.model.input_hw
    boxes = measure(coco, input_hw)
    found = find_suspicious_boxes(boxes, labels_of(coco))
    classes = class_rows(boxes, labels_of(coco), splits)
    thumbnails = Thumbnails(coco, boxes, dataset / "images")
    counts = {"images": len(splits), "boxes": len(boxes.ids), "classes": len(classes)}
    small, suspicious = int(boxes.too_small().sum()), len({one.row for one in found})
    page = render_page(
        counts=counts | count_splits(splits),
        summary=summarize(boxes, classes, splits, split_report, found),
        input="{}x{}".format(*input_hw),
        classes=classes,
        colors=thumbnails.colors,
        small=small,
        sizes=plot_sizes(boxes, thumbnails.colors, input_hw),
        positions=plot_positions(boxes),
        **thumbnails.sections(
            splits, split_report["near_duplicates"], found, params.audit.pictures
        ),
        **suspect_labels(thumbnails, suspects),
        near_duplicate_pairs=split_report["near_duplicate_pairs"],
        suspicious=suspicious,
        notes=notes_of(read_json(dataset / "report.json")),
    )
    write_text(out, page)
    print("{images} images, {boxes} boxes".format(**counts), end=": ")
    print(f"{small} under {MIN_SIDE_PX} px at the input, {suspicious} to check")
    print(f"Look at it: {out}")


def suspect_labels(thumbnails: Thumbnails, path: Path | None) -> dict:
    """Return the section of the page about suspects.json, where it is given."""
    found = read_json(path) if path else None
    shown = [thumbnails.suspect(one) for one in (found or [])[:SUSPECTS]]
    return {"judged": bool(path), "suspects": shown, "suspected": found and len(found)}


def read_split_report(path: Path, coco: dict) -> dict:
    """Read the report of `split`.

    Raises:
        UserError: it is unreadable, or names images that the data set lacks.
    """
    split_report = read_json(path)
    named = {name for pair in split_report["near_duplicates"] for name in pair["images"]}
    unknown = sorted(named - {image["file_name"] for image in coco["images"]})
    if unknown:
        raise UserError(
            f"{path} names {unknown[0]!r}, which the data set lacks; run `dvc repro split`"
        )
    return split_report


def notes_of(report: dict) -> list[tuple[str, dict, str]]:
    """Return kind, note and place of each warning and repair of `ingest`."""
    return [
        (kind, note, " ".join(f"{key} {note[key]}" for key in PLACES if key in note))
        for kind, notes in (("warning", report["warnings"]), ("repair", report["repairs"]))
        for note in notes
    ]


def render_page(**content: object) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        least_px=MIN_SIDE_PX, few=FEW_BOXES, others=OTHERS, max_notes=NOTES, **content
    )


if __name__ == "__main__":
    run_stage(main)
