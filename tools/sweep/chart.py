"""AP against FPS as a picture."""

from pathlib import Path

from stages.common.files import atomic_path
from stages.evaluation.html import pyplot
from tools.sweep.pareto_front import Point, front

MARKERS = {"FP16": "o", "INT8": "s"}


def write_chart(points: list[Point], target_fps: float, out: Path) -> None:
    """Every model as a point, the Pareto front as steps, the wished speed as a line.

    Args:
        points: what was measured.
        target_fps: the wished speed, frames a second.
        out: a .png file.
    """
    figure, axes = pyplot.subplots(figsize=(9, 5.5))
    models = sorted({point.model for point in points})
    for number, model in enumerate(models):
        for variant, marker in MARKERS.items():
            own = [p for p in points if (p.model, p.variant) == (model, variant)]
            axes.scatter(
                [p.fps for p in own], [p.ap for p in own],
                color=f"C{number}", marker=marker, label=f"{model} {variant}", zorder=3,
            )  # fmt: skip
    best = front(points)
    # From a point towards slower ones: until the next of them, this is the best AP at that speed.
    axes.step([p.fps for p in best], [p.ap for p in best], where="post", color="0.6", zorder=1)
    for place, p in enumerate(best):
        axes.annotate(
            f"{p.input_hw[0]}x{p.input_hw[1]} {p.act}", (p.fps, p.ap), fontsize=8,
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
