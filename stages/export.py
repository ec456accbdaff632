"""Export: the trained PyTorch model as ONNX, at the input that it was trained for.

In:   models/yolox.pth        the weights that `train` kept
      data/split/val.json     a real frame of it compares the two models
      data/dataset            the images
Out:  models/yolox.onnx       input `images` float32 [1, 3, height, width], BGR, 0..255; output
                              `output` float32 [1, anchors, 5 + classes], not decoded (see
                              detector/boxes.py); metadata `labels`

Run:  python -m stages.export models/yolox.pth data/split/val.json data/dataset models/yolox.onnx
"""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch

from detector.backends import OnnxBackend
from detector.boxes import letterbox
from stages.common.cli import run_stage
from stages.common.coco import read_coco, read_image
from stages.common.errors import Refusal
from stages.common.files import atomic_path
from stages.common.yolox_model import TorchBackend, Weights, eval_model, load_weights

OPSET = 18
TOLERANCE = 1e-3  # of the raw output; offsets and log sizes are of the order of 1


def main(weights_path: Path, val: Path, dataset: Path, out: Path) -> None:
    """Exports the weights to ONNX and checks the result on a real frame before it is written."""
    weights = load_weights(weights_path)
    first = read_coco(val)["images"][0]["file_name"]
    blob = letterbox(read_image(dataset / "images" / first), weights.input_hw)
    model = eval_model(weights)
    proto = to_onnx(model, weights)
    with atomic_path(out) as tmp:
        onnx.save(proto, tmp)
        expected = TorchBackend(model, weights.labels, weights.input_hw).infer(blob)
        difference = compare(expected, OnnxBackend(tmp).infer(blob))
    print(f"onnx equals torch on {first} within {difference:.1e}")


def to_onnx(model: torch.nn.Module, weights: Weights) -> onnx.ModelProto:
    """Traces the model in eval mode; batch norms are folded into the convolutions."""
    example = torch.zeros(1, 3, *weights.input_hw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations, nothing that a user could act on
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["output"],
            verbose=False,
        )
    proto = program.model_proto
    forget_origins(proto)
    onnx.helper.set_model_props(proto, {"labels": json.dumps(weights.labels)})
    onnx.checker.check_model(proto)
    return proto


def forget_origins(proto: onnx.ModelProto) -> None:
    """Drops the stack traces that the exporter stores: paths of the machine, in every node."""
    for item in (*proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        del item.metadata_props[:]
    for item in (*proto.graph.input, *proto.graph.output):
        del item.metadata_props[:]
    del proto.graph.metadata_props[:]


def compare(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest difference of two raw outputs.

    Raises:
        Refusal: it is above the tolerance.
    """
    difference = float(np.abs(expected - found).max())
    if not difference <= TOLERANCE:
        raise Refusal(
            f"the ONNX model differs from PyTorch by {difference:.2e}, at most {TOLERANCE:.0e} is "
            "right; nothing was written; train again, or report this with your params.yaml"
        )
    return difference


if __name__ == "__main__":
    run_stage(main)
