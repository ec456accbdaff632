"""Metrics files: a few figures that `dvc metrics diff` shows, and the details behind them.

DVC shows every number and word of a metrics file, but nothing within a list. So what would drown
the figures that a review is about stands in a list of one entry, `details`.
"""

from pathlib import Path

from stages.common.files import read_json

DETAILS = "details"


def with_details(figures: dict, *shown: str) -> dict:
    """The figures with all but these moved to the details."""
    details = {name: value for name, value in figures.items() if name not in shown}
    return {**{name: figures[name] for name in shown}, DETAILS: [details]}


def read_metrics(path: Path) -> dict:
    """A metrics file with its details in their places again."""
    return flat(read_json(path))


def flat(figures: dict) -> dict:
    (details,) = figures.get(DETAILS, [{}])
    merged = {**{k: v for k, v in figures.items() if k != DETAILS}, **details}
    return {k: flat(v) if isinstance(v, dict) else v for k, v in merged.items()}
