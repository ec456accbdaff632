"""The precisions that the convolutions of a variant computed in, from metrics/kernels."""

import csv
from collections import defaultdict
from pathlib import Path

from stages.conversion.layer_groups import in_groups


def read_kernels(path: Path) -> list[dict]:
    """Read rows with `layer`, `precision` and `share` (of the time of all convolutions)."""
    with path.open(newline="", encoding="utf-8") as lines:
        return [{**row, "share": float(row["share"])} for row in csv.DictReader(lines)]


def shares(layers: list[dict]) -> list[tuple[str, int, str]]:
    """Return name, number of convolutions and percent of time by precision, most time first."""
    counts, times = defaultdict(int), defaultdict(float)
    for layer in layers:
        counts[layer["precision"]] += 1
        times[layer["precision"]] += layer["share"]
    total = sum(times.values())  # nearly 1: the shares of the file are rounded
    by_time = sorted(times, key=times.get, reverse=True)
    return [(name, counts[name], f"{100 * times[name] / total:.0f} %") for name in by_time]


def float_layers(layers: list[dict], roles: tuple[str, ...]) -> tuple[int, list[str]]:
    """List the convolutions that do not run in INT8.

    Args:
        layers: of the INT8 variant, see `read_kernels`.
        roles: `quantize.keep_float`.

    Returns:
        How many of them were meant to stay float by their role, and the names of the others.
    """
    names = [layer["layer"] for layer in layers if layer["precision"] != "i8"]
    others = [name for name in names if not in_groups(f"{name}.", roles)]
    return len(names) - len(others), others
