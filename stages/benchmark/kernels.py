"""The kernel that runs each convolution of a compiled model, and its share of the time.

OpenVINO chooses kernels when it compiles: a layer that was quantized may still run in float, and
what an IR stores says nothing about it. The name of a kernel ends in what it computes in
(`brgconv_avx512_I8`).
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from detector.core.boxes import letterbox
from detector.runtime.openvino_backend import compile_ir
from stages.conversion.layer_groups import layer_name

RUNS = 30


def kernel_rows(ir: Path, image_bgr: np.ndarray) -> list[tuple[str, str, str]]:
    """Profile an IR in the precision that this machine chooses.

    Profiling slows a model down a little, so speed is measured without it.

    Args:
        ir: the folder of the IR.
        image_bgr: a frame.

    Returns:
        Of each convolution: its name, as "head.reg_preds.0"; i8, bf16 or f32; and the share that
        its median time, on all cores, has of that of all.
    """
    model = compile_ir(ir, {"PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": True})
    canvas_bgr = letterbox(image_bgr, model.input_hw)
    request = model.compiled.create_infer_request()
    runs_s: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(RUNS):
        request.infer({0: canvas_bgr[None]})
        for layer in request.profiling_info:
            if "Convolution" in layer.node_type:
                key = layer_name(layer.node_name), layer.exec_type.lower().rsplit("_", 1)[-1]
                runs_s[key].append(layer.real_time.total_seconds())
    medians_s = {key: float(np.median(values)) for key, values in runs_s.items()}
    total_s = sum(medians_s.values())
    return [(*key, f"{median_s / total_s:.3f}") for key, median_s in medians_s.items()]
