"""Which kernel runs each convolution of a compiled model, and how long it takes.

OpenVINO chooses kernels when it compiles: a layer that was quantized may still run in floating
point, and what an IR stores says nothing about it. A kernel's name ends in what it computes in
(`brgconv_avx512_I8`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov

from detector.backends import IR_FILE

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


def kernels_of(ir: Path, blob: np.ndarray) -> list[Kernel]:
    """Profiles an IR in the precision that this machine chooses.

    Profiling slows a model down a little, so speed is measured without it.

    Args:
        ir: the folder of the IR.
        blob: a frame, float32 [1, 3, *input_hw].
    """
    compiled = ov.Core().compile_model(
        ir / IR_FILE, "CPU", {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": True}
    )
    request = compiled.create_infer_request()
    runs: dict[tuple[str, str], list[float]] = {}
    for _ in range(RUNS):
        request.infer({0: blob})
        for layer in request.profiling_info:
            if "Convolution" in layer.node_type:
                key = layer_name(layer.node_name), layer.exec_type.lower().rsplit("_", 1)[-1]
                runs.setdefault(key, []).append(layer.real_time.total_seconds() * 1e3)
    return [Kernel(*key, float(np.median(values))) for key, values in runs.items()]


def layer_name(name: str) -> str:
    """A layer's name without what OpenVINO and the exporter add to it."""
    return name.split("/")[0].removesuffix(".conv")


def csv_text(kernels: list[Kernel]) -> str:
    """A table: layer, precision, and its share of the time of all convolutions."""
    total = sum(kernel.ms for kernel in kernels)
    rows = [f"{k.name},{k.precision},{k.ms / total:.3f}" for k in kernels]
    return "\n".join(["layer,precision,share", *rows]) + "\n"
