"""Benchmark: speed of all variants, interleaved in one process on this machine.

In:   models/yolox.pth, models/yolox.onnx, models/ir, models/int8
      data/split/val.json, data/dataset   real frames
      metrics/machine.json             a dependency, so that figures never change machines
Out:  metrics/speed.json   for each variant speedup_vs_torch and throughput_fps; in `details` the
                           95 % interval of the former, end_to_end_fps, latency_ms_p50, _p90, _p99,
                           precision (read back), threads, streams; and `host`: the machine, the
                           date, versions, whether it was `busy`, in `details` the share of its
                           cores that was free for us
      metrics/kernels/<variant>.csv   of each convolution of ir and int8 the precision that it
                           really computes in, and its share of their time

`ir` runs in what OpenVINO chooses here, often bfloat16; `ir_f32` is the same file in float32.
Latency is one frame at a time on all cores; throughput is inference alone with as many frames at
once as each runtime wants; end to end is an encoded video, decoded, detected in and drawn on.

Short slices of all variants are interleaved, so that all meet the same noise, until the interval of
every speed-up is narrower than 3 % or `benchmark.seconds` are over. Figures are medians over the
rounds; speedup_vs_torch is the median of the ratios of throughput within a round. Rounds beside
other programs are repeated, in at most twice the time; figures of a machine that stays busy are
marked, or refused where `benchmark.require_quiet` says so.

Run:  python -m stages.benchmark models/yolox.pth models/yolox.onnx models/ir models/int8 \
          data/split/val.json data/dataset metrics/machine.json metrics/speed.json metrics/kernels
"""

import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import quantile_test

from detector.core.backend import Backend, ModelError
from detector.core.boxes import letterbox
from detector.core.cpu import usable_cores
from detector.core.frame_detector import FrameDetector
from detector.runtime.onnx_backend import OnnxBackend
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.benchmark.interleave import QUIET, Rounds, interleave
from stages.benchmark.kernels import kernel_rows
from stages.benchmark.modes import end_to_end_fps, latencies_ms, throughput_fps, write_clip
from stages.common.coco import read_coco, read_image
from stages.common.files import read_json, write_csv, write_json
from stages.common.metrics import with_details
from stages.common.params import Benchmark, load_params
from stages.common.run import UserError, run_stage
from stages.conversion.toolchain import check_toolchain
from stages.yolox.model import load_for_timing, timing_thread

SLICE_SECONDS = 0.3, 1.5  # shortest and longest of one variant within a round
MIN_ROUNDS = 6  # with fewer, the interval of a median has no end
NARROW = 0.03  # width of the interval of a speed-up, as a share of it, that is enough
CLIP_IMAGES = 20  # different ones in the video
VERSIONS = ("torch", "onnxruntime", "openvino", "nncf")


class Speeds(NamedTuple):
    """Measurements of one slice."""

    latencies_ms: list[float]
    throughput_fps: float
    end_to_end_fps: float


@dataclass(frozen=True)
class Variant:
    """A model in a runtime, loaded for low latency and for high throughput."""

    latency: Backend
    throughput: Backend
    threads: int
    streams: int

    def measure(self, image_bgr: np.ndarray, clip: Path, seconds: float) -> Speeds:
        """Measure a slice in all three ways, on a frame and an encoded video."""
        canvas_bgr = letterbox(image_bgr, self.latency.input_hw)
        return Speeds(
            latencies_ms(self.latency, canvas_bgr, seconds / 5),
            throughput_fps(self.throughput, canvas_bgr, seconds * 2 / 5),
            end_to_end_fps(FrameDetector(self.throughput), clip, seconds * 2 / 5),
        )


def main(
    pth: Path, onnx: Path, ir: Path, int8: Path, val: Path, dataset: Path,
    machine: Path, out: Path, kernels: Path,
) -> None:  # fmt: skip
    """Time all variants, and read which kernels run in those of OpenVINO."""
    params = load_params()
    check_toolchain(params.toolchain)
    variants = load_variants(pth, onnx, ir, int8)
    files = [image["file_name"] for image in read_coco(val)["images"][:CLIP_IMAGES]]
    images_bgr = [read_image(dataset / "images" / name) for name in files]
    rounds = time_variants(variants, images_bgr, params.benchmark)
    check_quiet(rounds, params.benchmark.require_quiet)
    figures = {name: summarize(rounds.results, name, v) for name, v in variants.items()}
    write_json(out, {**figures, "host": describe_host(read_json(machine), rounds)})
    for name, model in (("ir", ir), ("int8", int8)):
        rows = kernel_rows(model, images_bgr[0])
        write_csv(kernels / f"{name}.csv", ("layer", "precision", "share"), rows)


def load_variants(pth: Path, onnx: Path, ir: Path, int8: Path) -> dict[str, Variant]:
    """Load PyTorch as most people run it, eager with all cores on one frame, and the others."""
    cores = usable_cores()
    torch, many = load_for_timing(pth, timing_thread(cores)), OnnxBackend(onnx, throughput=True)
    return {
        "torch": Variant(torch, torch, cores, 1),
        "onnx": Variant(OnnxBackend(onnx), many, cores, many.num_requests - 1),
        "ir_f32": openvino_variant(ir, "f32"),
        "ir": openvino_variant(ir, None),
        "int8": openvino_variant(int8, None),
    }


def openvino_variant(path: Path, precision: str | None) -> Variant:
    throughput = OpenVinoBackend(path, precision, throughput=True)
    read = throughput.compiled.get_property
    return Variant(
        OpenVinoBackend(path, precision), throughput,
        read("INFERENCE_NUM_THREADS"), read("NUM_STREAMS"),
    )  # fmt: skip


def time_variants(
    variants: dict[str, Variant], images_bgr: list[np.ndarray], settings: Benchmark
) -> Rounds:
    """Time all variants in interleaved slices that are as long as `seconds` allows."""
    shortest, longest = SLICE_SECONDS
    slice_seconds = min(longest, settings.seconds / (MIN_ROUNDS * len(variants)))
    with tempfile.TemporaryDirectory() as scratch:
        clip = Path(scratch, "clip.mp4")
        write_clip(clip, images_bgr)
        return interleave(
            {name: partial(v.measure, images_bgr[0], clip) for name, v in variants.items()},
            settings.seconds, max(shortest, slice_seconds), settings.warmup_seconds,
            MIN_ROUNDS, are_known,
        )  # fmt: skip


def check_quiet(rounds: Rounds, require_quiet: bool) -> None:
    """Check that the machine was quiet, if it has to be.

    Raises:
        UserError: it stayed busy.
    """
    if rounds.busy and require_quiet:
        raise UserError(
            f"the machine stayed busy: {100 * rounds.cores_free:.0f} % of its cores were free, "
            f"benchmark.require_quiet wants {100 * QUIET:.0f} %; close other programs and run "
            "`dvc repro` again, or set it to false"
        )


def describe_host(machine: dict, rounds: Rounds) -> dict:
    """Return where, when, with which versions and how undisturbed speed was measured."""
    host = {
        **machine,
        "versions": {name: version(name) for name in VERSIONS},
        "date": datetime.now(timezone.utc).date().isoformat(),
        "busy": rounds.busy,
        "cores_free": round(rounds.cores_free, 2),
    }
    return with_details(host, "cpu", "cores", "id", "versions", "date", "busy")


def are_known(results: dict[str, list[Speeds]]) -> bool:
    """Return whether the interval of every speed-up is narrow."""
    found = [speedup(results, name) for name in results if name != "torch"]
    return all(high - low < NARROW * middle for low, middle, high in found)


def speedup(results: dict[str, list[Speeds]], name: str) -> tuple[float, float, float]:
    """Compare the throughput of a variant with that of PyTorch in the same rounds.

    The 95 % interval of the median is that of the sign test, by order statistics: it assumes
    nothing about the noise but that rounds are independent.

    Returns:
        The lower end of the interval, the median of the ratios, and the upper end.
    """
    own, torch = (
        np.array([speeds.throughput_fps for speeds in results[key]]) for key in (name, "torch")
    )
    median = np.median(own / torch)
    found = quantile_test(own / torch, q=median, p=0.5).confidence_interval(0.95)
    return float(found.low), float(median), float(found.high)


def summarize(results: dict[str, list[Speeds]], name: str, variant: Variant) -> dict:
    """Return medians, percentiles and ratios of a variant, to 3 significant digits."""
    low, middle, high = speedup(results, name)
    own = results[name]
    taken_ms = list(chain.from_iterable(speeds.latencies_ms for speeds in own))
    figures = {
        "speedup_vs_torch": digits(middle),
        "speedup_interval": [digits(low), digits(high)],
        "throughput_fps": digits(np.median([speeds.throughput_fps for speeds in own])),
        "end_to_end_fps": digits(np.median([speeds.end_to_end_fps for speeds in own])),
        **{f"latency_ms_p{p}": digits(np.percentile(taken_ms, p)) for p in (50, 90, 99)},
        "precision": variant.throughput.precision,
        "threads": variant.threads,
        "streams": variant.streams,
    }
    return with_details(figures, "speedup_vs_torch", "throughput_fps")


def digits(value: float) -> float:
    """Round to three significant digits; further ones are noise."""
    return float(f"{value:.3g}")


if __name__ == "__main__":
    run_stage(main, ModelError)
