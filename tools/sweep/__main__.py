"""Sweep: train a grid of models, inputs and activations, and compare accuracy and speed here.

    python -m tools.sweep OUT.md --models yolox-nano yolox-tiny --inputs 256x448 320x544
        --acts silu relu [--target-fps 50] [--seconds 60]

Each combination is a DVC experiment, `sweep-MODEL-INPUT-ACT`, run in a copy elsewhere
(`dvc exp run --temp`), so the working tree stays as it is. Where one fails, the others go on; what
ran before comes from DVC's run cache. The gate is off: a sweep shows what INT8 costs.

AP is that of the val images as deployed on this machine. Speed is measured anew, all FP16 and INT8
models interleaved in one process: figures of benchmarks that ran an hour apart cannot be compared.
OUT.png shows all models with their Pareto front.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import dvc.api
import numpy as np

from detector.runtime.openvino_backend import OpenVinoBackend
from stages.benchmark.interleave import interleave
from stages.benchmark.modes import throughput_fps
from stages.common.files import write_text
from stages.common.metrics import flat
from stages.common.params import ARCHITECTURES, Params, load_params
from stages.common.run import UserError
from tools.sweep.page import Point, page, write_chart

VARIANTS = {"ir": "FP16", "int8": "INT8"}
SLICE_SECONDS = 0.5
# Values of params.yaml that mean the same in a copy of the repository.
PORTABLE = {"data/synthetic.zip", "data/synthetic_pool.zip", "data/originals"}
PORTABLE |= {"auto", "bundled", "coco", "none"}


def main() -> None:
    """Run a grid of experiments and compare their accuracy and speed."""
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
    for model, (height, width), act in grid:
        name = f"sweep-{model}-{height}x{width}-{act}"
        changes = [f"model.name={model}", f"model.input_hw=[{height},{width}]", f"model.act={act}"]
        if run_experiment(name, [*changes, *common]):
            made[name] = model, f"{height}x{width}", act
    if not made:
        sys.exit("sweep: all experiments failed; see the message of each above")
    with tempfile.TemporaryDirectory() as scratch:
        points, warning = measure(made, Path(scratch), arguments.seconds)
    chart = arguments.out.with_suffix(".png")
    write_chart(points, arguments.target_fps, chart)
    text = page(points, arguments.target_fps, chart.name, warning)
    if failed := len(grid) - len(made):
        text += f"\n{failed} of {len(grid)} experiments failed and are missing here.\n"
    write_text(arguments.out, text)
    print(text)


def input_hw(text: str) -> tuple[int, int]:
    """Parse HEIGHTxWIDTH."""
    height, width = text.split("x")
    return int(height), int(width)


def absolute_paths(params: Params) -> list[str]:
    """Return settings of `dvc exp run` for paths that a copy elsewhere would not find.

    They are quoted: without that, Hydra takes no path with a parenthesis, comma or umlaut.
    """
    given = {
        "data.export": params.data.export,
        "data.images": params.data.images,
        "data.pool": params.data.pool,
        "train.pretrained": params.train.pretrained,
    }
    found = {
        key: str(Path(path).resolve()).replace("'", r"\'")
        for key, path in given.items()
        if Path(path).exists() and (path not in PORTABLE or holds_images(Path(path)))
    }
    return [f"{key}='{path}'" for key, path in found.items()]


def holds_images(folder: Path) -> bool:
    """Return whether a folder that is empty in Git holds anything."""
    return folder.is_dir() and any(path.name != ".gitignore" for path in folder.iterdir())


def run_experiment(name: str, settings: list[str]) -> bool:
    """Run an experiment, in place of an earlier one of its name; return whether it succeeded."""
    subprocess.run(["dvc", "exp", "remove", "-q", name], stderr=subprocess.DEVNULL)
    print(f"\n{name}", flush=True)
    options = [word for setting in settings for word in ("-S", setting)]
    done = subprocess.run(["dvc", "exp", "run", "--temp", "-n", name, *options])
    if done.returncode:
        print(f"sweep: {name} failed, see above; the others go on", file=sys.stderr)
    return not done.returncode


def measure(made: dict[str, tuple], scratch: Path, seconds: float) -> tuple[list[Point], str]:
    """Fetch the models of experiments from DVC's cache and time them interleaved.

    Returns:
        The figures of every model, and a warning if the machine was busy.

    Args:
        made: model, size and activation by the name of the experiment.
        scratch: a folder for the models.
        seconds: of timing, for all models.
    """
    facts, timings = {}, {}
    for name, (variant, words) in itertools.product(made, VARIANTS.items()):
        files, folder = dvc.api.DVCFileSystem(rev=name), scratch / name / variant
        files.get(f"models/{variant}", str(folder), recursive=True)
        accuracy = flat(json.loads(files.read_text(f"metrics/accuracy/{variant}.json")))
        facts[name, words] = *made[name], words, accuracy["as_deployed"]["AP"]
        backend = OpenVinoBackend(folder, throughput=True)
        frame = np.random.default_rng(0).integers(0, 256, (*backend.input_hw, 3), np.uint8)
        timings[name, words] = partial(throughput_fps, backend, frame)
    rounds = interleave(timings, seconds, SLICE_SECONDS)
    points = [
        Point(key[0], *facts[key], float(np.median(fps)), float(np.quantile(fps, 0.1)))
        for key, fps in rounds.results.items()
    ]
    return points, rounds.warning


if __name__ == "__main__":
    main()
