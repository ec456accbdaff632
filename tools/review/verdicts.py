"""Verdicts on changed figures: better, worse, or within the noise that was measured with them."""

from dataclasses import dataclass

from stages.report.table import NAMES

# Two runs of the same code on the same machine differed by a quarter in their speed-up: PyTorch,
# from which it is counted, is slower or faster in another process.
BETWEEN_RUNS = 0.3
BETTER, WORSE, NOISE = "better", "worse", "within noise"
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
    verdict: str


def rows(before: dict[str, dict], after: dict[str, dict]) -> list[Row]:
    """Return the figures that differ between two commits, the most important ones first.

    Args:
        before, after: for each commit `accuracy` (by variant), `drop` and `speed`: contents of
            metrics/, see the stages evaluate, compare and benchmark.
    """
    incomparable = why_incomparable(before["speed"]["host"], after["speed"]["host"])
    found = []
    for key, name in NAMES.items():
        old, new = before["accuracy"][key], after["accuracy"][key]
        ap = judged(old["AP"], old["AP_interval"], new["AP"], new["AP_interval"])
        found += [
            Row(f"AP, {name}", f"{old['AP']:.3f}", f"{new['AP']:.3f}", ap),
            Row(f"AP50, {name}", f"{old['AP50']:.3f}", f"{new['AP50']:.3f}", "see AP"),
        ]
    old, new = before["drop"]["int8"], after["drop"]["int8"]
    lost = judged(old["AP"], old["interval"], new["AP"], new["interval"], higher_is_better=False)
    found.append(Row("INT8 drop, AP points", f"{old['AP']:.1f}", f"{new['AP']:.1f}", lost))
    for key, name in NAMES.items():
        found += speed_rows(name, before["speed"][key], after["speed"][key], incomparable)
    for key, name in NAMES.items():
        old_mb, new_mb = (side["accuracy"][key]["size_mb"] for side in (before, after))
        smaller = BETTER if new_mb < old_mb else WORSE
        found.append(Row(f"MB, {name}", f"{old_mb:.1f}", f"{new_mb:.1f}", smaller))
    return [row for row in found if row.before != row.after]


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
    ends = [side.get("speedup_interval", [side["speedup_vs_torch"]] * 2) for side in (old, new)]
    speedup = judged(old["speedup_vs_torch"], ends[0], new["speedup_vs_torch"], ends[1])
    if abs(new["speedup_vs_torch"] / old["speedup_vs_torch"] - 1) < BETWEEN_RUNS:
        speedup = NOISE
    shown = [
        ("Speed-up", "speedup_vs_torch", speedup),
        ("FPS", "throughput_fps", "see speed-up"),
    ]
    return [
        Row(
            f"{figure}, {name}",
            f"{old[key]:g}",
            f"{new[key]:g}",
            incomparable or verdict,
        )
        for figure, key, verdict in shown
    ]


def judged(
    old: float,
    old_interval: list[float],
    new: float,
    new_interval: list[float],
    higher_is_better: bool = True,
) -> str:
    """Return the verdict on two figures: noise, where their 95 % intervals overlap."""
    if old_interval[0] <= new_interval[1] and new_interval[0] <= old_interval[1]:
        return NOISE
    return BETTER if (new > old) == higher_is_better else WORSE
