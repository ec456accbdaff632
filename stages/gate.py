"""Gate: end `dvc repro` with an error where INT8 lost more accuracy than is allowed.

In:   metrics/drop.json       what INT8 lost on the val images, with its interval
      metrics/crossval.json   the same on all images, which counts where it is there
      metrics/report.md       so that the report exists before anything fails

A loss counts where its whole interval lies above `gate.max_drop`: with few val images the
difference of two APs may be noise, which is printed but never fails.

Run:  python -m stages.gate metrics/drop.json metrics/crossval.json metrics/report.md
"""

from pathlib import Path

from stages.common.metrics import read_metrics
from stages.common.params import load_params
from stages.common.run import UserError, run_stage


def main(drop: Path, crossval: Path, report: Path) -> None:
    """Compare the loss of INT8 with what is allowed."""
    figures = {**read_metrics(drop), **read_metrics(crossval).get("drop", {})}["int8"]
    print(check_gate(figures, load_params().gate.max_drop, report))


def check_gate(figures: dict, max_drop: float | None, report: Path) -> str:
    """Describe a loss that passes in one line.

    Args:
        figures: of INT8 in metrics/drop.json.
        max_drop: AP points that may be lost; None allows any loss.

    Raises:
        UserError: the whole interval lies above `max_drop`.
    """
    low, high = figures["interval"]
    lost = f"int8 lost {figures['AP']:.2f} AP points, 95 % interval {low:.2f} to {high:.2f}"
    if max_drop is None:
        return f"{lost}; the gate is off"
    if low > max_drop:
        label, worst = max(figures["per_class"].items(), key=lambda item: item[1])
        raise UserError(
            f"{lost}; gate.max_drop allows {max_drop:g}; worst class {label}: {worst:.2f}; see "
            f"{report.with_suffix('.html')}; set quantize.method to accuracy_aware, deploy the "
            "FP16 IR, or allow more"
        )
    if figures["AP"] > max_drop:
        return f"{lost}; {max_drop:g} are allowed and not ruled out: label more val images"
    return f"{lost}; {max_drop:g} are allowed"


if __name__ == "__main__":
    run_stage(main)
