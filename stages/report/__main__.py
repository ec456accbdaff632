"""Report: accuracy, speed, curves and figures of all variants on one page.

In:   data/split/val.json, data/dataset   images to draw on
      data/detections                     what PyTorch and INT8 found in them
      metrics                             data, accuracy, drop, crossval, operating_point, curves,
                                          speed, kernels
Out:  metrics/report.md      the table
      metrics/report.html    the table, figures and curves; opens from disk without a network
      metrics/tradeoff.csv   AP and FPS of each variant, as this machine runs it

Accuracy and drop are those of the cross-validation where there is one, else those on the val list.

Run:  python -m stages.report data/split/val.json data/dataset data/detections metrics \
          metrics/report.md metrics/report.html metrics/tradeoff.csv
"""

import sys
from pathlib import Path

import jinja2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from detector.runtime.model_file import confidences
from stages.common.coco import labels_of, read_coco
from stages.common.files import read_json, write_csv, write_text
from stages.common.metrics import describe_operating_point, read_metrics
from stages.common.params import Params, load_params
from stages.common.run import run_stage
from stages.report import figures
from stages.report.differences import most_different
from stages.report.kernels import float_layers, read_kernels, shares
from stages.report.recommendation import (
    exports_read,
    judged_by_folds,
    judged_by_val,
    missing_labels,
    other_answers,
    recommendation,
)
from stages.report.table import (
    HEADINGS,
    LEGEND,
    NAMES,
    busy_machine,
    deployed,
    markdown,
    measured_on,
    rows,
)

TEMPLATE = Path(__file__).parent / "page.html"


def main(
    val: Path,
    dataset: Path,
    detections: Path,
    metrics: Path,
    out_md: Path,
    out_html: Path,
    tradeoff: Path,
) -> None:
    """Write the report as Markdown and HTML and print its table."""
    params, coco = load_params(), read_coco(val)
    accuracy, drop, judged_by = read_accuracy(metrics, params.train.images)
    speed = read_metrics(metrics / "speed.json")
    table = rows(accuracy, speed, drop)
    sentences = recommendation(accuracy, speed, drop, params.gate.max_drop)
    point = read_metrics(metrics / "operating_point.json")
    sentences += [judged_by, describe_operating_point(point)]
    sentences += other_answers(accuracy, read_metrics(metrics / "drop.json"))
    data = read_metrics(metrics / "data.json")
    sentences += exports_read(data) + missing_labels(data)
    write_text(out_md, markdown(table, sentences, speed["host"]))
    write_csv(tradeoff, ("variant", "FPS", "AP"), deployed(accuracy, speed))
    both = [read_json(detections / f"{key}.json") for key in ("torch", "int8")]
    own = confidences(point, labels_of(coco))
    frames = most_different(coco, *both, own, params.report.pictures)
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    write_text(
        out_html,
        page.render(
            **facts(params, coco, table, sentences, speed["host"]),
            **what_ran(metrics / "kernels", params.quantize.keep_float),
            per_class=per_class(accuracy, drop["int8"]),
            precision_recall=figures.precision_recall_svg(metrics / "curves"),
            training=figures.training_svg(metrics / "train"),
            operating_point=figures.operating_point_svg(metrics / "operating_point.csv", point),
            chosen_by=point["chosen_by"],
            frames=figures.frames(dataset / "images", frames),
        ),
    )
    print_summary(table, busy_machine(speed["host"]) + sentences, out_html)


def read_accuracy(metrics: Path, trained_on: str) -> tuple[dict[str, dict], dict, str]:
    """Return the figures of all variants, what they lost, and a sentence on where both come from.

    Args:
        metrics: the folder.
        trained_on: `train.images`.
    """
    accuracy = {key: read_metrics(metrics / "accuracy" / f"{key}.json") for key in NAMES}
    crossval = read_metrics(metrics / "crossval.json")
    if not crossval:
        drop = read_metrics(metrics / "drop.json")
        return accuracy, drop, judged_by_val(accuracy["torch"], trained_on)
    merged = {key: {**own, **crossval["accuracy"][key]} for key, own in accuracy.items()}
    for key, own in merged.items():
        own["as_deployed"] = {**accuracy[key]["as_deployed"], **own["as_deployed"]}
    return merged, crossval["drop"], judged_by_folds(crossval, trained_on)


def facts(
    params: Params, coco: dict, table: list[tuple[str, ...]], sentences: list[str], host: dict
) -> dict:
    """Return the words and numbers of the page."""
    return {
        "model": params.model.name,
        "input": "{}x{}".format(*params.model.input_hw),
        "labels": labels_of(coco),
        "measured_on": measured_on(host),
        "warnings": busy_machine(host),
        "recommendation": sentences,
        "headings": HEADINGS,
        "rows": table,
        "legend": LEGEND,
        "variants": list(NAMES.values()),
    }


def what_ran(kernels: Path, keep_float: tuple[str, ...]) -> dict:
    """Return which precisions the convolutions of the OpenVINO variants computed in."""
    layers = {key: read_kernels(kernels / f"{key}.csv") for key in ("ir", "int8")}
    meant, others = float_layers(layers["int8"], keep_float)
    return {
        "kernels": [(NAMES[key], shares(rows)) for key, rows in layers.items()],
        "meant_float": f"{meant} ({', '.join(keep_float)})" if meant else "none",
        "fell_out": others,
    }


def per_class(accuracy: dict[str, dict], drop: dict) -> list[tuple[str, list[str]]]:
    """Return AP of every class in every variant and what INT8 lost of it, in AP points.

    "" where the val images have no such object.
    """
    return [
        (
            label,
            [
                *(
                    "" if (ap := accuracy[key]["per_class"][label]["AP"]) is None else f"{ap:.3f}"
                    for key in NAMES
                ),
                f"{drop['per_class'][label]:+.1f}" if label in drop["per_class"] else "",
            ],
        )
        for label in accuracy["torch"]["per_class"]
    ]


def print_summary(table: list[tuple[str, ...]], sentences: list[str], page: Path) -> None:
    """Print the table and the sentences."""
    shown = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    for index, heading in enumerate(HEADINGS):
        shown.add_column(heading, justify="right" if index else "left", no_wrap=True)
    for row in table:
        shown.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(shown)
    lines = (*sentences, f"Figures and curves: {page}")
    console.print(*lines, sep="\n", highlight=False, markup=False)


if __name__ == "__main__":
    run_stage(main)
