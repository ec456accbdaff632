"""Metrics files: a few figures that `dvc metrics diff` shows, and the details behind them.

DVC shows every number and word of a metrics file, but nothing within a list. So what would
bury the figures that a review is about goes into a list of one entry, `details`.
"""

from pathlib import Path

from stages.common.files import read_json

DETAILS = "details"
FEW_IMAGES = 50  # with fewer val images, one box more or less moves AP by a point or more


def with_details(figures: dict, *shown: str) -> dict:
    """Return the figures with all but these moved into the details."""
    details = {name: value for name, value in figures.items() if name not in shown}
    return {**{name: figures[name] for name in shown}, DETAILS: [details]}


def read_metrics(path: Path) -> dict:
    """Read a metrics file and undo `with_details`."""
    return flat(read_json(path))


def flat(figures: dict) -> dict:
    (details,) = figures.get(DETAILS, [{}])
    merged = {**{k: v for k, v in figures.items() if k != DETAILS}, **details}
    return {k: flat(v) if isinstance(v, dict) else v for k, v in merged.items()}


def describe_operating_point(point: dict) -> str:
    """Say what a model finds at its confidence, and how much of what it reports is right.

    Args:
        point: content of metrics/operating_point.json, without details.
    """
    overall = point["confidence"]
    own = {label: figures["confidence"] for label, figures in point["per_class"].items()}
    others = [f"{label} {value:g}" for label, value in own.items() if value != overall]
    named = f" ({', '.join(others)})" if others else ""
    if point["precision"] is None:
        right = "it reports nothing"
    else:
        right = f"{100 * point['precision']:.0f} % of what it reports is right"
    sentences = (
        f"At its confidence of {overall:g}{named} the model finds {100 * point['recall']:.0f} % of "
        f"the objects, and {right} ({point['boxes']} boxes in {point['images']} "
        f"{point['judged_on']})."
    )
    if point["images_without_objects"]:
        sentences += (
            f" False alarms: {point['false_alarms_per_1000']:.0f} per 1,000 images without an "
            f"object (counted on {point['images_without_objects']})."
        )
    return sentences
