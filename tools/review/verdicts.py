"""Verdicts on changed figures: better, worse, or within the noise that was measured with them."""

from dataclasses import dataclass

from stages.report.table import NAMES
from tools.review.accuracy import (
    BETTER,
    NOISE,
    WORSE,
    Evidence,
    ap_change,
    drop_change,
    fidelity_change,
)

# Two runs of the same code on the same machine differed by a quarter in their speed-up: PyTorch,
# from which it is counted, is slower or faster in another process.
BETWEEN_RUNS = 0.3
OTHER_MACHINE, BUSY_MACHINE = "another machine", "busy machine"
WHY_INCOMPARABLE = {
    OTHER_MACHINE: "These are not the same machine, even where their names are: speeds do not "
    "compare.",
    BUSY_MACHINE: "The machine was busy with other programs: speeds do not compare.",
}
OF_THE_RUN = {"date", "versions", "busy", "cores_free"}  # the rest of `host` is the machine's


@dataclass(frozen=True)
class Row:
    """A figure that changed, formatted."""

    figure: str
    before: str
    after: str
    change: str
    verdict: str


def rows(before: dict, after: dict, evidence: tuple[Evidence, Evidence]) -> list[Row]:
    """Return the figures that differ between two commits, the most important ones first.

    Args:
        before, after: for each commit `accuracy` (by variant) and `speed`: contents of metrics/,
            see the stages evaluate and benchmark.
        evidence: of both, of their accuracy.
    """
    found = accuracy_rows(*evidence) + fidelity_rows(before["drop"], after["drop"])
    incomparable = why_incomparable(before["speed"]["host"], after["speed"]["host"])
    for key, name in NAMES.items():
        found += speed_rows(name, before["speed"][key], after["speed"][key], incomparable)
    for key, name in NAMES.items():
        old_mb, new_mb = (side["accuracy"][key]["size_mb"] for side in (before, after))
        smaller = BETTER if new_mb < old_mb else WORSE
        found.append(Row(f"MB, {name}", f"{old_mb:.1f}", f"{new_mb:.1f}", "", smaller))
    return [row for row in found if row.before != row.after]


def accuracy_rows(before: Evidence, after: Evidence) -> list[Row]:
    """Return the rows of AP, AP50 and the drop of INT8."""
    found = []
    for key, name in NAMES.items():
        change = ap_change(before, after, key)
        for figure, difference, verdict in (
            ("AP", str(change), change.verdict()),
            ("AP50", "", "see AP"),
        ):
            old, new = (f"{side.accuracy[key][figure]:.3f}" for side in (before, after))
            found.append(Row(f"{figure}, {name}", old, new, difference, verdict))
    lost = drop_change(before, after)
    old, new = (f"{side.drop['AP']:.1f}" for side in (before, after))
    verdict = lost.verdict(higher_is_better=False)
    return [*found, Row("INT8 drop, AP points", old, new, str(lost), verdict)]


def fidelity_rows(before: dict, after: dict) -> list[Row]:
    """Return the rows of how often INT8 answers otherwise than PyTorch, where both have a pool."""
    sides = [drop["int8"].get("fidelity") for drop in (before, after)]
    if None in sides:
        return []
    change = fidelity_change(*sides)
    old, new = (f"{side['changed_per_1000']:.0f}" for side in sides)
    verdict = change.verdict(higher_is_better=False)
    figure = "Frames of 1,000 with other boxes than PyTorch's, INT8"
    return [Row(figure, old, new, str(change), verdict)]


def why_incomparable(before: dict, after: dict) -> str:
    """Return OTHER_MACHINE or BUSY_MACHINE where two speeds cannot be compared, else ""."""
    old, new = ({k: v for k, v in h.items() if k not in OF_THE_RUN} for h in (before, after))
    if "id" not in old or old != new:
        return OTHER_MACHINE
    return BUSY_MACHINE if before["busy"] or after["busy"] else ""


def speed_rows(name: str, old: dict, new: dict, incomparable: str) -> list[Row]:
    """Return the rows of speed-up and FPS.

    Only the speed-up is judged, since it was measured interleaved with PyTorch; FPS depend on what
    else the machine did. The interval of a speed-up covers one run, not the spread between runs.
    """
    intervals = [
        side.get("speedup_interval", [side["speedup_vs_torch"]] * 2) for side in (old, new)
    ]
    speedup = NOISE
    if abs(new["speedup_vs_torch"] / old["speedup_vs_torch"] - 1) >= BETWEEN_RUNS:
        speedup = faster(intervals)
    shown = [
        ("Speed-up", "speedup_vs_torch", speedup),
        ("FPS", "throughput_fps", "see speed-up"),
    ]
    return [
        Row(f"{figure}, {name}", f"{old[key]:g}", f"{new[key]:g}", "", incomparable or verdict)
        for figure, key, verdict in shown
    ]


def faster(intervals: list[list[float]]) -> str:
    """Return the verdict on two speed-ups by their intervals: noise, where these overlap."""
    (old_low, old_high), (new_low, new_high) = intervals
    if new_low > old_high:
        return BETTER
    return WORSE if new_high < old_low else NOISE
