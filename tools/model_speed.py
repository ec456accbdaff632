"""How fast models of several sizes and inputs run, as ratios within one run: docs/speed.md.

    python -m tools.model_speed EXPORT VIDEO FOLDER [--models NAME ...] [--rounds 12]

Models have random weights, which are as fast as others; they are made once, in FOLDER, by the
stages `export`, `ir` and `quantize` on frames of a CVAT export. What is compared takes turns.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import openvino as ov
import torch
from yolox.config import YoloxConfig

from detector.core.boxes import letterbox
from detector.core.cpu import usable_cores
from detector.runtime.detector import Detector
from detector.runtime.model_file import IR_FILE
from detector.runtime.openvino_backend import OpenVinoBackend
from stages import export, ir
from stages.benchmark.modes import end_to_end_fps, throughput_fps
from stages.common.params import Model
from stages.ingest import __main__ as ingest
from stages.quantize import __main__ as quantize
from stages.split import __main__ as split
from stages.yolox.model import build_model, load_for_timing, timing_thread
from stages.yolox.setup import save
from tools.turns import in_turns

SECONDS = 1.0  # of one measurement within a round
MODELS = {
    "s 640x640": Model(name="yolox-s", input_hw=(640, 640)),
    "s 384x640": Model(name="yolox-s", input_hw=(384, 640)),
    "s 416x416": Model(name="yolox-s", input_hw=(416, 416)),
    "s 256x448": Model(name="yolox-s", input_hw=(256, 448)),
    "tiny 416x416": Model(name="yolox-tiny", input_hw=(416, 416)),
    "nano 416x416": Model(name="yolox-nano", input_hw=(416, 416)),
}
Measurement = Callable[[], float]


def main() -> None:
    """Compare the speed of models."""
    parser = argparse.ArgumentParser(prog="python -m tools.model_speed", description=main.__doc__)
    for name in ("export", "video", "folder"):
        parser.add_argument(name, type=lambda text: Path(text).resolve())
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.folder)
    for name in arguments.models:
        make(Path(name), MODELS[name], arguments.export)
    image_bgr = cv2.VideoCapture(str(arguments.video)).read()[1]
    measured = measurements(arguments.models, image_bgr, arguments.video)
    print_table(in_turns(measured, arguments.rounds))


def make(folder: Path, model: Model, source: Path) -> None:
    """Weights, ONNX, IR and INT8 of a model, and of YOLOX-nano INT8 as YOLOX itself would have it:
    Focus as slices, and frames that come in as floats."""
    if (folder / "int8").exists():
        return
    Path("params.yaml").write_text(f"data: {{export: {source}}}\n")
    if not Path("split").exists():
        ingest.main(None, Path("dataset"))
        split.main(Path("dataset/annotations.json"), Path("split"), Path("data.json"))
    frames = Path("split/val.json"), Path("dataset")
    torch.manual_seed(0)
    net = build_model(YoloxConfig(model.name, num_classes=1, **model.architecture()))
    save(folder / "yolox.pth", net.state_dict(), model, ["LP"])
    export.main(folder / "yolox.pth", *frames, folder / "yolox.onnx")
    to_int8(folder, "yolox.onnx", "ir", "int8")
    if model.name == "yolox-nano":
        with_one_stem = export.with_one_stem
        export.with_one_stem = lambda model: model
        export.main(folder / "yolox.pth", *frames, folder / "slices.onnx")
        export.with_one_stem = with_one_stem
        to_int8(folder, "slices.onnx", "slices ir", "slices int8")


def to_int8(folder: Path, onnx: str, fp16: str, int8: str) -> None:
    val, dataset = Path("split/val.json"), Path("dataset")
    ir.main(folder / onnx, val, dataset, folder / fp16)
    quantize.main(folder / fp16, Path("split/calibration.json"), val, dataset, folder / int8)


class FloatBackend:
    """An IR that is given float32 frames in planes, as a model without pre-processing wants them.

    Behind the interface of `detector.core.frame_detector`, as far as throughput needs it.
    """

    def __init__(self, folder: Path):
        model = ov.Core().read_model(folder / IR_FILE)
        options = {"PERFORMANCE_HINT": "THROUGHPUT"}
        self.compiled = ov.Core().compile_model(model, "CPU", options)
        self.num_requests = self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1

    def new_request(self) -> "FloatRequest":
        return FloatRequest(self.compiled)


class FloatRequest:
    def __init__(self, compiled: ov.CompiledModel):
        self.request = compiled.create_infer_request()
        self.canvas_bgr = np.moveaxis(self.request.get_input_tensor().data[0], 0, 2)

    def start(self) -> None:
        self.request.start_async()

    def output(self) -> np.ndarray:
        self.request.wait()
        return self.request.get_output_tensor().data[0]


def measurements(models: list[str], image_bgr: np.ndarray, video: Path) -> dict[str, Measurement]:
    """What is measured of each model, by its name."""
    found: dict[str, Measurement] = {}
    torch_thread = timing_thread(usable_cores())

    def throughput(name: str, backend) -> None:
        input_hw = getattr(backend, "input_hw", (416, 416))
        canvas_bgr = letterbox(image_bgr, input_hw)
        found[name] = lambda: throughput_fps(backend, canvas_bgr, SECONDS)

    for name in models:
        folder = Path(name)
        throughput(f"{name} PyTorch", load_for_timing(folder / "yolox.pth", torch_thread))
        throughput(f"{name} FP16 in f32", OpenVinoBackend(folder / "ir", "f32", throughput=True))
        throughput(f"{name} FP16", OpenVinoBackend(folder / "ir", throughput=True))
        throughput(f"{name} INT8", OpenVinoBackend(folder / "int8", throughput=True))
        detector = Detector(folder / "int8", throughput=True)
        found[f"{name} INT8, end to end"] = lambda d=detector: end_to_end_fps(d, video, SECONDS)
        if (folder / "slices int8").exists():
            throughput(
                f"{name} INT8, slices", OpenVinoBackend(folder / "slices int8", throughput=True)
            )
            throughput(f"{name} INT8, slices and floats", FloatBackend(folder / "slices int8"))
    return found


def print_table(fps: dict[str, np.ndarray]) -> None:
    """Medians, and medians of the ratios within a round."""
    first = next(iter(fps))
    print(f"| measured | FPS | against PyTorch | against {first} | against INT8 |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, values in fps.items():
        own = " ".join(name.split()[:2])
        others = [fps[f"{own} PyTorch"], fps[first], fps[f"{own} INT8"]]
        ratios = [f"{median(values / other):.2f}" for other in others]
        print(f"| {name} | {median(values):.1f} | {' | '.join(ratios)} |")


if __name__ == "__main__":
    main()
