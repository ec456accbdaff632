"""Compare the speed of models of several sizes and inputs: the table of docs/speed.md.

    python -m tools.model_speed EXPORT VIDEO FOLDER [--models NAME ...] [--rounds 12]

Models have random weights, which are as fast as trained ones. They are made once, in FOLDER, by the
stages `export`, `ir` and `quantize` on frames of a CVAT export; all are timed interleaved.
"""

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from detector import Detector
from detector.core.boxes import letterbox
from detector.core.cpu import usable_cores
from detector.runtime.openvino_backend import OpenVinoBackend
from stages import export, ir
from stages.benchmark.interleave import interleave
from stages.benchmark.modes import end_to_end_fps, throughput_fps
from stages.common.params import load_params
from stages.ingest import __main__ as ingest
from stages.quantize import __main__ as quantize
from stages.split import __main__ as split
from stages.yolox.model import build_model, load_for_timing, timing_thread
from stages.yolox.weights import Weights
from tools.params_file import write_params

SLICE_SECONDS = 1.0  # of one measurement within a round
MODELS = (
    "s 640x640", "s 384x640", "s 416x416", "s 256x448", "tiny 416x416", "nano 416x416",
)  # fmt: skip


def main() -> None:
    """Compare the speed of models."""
    parser = argparse.ArgumentParser(prog="python -m tools.model_speed", description=main.__doc__)
    for name in ("export", "video", "folder"):
        parser.add_argument(name, type=lambda text: Path(text).resolve())
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="'SIZE HxW'")
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.folder)
    measurements = {}
    torch_thread = timing_thread(usable_cores())
    for name in arguments.models:
        write_models(name, arguments.export)
        measurements |= measurements_of(name, arguments.video, torch_thread)
    rounds, seconds = arguments.rounds, arguments.rounds * SLICE_SECONDS * len(measurements)
    measured = interleave(measurements, seconds, SLICE_SECONDS, min_rounds=rounds)
    print_table(measured.results)
    print(measured.warning)


def write_models(name: str, source: Path) -> None:
    """Write weights, ONNX, IR and INT8 of a model into a folder of its name, unless it is there."""
    folder = Path(name)
    if (folder / "int8").exists():
        return
    size, input_hw = name.split()
    changes = {
        "data.export": str(source),
        "model.name": f"yolox-{size}",
        "model.input_hw": [int(side) for side in input_hw.split("x")],
    }
    write_params(Path(), changes)
    dataset, val = Path("dataset"), Path("split/val.json")
    if not val.exists():
        ingest.main(None, dataset)
        split.main(dataset / "annotations.json", Path("split"), Path("folds"), Path("data.json"))
    model = load_params().model
    torch.manual_seed(0)
    architecture = model.architecture()
    folder.mkdir(exist_ok=True)
    state = build_model(architecture, 1).state_dict()
    Weights(state, architecture, ["LP"], model.input_hw).save(folder / "yolox.pth")
    export.main(folder / "yolox.pth", val, dataset, folder / "yolox.onnx")
    ir.main(folder / "yolox.onnx", val, dataset, folder / "ir")
    calibration = Path("split/calibration.json")
    quantize.main(folder / "ir", calibration, val, dataset, folder / "int8")


def measurements_of(name: str, video: Path, torch_thread) -> dict[str, Callable[[float], float]]:
    """Return, for each figure of a model, a function that measures it in frames per second."""
    folder = Path(name)
    backends = {
        "PyTorch": load_for_timing(folder / "yolox.pth", torch_thread),
        "FP16 in f32": OpenVinoBackend(folder / "ir", "f32", throughput=True),
        "FP16": OpenVinoBackend(folder / "ir", throughput=True),
        "INT8": OpenVinoBackend(folder / "int8", throughput=True),
    }
    canvas_bgr = letterbox(cv2.VideoCapture(str(video)).read()[1], backends["INT8"].input_hw)
    detector = Detector(folder / "int8", throughput=True)
    return {
        **{f"{name} {key}": partial(throughput_fps, b, canvas_bgr) for key, b in backends.items()},
        f"{name} INT8, end to end": partial(end_to_end_fps, detector, video),
    }


def print_table(results: dict[str, list[float]]) -> None:
    """Print medians, and medians of the ratios within a round."""
    fps = {name: np.array(values) for name, values in results.items()}
    first = next(iter(fps))
    print(f"| measured | FPS | against PyTorch | against {first} | against INT8 |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, values in fps.items():
        model = " ".join(name.split()[:2])
        others = [fps[f"{model} PyTorch"], fps[first], fps[f"{model} INT8"]]
        ratios = [f"{np.median(values / other):.2f}" for other in others]
        print(f"| {name} | {np.median(values):.1f} | {' | '.join(ratios)} |")


if __name__ == "__main__":
    main()
