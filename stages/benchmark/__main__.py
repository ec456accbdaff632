"""Benchmark: speed of all variants, interleaved in one process on this machine.

In:   models/yolox.pth, models/yolox.onnx, models/ir, models/int8
      data/split/val.json, data/dataset   real frames
      metrics/host.json                a dependency, so that figures never change machines
Out:  metrics/speed.json   for each variant speedup_vs_torch and throughput_fps; in `details` the
                           95 % interval of the former, end_to_end_fps, latency_ms_p50, _p90, _p99,
                           precision (read back), threads, streams; and `host`
      metrics/kernels/<variant>.csv   what each convolution of ir and int8 really computes in, and
                           its share of their time

`ir` runs in what OpenVINO chooses here, often bfloat16; `ir_f32` is the same file in float32.
Latency is one frame at a time on all cores; throughput is inference alone with as many frames at
once as each runtime wants; end to end is an encoded video, decoded, detected in and drawn on.

Variants take turns in short slices, so that all of them meet the same noise, until the interval of
every speed-up is narrower than 3 % or `benchmark.seconds` are over. Figures are medians over the
rounds; speedup_vs_torch is the median of the ratios of throughput within a round.

Run:  python -m stages.benchmark.__main__ models/yolox.pth models/yolox.onnx models/ir models/int8 \
          data/split/val.json data/dataset metrics/host.json metrics/speed.json \
          metrics/kernels
"""

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from detector.core.boxes import letterbox
from detector.core.cpu import usable_cores
from detector.core.frame_detector import FrameDetector
from detector.runtime.model_file import ModelError
from detector.runtime.onnx_backend import OnnxBackend
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.benchmark.interleave import Variant, interval, ratio, take_turns
from stages.benchmark.kernels import kernels_of, rows_of
from stages.benchmark.modes import end_to_end_fps, latencies_ms, throughput_fps, write_clip
from stages.common.coco import read_coco, read_image
from stages.common.files import read_json, write_csv, write_json
from stages.common.metrics import with_details
from stages.common.params import load_params
from stages.common.run import run_stage
from stages.conversion.toolchain import check_toolchain
from stages.yolox.model import load_for_timing, timing_thread

SLICE_SECONDS = 1.5  # of one variant within a round
CLIP_IMAGES = 20  # different ones in the video
VERSIONS = ("torch", "onnxruntime", "openvino", "nncf")


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
    params = load_params()
    check_toolchain(params.toolchain)
    files = [image["file_name"] for image in read_coco(val)["images"][:CLIP_IMAGES]]
    images_bgr = [read_image(dataset / "images" / name) for name in files]
    with tempfile.TemporaryDirectory() as scratch:
        clip = Path(scratch, "clip.mp4")
        write_clip(clip, images_bgr)
        variants = {
            "torch": torch_variant(pth, images_bgr[0], clip),
            "onnx": onnx_variant(onnx, images_bgr[0], clip),
            "ir_f32": openvino_variant(ir, images_bgr[0], clip, "f32"),
            "ir": openvino_variant(ir, images_bgr[0], clip),
            "int8": openvino_variant(int8, images_bgr[0], clip),
        }
        settings = params.benchmark
        take_turns(
            list(variants.values()), settings.seconds, settings.warmup_seconds, SLICE_SECONDS
        )
    host = {**read_json(machine), "versions": {name: version(name) for name in VERSIONS}}
    shown = "speedup_vs_torch", "throughput_fps"
    figures = {name: with_details(found, *shown) for name, found in summarize(variants).items()}
    write_json(out, {**figures, "host": host})
    for name, model in (("ir", ir), ("int8", int8)):
        found = kernels_of(model, images_bgr[0])
        write_csv(kernels / f"{name}.csv", ("layer", "precision", "share"), rows_of(found))


def torch_variant(path: Path, image_bgr: np.ndarray, clip: Path) -> Variant:
    """PyTorch as most people run it: eager, all cores on one frame, one frame after the other."""
    backend = load_for_timing(path, timing_thread(usable_cores()))
    facts = {"threads": usable_cores(), "streams": 1}
    return variant_of(backend, backend, image_bgr, clip, facts)


def onnx_variant(path: Path, image_bgr: np.ndarray, clip: Path) -> Variant:
    throughput = OnnxBackend(path, throughput=True)
    facts = {"threads": usable_cores(), "streams": throughput.num_requests - 1}
    return variant_of(OnnxBackend(path), throughput, image_bgr, clip, facts)


def openvino_variant(
    path: Path, image_bgr: np.ndarray, clip: Path, precision: str | None = None
) -> Variant:
    """OpenVINO: one model compiled for latency, one for throughput."""
    throughput = OpenVinoBackend(path, precision, throughput=True)
    facts = {
        "threads": throughput.compiled.get_property("INFERENCE_NUM_THREADS"),
        "streams": throughput.compiled.get_property("NUM_STREAMS"),
    }
    return variant_of(OpenVinoBackend(path, precision), throughput, image_bgr, clip, facts)


def variant_of(latency, throughput, image_bgr: np.ndarray, clip: Path, facts: dict) -> Variant:
    """The three ways to measure a model.

    Args:
        latency, throughput: the model, see `detector.core.backend`, compiled for either.
        image_bgr: a frame.
        clip: an encoded video.
        facts: threads and streams.
    """
    canvas_bgr, detector = letterbox(image_bgr, latency.input_hw), FrameDetector(throughput)
    return Variant(
        lambda seconds: latencies_ms(latency, canvas_bgr, seconds),
        lambda seconds: throughput_fps(throughput, canvas_bgr, seconds),
        lambda seconds: end_to_end_fps(detector, clip, seconds),
        {"precision": throughput.precision, **facts},
    )


def summarize(variants: dict[str, Variant]) -> dict:
    """Medians, percentiles and ratios of what was measured, to 3 significant digits."""
    found = {}
    for name, variant in variants.items():
        ratios = ratio(variant, variants["torch"])
        low, middle, high = interval(ratios)
        found[name] = {
            "speedup_vs_torch": digits(middle),
            "speedup_interval": [digits(low), digits(high)],
            "throughput_fps": digits(np.median(variant.throughputs_fps)),
            "end_to_end_fps": digits(np.median(variant.end_to_ends_fps)),
            "latency_ms_p50": digits(np.percentile(variant.latencies_ms, 50)),
            "latency_ms_p90": digits(np.percentile(variant.latencies_ms, 90)),
            "latency_ms_p99": digits(np.percentile(variant.latencies_ms, 99)),
            **variant.facts,
        }
    return found


def digits(value: float) -> float:
    """Three significant digits: what a noisy machine can know."""
    return float(f"{value:.3g}")


if __name__ == "__main__":
    run_stage(main, ModelError)
