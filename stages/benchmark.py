"""Benchmark: speed of all variants, interleaved in one process on this machine.

In:   models/yolox.pth, models/yolox.onnx, models/ir, models/int8
      data/split/val.json, data/dataset   a real frame
      metrics/machine.json                a dependency, so that figures never change machines
Out:  metrics/speed.json   for each variant latency_ms_p50, _p90, _p99 (one frame at a time),
                           throughput_fps, precision (read back), speedup_vs_torch; and `host`
      metrics/kernels/<variant>.csv   what each convolution of ir and int8 really computes in, and
                           its share of their time

Variants take turns in short slices until `benchmark.seconds` are over, so that all of them meet
the same noise. Figures are medians over the rounds; speedup_vs_torch is the median of the ratios
within a round. What is timed is inference alone, on a frame that is already letterboxed.

Run:  python -m stages.benchmark models/yolox.pth models/yolox.onnx models/ir models/int8 \
          data/split/val.json data/dataset metrics/machine.json metrics/speed.json \
          metrics/kernels
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openvino as ov
import torch

from detector.backends import OnnxBackend, OpenVinoBackend
from detector.boxes import letterbox
from stages.common.cli import run_stage
from stages.common.coco import read_coco, read_image
from stages.common.files import read_json, write_json, write_text
from stages.common.host import usable_cores
from stages.common.params import Benchmark, load_params
from stages.common.progress import progress
from stages.common.yolox_model import load_torch_backend
from stages.timing.kernels import csv_text, kernels_of

SLICE_SECONDS = 0.4  # of one mode of one variant within a round
VERSIONS = ("torch", "onnxruntime", "openvino", "nncf")


@dataclass
class Variant:
    """One model in one runtime, and what was measured of it.

    Attributes:
        infer: one letterboxed frame, synchronously.
        infer_many: frames as fast as possible for a number of seconds; returns how many.
    """

    precision: str
    infer: Callable[[], object]
    infer_many: Callable[[float], int]
    latencies_ms: list[float] = field(default_factory=list)
    throughputs_fps: list[float] = field(default_factory=list)


def main(
    pth: Path,
    onnx: Path,
    ir: Path,
    int8: Path,
    val: Path,
    dataset: Path,
    machine: Path,
    out: Path,
    kernels: Path,
) -> None:
    """Times all variants, and looks which kernels run in those of OpenVINO."""
    params = load_params().benchmark
    torch.set_num_threads(usable_cores())
    backend = load_torch_backend(pth)
    first = dataset / "images" / read_coco(val)["images"][0]["file_name"]
    blob = letterbox(read_image(first), backend.input_hw)
    variants = {
        "torch": synchronous(backend, blob),
        "onnx": synchronous(OnnxBackend(onnx), blob),
        "ir": asynchronous(ir, blob),
        "int8": asynchronous(int8, blob),
    }
    take_turns(list(variants.values()), params)
    host = {**read_json(machine), "versions": {name: version(name) for name in VERSIONS}}
    write_json(out, {**summarize(variants), "host": host})
    for name, model in (("ir", ir), ("int8", int8)):
        write_text(kernels / f"{name}.csv", csv_text(kernels_of(model, blob)))


def synchronous(backend, blob: np.ndarray) -> Variant:
    """A runtime that spreads one frame over all cores: frames follow each other."""

    def infer_many(seconds: float) -> int:
        return repeat(lambda: backend.infer(blob), seconds)

    return Variant(backend.precision, lambda: backend.infer(blob), infer_many)


def asynchronous(path: Path, blob: np.ndarray) -> Variant:
    """OpenVINO: one model compiled for latency, one for throughput with a queue of requests."""
    latency = OpenVinoBackend(path)
    queue = ov.AsyncInferQueue(OpenVinoBackend(path, hint="THROUGHPUT").compiled)

    def infer_many(seconds: float) -> int:
        count = repeat(lambda: queue.start_async({0: blob}), seconds)
        queue.wait_all()
        return count

    return Variant(latency.precision, lambda: latency.infer(blob), infer_many)


def repeat(action: Callable[[], object], seconds: float) -> int:
    """Calls `action` until the time is over, at least once; returns how often."""
    end, count = time.perf_counter() + seconds, 0
    while not count or time.perf_counter() < end:
        action()
        count += 1
    return count


def take_turns(variants: list[Variant], params: Benchmark) -> None:
    """Warms every variant up, then measures round after round until the time is over."""
    for variant in variants:
        repeat(variant.infer, params.warmup_seconds)
        variant.infer_many(params.warmup_seconds)
    rounds = max(3, round(params.seconds / (2 * SLICE_SECONDS * len(variants))))
    for _ in progress(range(rounds), "benchmark"):
        for variant in variants:
            variant.infer()  # the caches still hold the variant before
            end = time.perf_counter() + SLICE_SECONDS
            while time.perf_counter() < end:
                started = time.perf_counter()
                variant.infer()
                variant.latencies_ms.append((time.perf_counter() - started) * 1e3)
            started = time.perf_counter()
            count = variant.infer_many(SLICE_SECONDS)
            variant.throughputs_fps.append(count / (time.perf_counter() - started))


def summarize(variants: dict[str, Variant]) -> dict:
    """Medians, percentiles and ratios of what was measured, to 3 significant digits."""
    torch_fps = np.array(variants["torch"].throughputs_fps)
    return {
        name: {
            "speedup_vs_torch": digits(np.median(np.array(variant.throughputs_fps) / torch_fps)),
            "throughput_fps": digits(np.median(variant.throughputs_fps)),
            "latency_ms_p50": digits(np.percentile(variant.latencies_ms, 50)),
            "latency_ms_p90": digits(np.percentile(variant.latencies_ms, 90)),
            "latency_ms_p99": digits(np.percentile(variant.latencies_ms, 99)),
            "precision": variant.precision,
        }
        for name, variant in variants.items()
    }


def digits(value: float) -> float:
    """Three significant digits: what a noisy machine can know."""
    return float(f"{value:.3g}")


if __name__ == "__main__":
    run_stage(main)
