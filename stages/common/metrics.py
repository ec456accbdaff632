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
