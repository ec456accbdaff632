"""IR: the ONNX model as OpenVINO intermediate representation with FP16 weights.

In:   models/yolox.onnx
Out:  models/ir/yolox.xml, yolox.bin   rt_info `detector/labels` holds the class names

`convert_model` and not `read_model`: only the former fuses Sigmoid x Mul into Swish, without
which quantization costs this network many points of AP and half its speed.

Run:  python -m stages.ir models/yolox.onnx models/ir
"""

from collections import Counter
from pathlib import Path

import onnx
import openvino as ov

from detector.backends import IR_FILE, OnnxBackend
from stages.common.cli import run_stage
from stages.common.errors import Refusal
from stages.common.files import atomic_path

HEAD_SIGMOIDS = 6  # objectness and class scores of three feature maps


def main(onnx_path: Path, out_dir: Path) -> None:
    """Converts the ONNX model to an OpenVINO IR; weights are stored in FP16."""
    refuse_external_data(onnx_path)
    labels = OnnxBackend(onnx_path).metadata_labels
    model = ov.convert_model(onnx_path)
    refuse_split_swish(model)
    model.set_rt_info(labels, ["detector", "labels"])
    with atomic_path(out_dir) as tmp:
        tmp.mkdir()
        ov.save_model(model, tmp / IR_FILE, compress_to_fp16=True)
    ops = Counter(op.get_type_name() for op in model.get_ops())
    print(f"{ops['Convolution'] + ops['GroupConvolution']} convolutions, {ops['Swish']} fused SiLU")


def refuse_external_data(path: Path) -> None:
    """Keeps OpenVINO from following a path that stands inside a file.

    Raises:
        Refusal: the file is no ONNX model, or keeps weights in other files.
    """
    try:
        proto = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise Refusal(f"cannot read {path}: {error.strerror}; run `dvc repro export`") from error
    except Exception as error:
        raise Refusal(f"{path} is not an ONNX model; run `dvc repro export`") from error
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer):
        raise Refusal(f"{path} keeps weights in other files; run `dvc repro export`")


def refuse_split_swish(model: ov.Model) -> None:
    """Every Sigmoid outside the head belongs to a SiLU, which must have been fused."""
    ops = Counter(op.get_type_name() for op in model.get_ops())
    if ops["Sigmoid"] > HEAD_SIGMOIDS:
        raise Refusal(
            f"{ops['Sigmoid'] - HEAD_SIGMOIDS} SiLU were not fused by this OpenVINO "
            f"({ov.get_version()}); INT8 would lose accuracy; install requirements/openvino.txt"
        )


if __name__ == "__main__":
    run_stage(main)
