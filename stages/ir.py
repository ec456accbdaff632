"""IR: the ONNX model as OpenVINO intermediate representation with its weights in FP16.

In:   models/yolox.onnx       only as `export` wrote it
      data/split/val.json     real frames of it compare the two models
      data/dataset            the images
Out:  models/ir/yolox.xml, yolox.bin   rt_info `detector` holds class names and operating point,
                                       `model_info` what other programs want to know

`convert_model` and not `read_model`: only the former fuses Sigmoid x Mul into Swish. Quantized
without that, this network loses many AP points and half its speed.

The converted model is compared with the ONNX model twice: as it is, where nothing but the order of
additions differs, and with its weights rounded.

Biases, depthwise filters and the first layers stay in FP32: 5 % of YOLOX-nano's numbers, whose
rounding makes six sevenths of the error (0.021 against 0.003 in raw box outputs on real frames).

Run:  python -m stages.ir models/yolox.onnx data/split/val.json data/dataset models/ir
"""

import io
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino as ov

from detector.core.backend import ModelError
from detector.runtime.onnx_backend import OnnxBackend
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.common.files import atomic_path
from stages.common.params import load_params
from stages.common.run import UserError, run_stage
from stages.conversion.ir_file import describe, opset13, save_ir
from stages.conversion.onnx_file import check_onnx
from stages.conversion.parity import Difference, compare, frame_canvases
from stages.conversion.toolchain import check_toolchain

SMALL = 4096  # numbers; tensors below this stay in FP32
HEAD_SIGMOIDS = 6  # objectness and class scores of three feature maps
# Both compute in float32, in another order; weights rounded to 11 bits are another matter.
CONVERSION_LIMIT = Difference(0.005, 0.001, median_box=0.001, median_log_score=0.001)
ROUNDING_LIMIT = Difference(0.1, 0.05, median_box=0.008, median_log_score=0.05)


def main(onnx_path: Path, val: Path, dataset: Path, out_dir: Path) -> None:
    """Convert the ONNX model to an OpenVINO IR; large weights are stored in FP16."""
    check_toolchain(load_params().toolchain)
    check_onnx(onnx_path)
    original = OnnxBackend(onnx_path)
    canvases = frame_canvases(val, dataset, original.input_hw)
    # As bytes: OpenVINO 2024 would first offer a path to PyTorch, which unpickles.
    model = ov.convert_model(io.BytesIO(onnx_path.read_bytes()))
    check_swish(model)
    describe(model, original.labels, original.operating_point)
    with atomic_path(out_dir) as tmp, TemporaryDirectory() as scratch:
        exact = Path(scratch, "f32")
        save_ir(model, exact)
        compare("FP32 IR", original, OpenVinoBackend(exact, "f32"), canvases, CONVERSION_LIMIT)
        halve_large_weights(model)
        save_ir(model, tmp)
        stored = OpenVinoBackend(tmp, "f32")
        print(compare("FP16 IR", original, stored, canvases, ROUNDING_LIMIT))
    ops = Counter(op.get_type_name() for op in model.get_ops())
    print(f"{ops['Convolution'] + ops['GroupConvolution']} convolutions, {ops['Swish']} fused SiLU")


def check_swish(model: ov.Model) -> None:
    """Raise UserError if a SiLU was not fused: its Sigmoid is then one more than the head's."""
    ops = Counter(op.get_type_name() for op in model.get_ops())
    if ops["Sigmoid"] > HEAD_SIGMOIDS:
        raise UserError(
            f"{ops['Sigmoid'] - HEAD_SIGMOIDS} SiLU were not fused by this OpenVINO "
            f"({ov.get_version()}); INT8 would lose accuracy; install requirements/openvino.txt"
        )


def halve_large_weights(model: ov.Model) -> None:
    """Store large float constants as FP16 behind a Convert, which is folded at load time."""
    constants = [op for op in model.get_ops() if op.get_type_name() == "Constant"]
    for op in constants:
        if op.get_element_type() != ov.Type.f32 or op.data.size < SMALL:
            continue
        halved = opset13.constant(op.data.astype(np.float16), ov.Type.f16)
        restored = opset13.convert(halved, "f32")
        halved.set_friendly_name(op.get_friendly_name() + "_fp16")
        restored.set_friendly_name(op.get_friendly_name())
        for reader in op.output(0).get_target_inputs():
            reader.replace_source_output(restored.output(0))


if __name__ == "__main__":
    run_stage(main, ModelError)
