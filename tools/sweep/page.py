"""The page of a sweep: AP against FPS as a table and a chart, and the model to take."""

from dataclasses import dataclass
from pathlib import Path

from stages.common.files import atomic_path
from stages.evaluation.html import pyplot

MARKERS = {"FP16": "o", "INT8": "s"}


@dataclass(frozen=True)
class Point:
    """One model of an experiment, and its figures on this machine.

    Attributes:
        experiment: its name in DVC.
        model, size, act: name, HEIGHTxWIDTH of the input and activation.
        variant: FP16 or INT8.
        ap: on the val images, 0..1, as deployed here.
        fps: throughput, median over rounds.
        fps_slow: throughput that nine of ten rounds reach.
    """

    experiment: str
    model: str
    size: str
    act: str
    variant: str
    ap: float
    fps: float
    fps_slow: float


def pareto_front(points: list[Point]) -> list[Point]:
    """Return the points that no other one beats in AP without losing FPS, or the other way round.

    The fastest is first; of equal points one is kept.
    """
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.fps, -p.ap)):
        if not found or point.ap > found[-1].ap:
            found.append(point)
    return found


def most_accurate(points: list[Point], target_fps: float) -> Point | None:
    """Return the most accurate point that reaches a speed in nine of ten rounds, if any."""
    fast = [point for point in points if point.fps_slow >= target_fps]
    return max(fast, key=lambda p: (p.ap, p.fps), default=None)


def page(points: list[Point], target_fps: float, chart: str, warning: str = "") -> str:
    """Return a table in Markdown, the most accurate model first, and a recommendation.

    A warning that the machine was busy comes first, and takes the place of the recommendation.
    """
    front = set(pareto_front(points))
    lines = [
        "# Accuracy against speed on this machine",
        "",
        *([f"**{warning}**", ""] if warning else []),
        f"![AP against FPS]({chart})",
        "",
        "| Model | Input | Act | Variant | AP | FPS | Slowest tenth | Pareto front |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    for p in sorted(points, key=lambda p: (-p.ap, -p.fps)):
        # Three significant digits: more than that is noise.
        speeds = (f"{float(f'{fps:.3g}'):g}" for fps in (p.fps, p.fps_slow))
        mark = "yes" if p in front else ""
        cells = [p.model, p.size, p.act, p.variant, f"{p.ap:.3f}", *speeds, mark]
        lines.append(f"| {' | '.join(cells)} |")
    advice = [] if warning else ["", recommendation(points, target_fps)]
    return "\n".join([*lines, *advice]) + "\n"


def recommendation(points: list[Point], target_fps: float) -> str:
    """Return one sentence that names the model to take."""
    best = most_accurate(points, target_fps)
    if best is None:
        return (
            f"No model here reaches {target_fps:g} FPS in nine of ten rounds: try smaller inputs "
            "or models."
        )
    return (
        f"For {target_fps:g} FPS take {best.model} at {best.size} with {best.act} in "
        f"{best.variant}: AP {best.ap:.3f}, the highest of those that reach it in nine of ten "
        f"rounds. `dvc exp apply {best.experiment}` applies it."
    )


def write_chart(points: list[Point], target_fps: float, out: Path) -> None:
    """Draw a .png: every model as a point, the Pareto front as steps, the target as a line."""
    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    for number, model in enumerate(sorted({point.model for point in points})):
        for variant, marker in MARKERS.items():
            own = [p for p in points if (p.model, p.variant) == (model, variant)]
            axes.scatter(
                [p.fps for p in own], [p.ap for p in own],
                color=f"C{number}", marker=marker, label=f"{model} {variant}", zorder=3,
            )  # fmt: skip
    front = pareto_front(points)
    # At every speed down to the next point's, a point has the best AP.
    axes.step([p.fps for p in front], [p.ap for p in front], where="post", color="0.6", zorder=1)
    for place, p in enumerate(front):
        axes.annotate(
            f"{p.size} {p.act}", (p.fps, p.ap), fontsize=8,
            xytext=(6, 6 if place % 2 else -12), textcoords="offset points",
        )  # fmt: skip
    axes.axvline(target_fps, color="0.3", linestyle=":", label=f"{target_fps:g} FPS")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.margins(x=0.12, y=0.08)
    axes.set_xlabel("FPS on this machine (throughput, inference alone)")
    axes.set_ylabel("AP on the val images")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.tight_layout()
    with atomic_path(out) as tmp:
        figure.savefig(tmp, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
