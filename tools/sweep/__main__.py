"""Sweep: a grid of models, inputs and activations, as accuracy against speed on this machine.

    python -m tools.sweep OUT.md --models yolox-nano yolox-tiny --inputs 256x448 320x544
        --acts silu relu [--target-fps 50] [--seconds 60]

Each combination is a DVC experiment of its own, `sweep-MODEL-INPUT-ACT`, run in a copy elsewhere
(`dvc exp run --temp`), so that the working tree stays as it is; the others follow where one fails.
What was run before comes out of DVC's run cache. The gate is off: a sweep shows what INT8 costs.

Accuracy is AP on the val images as this machine runs the model. Speed is measured anew: figures of
benchmarks that ran an hour apart cannot be compared, so all models take turns in one process. Of
every experiment the FP16 and the INT8 model are shown; OUT.png shows them with their Pareto front.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import dvc.api
import numpy as np

from detector.runtime.openvino_backend import OpenVinoBackend
from stages.benchmark.__main__ import digits
from stages.benchmark.modes import throughput_fps
from stages.common.files import write_text
from stages.common.metrics import flat
from stages.common.params import ARCHITECTURES, Params, load_params
from stages.common.run import UserError
from tools.sweep.chart import write_chart
from tools.sweep.pareto_front import Point, front, most_accurate, slowest_tenth
from tools.turns import in_turns

VARIANTS = {"ir": "FP16", "int8": "INT8"}
SLICE_SECONDS = 0.5


def main() -> None:
    """Run a grid of experiments and show their accuracy against their speed."""
    parser = argparse.ArgumentParser(prog="python -m tools.sweep", description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", nargs="+", choices=ARCHITECTURES, required=True)
    parser.add_argument("--inputs", nargs="+", type=input_hw, required=True, metavar="HxW")
    parser.add_argument("--acts", nargs="+", choices=("silu", "relu", "lrelu"), required=True)
    parser.add_argument("--target-fps", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=60.0, help="of timing, for all models")
    arguments = parser.parse_args()
    try:
        common = ["gate.max_drop=null", *absolute_paths(load_params())]
    except UserError as error:
        sys.exit(f"sweep: {error}")
    made, grid = {}, list(itertools.product(arguments.models, arguments.inputs, arguments.acts))
    for model, hw, act in grid:
        name = f"sweep-{model}-{hw[0]}x{hw[1]}-{act}"
        changes = [f"model.name={model}", f"model.input_hw=[{hw[0]},{hw[1]}]", f"model.act={act}"]
        if run_experiment(name, [*changes, *common]):
            made[name] = (model, hw, act)
    if not made:
        sys.exit("sweep: no experiment came to its end; see above what each of them says")
    with tempfile.TemporaryDirectory() as scratch:
        points = measured(made, Path(scratch), arguments.seconds)
    write_chart(points, arguments.target_fps, arguments.out.with_suffix(".png"))
    text = page(points, arguments.target_fps, arguments.out.with_suffix(".png").name)
    if len(made) < len(grid):
        text += (
            f"\n{len(grid) - len(made)} of {len(grid)} experiments failed and are missing here.\n"
        )
    write_text(arguments.out, text)
    print(text)


def input_hw(text: str) -> tuple[int, int]:
    """HEIGHTxWIDTH as two numbers."""
    height, width = text.split("x")
    return int(height), int(width)


def absolute_paths(params: Params) -> list[str]:
    """What a copy elsewhere would not find by a relative path, as parameters of `dvc exp run`."""
    given = {
        "data.export": params.data.export,
        "data.images": params.data.images,
        "train.pretrained": params.train.pretrained,
    }
    default = Params.model_validate({"data": {"export": "data/synthetic.zip"}})
    kept = {default.data.export, default.data.images, "bundled", "none", "coco", "auto"}
    return [
        f"{key}={Path(path).resolve()}"
        for key, path in given.items()
        if Path(path).exists() and (path not in kept or has_pictures(Path(path)))
    ]


def has_pictures(folder: Path) -> bool:
    """Whether somebody put something into the folder that Git keeps empty."""
    return folder.is_dir() and any(p.name != ".gitignore" for p in folder.iterdir())


def run_experiment(name: str, settings: list[str]) -> bool:
    """Whether the experiment came to its end. One of the same name before is replaced."""
    subprocess.run(["dvc", "exp", "remove", "-q", name], stderr=subprocess.DEVNULL)
    print(f"\n{name}", flush=True)
    changes = [word for setting in settings for word in ("-S", setting)]
    done = subprocess.run(["dvc", "exp", "run", "--temp", "-n", name, *changes])
    if done.returncode:
        print(f"sweep: {name} failed, see above; the others go on", file=sys.stderr)
    return not done.returncode


def measured(made: dict[str, tuple], scratch: Path, seconds: float) -> list[Point]:
    """Accuracy and speed of the models of experiments, fetched from DVC's cache."""
    models, found = {}, {}
    for name, (model, hw, act) in made.items():
        files = dvc.api.DVCFileSystem(rev=name)
        for variant, words in VARIANTS.items():
            folder = scratch / name / variant
            files.get(f"models/{variant}", str(folder), recursive=True)
            accuracy = flat(json.loads(files.read_text(f"metrics/accuracy/{variant}.json")))
            ap = accuracy["as_deployed"]["AP"]
            models[name, variant] = OpenVinoBackend(folder, throughput=True)
            found[name, variant] = (name, model, hw, act, words, ap)
    speeds = speeds_of(models, seconds)
    return [
        Point(*facts, float(np.median(speeds[key])), slowest_tenth(speeds[key]))
        for key, facts in found.items()
    ]


def speeds_of(models: dict[tuple, OpenVinoBackend], seconds: float) -> dict[tuple, np.ndarray]:
    """Throughput of each model in each turn, frames a second."""

    def measure(backend: OpenVinoBackend) -> Callable[[], float]:
        frame_bgr = np.random.default_rng(0).integers(0, 256, (*backend.input_hw, 3), np.uint8)
        return lambda: throughput_fps(backend, frame_bgr, SLICE_SECONDS)

    rounds = max(1, round(seconds / (SLICE_SECONDS * len(models))))
    return in_turns({key: measure(backend) for key, backend in models.items()}, rounds)


def page(points: list[Point], target_fps: float, picture: str) -> str:
    """The table, the most accurate model first, and which one to take."""
    on_front, best = set(front(points)), most_accurate(points, target_fps)
    lines = [
        "# Accuracy against speed on this machine",
        "",
        f"![AP against FPS]({picture})",
        "",
        "| Model | Input | Act | Runs as | AP | FPS | Slowest tenth | On the front |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    for p in sorted(points, key=lambda p: (-p.ap, -p.fps)):
        size = f"{p.input_hw[0]}x{p.input_hw[1]}"
        speeds = (f"{digits(fps):g}" for fps in (p.fps, p.fps_slow))
        mark = "yes" if p in on_front else ""
        cells = [p.model, size, p.act, p.variant, f"{p.ap:.3f}", *speeds, mark]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", advice(best, target_fps)]
    return "\n".join(lines) + "\n"


def advice(best: Point | None, target_fps: float) -> str:
    """One sentence: what to take for so many frames a second."""
    if best is None:
        return (
            f"No model here reaches {target_fps:g} FPS in nine tenths of its turns: try smaller "
            "inputs or models."
        )
    return (
        f"For {target_fps:g} FPS take {best.model} at {best.input_hw[0]}x{best.input_hw[1]} with "
        f"{best.act} in {best.variant}: AP {best.ap:.3f}, the best of those that reach it in nine "
        f"tenths of their turns. `dvc exp apply {best.experiment}` takes it over."
    )


if __name__ == "__main__":
    main()
