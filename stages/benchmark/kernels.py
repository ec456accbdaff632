"""Which kernel runs each convolution of a compiled model, and how long it takes.

OpenVINO chooses kernels when it compiles: a layer that was quantized may still run in floating
point, and what an IR stores says nothing about it. A kernel's name ends in what it computes in
(`brgconv_avx512_I8`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.core.boxes import letterbox
from detector.runtime.openvino_backend import compile_ir
from stages.conversion.layer_groups import layer_name

RUNS = 30


@dataclass(frozen=True)
class Kernel:
    """One convolution.

    Attributes:
        name: of the layer, as "head.reg_preds.0".
        precision: i8, bf16 or f32.
        ms: median time of a run, on all cores.
    """

    name: str
    precision: str
    ms: float


def kernels_of(ir: Path, image_bgr: np.ndarray) -> list[Kernel]:
    """Profiles an IR in the precision that this machine chooses.

    Profiling slows a model down a little, so speed is measured without it.

    Args:
        ir: the folder of the IR.
        image_bgr: a frame.
    """
    _, input_hw, compiled = compile_ir(ir, {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": True})
    canvas_bgr = letterbox(image_bgr, input_hw)
    request = compiled.create_infer_request()
    runs: dict[tuple[str, str], list[float]] = {}
    for _ in range(RUNS):
        request.infer({0: canvas_bgr[None]})
        for layer in request.profiling_info:
            if "Convolution" in layer.node_type:
                key = layer_name(layer.node_name), layer.exec_type.lower().rsplit("_", 1)[-1]
                runs.setdefault(key, []).append(layer.real_time.total_seconds() * 1e3)
    return [Kernel(*key, float(np.median(values))) for key, values in runs.items()]


def rows_of(kernels: list[Kernel]) -> list[tuple[str, str, str]]:
    """Layer, precision, and its share of the time of all convolutions."""
    total = sum(kernel.ms for kernel in kernels)
    return [(kernel.name, kernel.precision, f"{kernel.ms / total:.3f}") for kernel in kernels]
