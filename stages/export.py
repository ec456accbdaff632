"""Export: the trained PyTorch model as ONNX, at the input that it was trained for.

In:   models/yolox.pth        the weights that `train` kept
      data/split/val.json     real frames of it compare the two models
      data/dataset            the images
      --operating-point       metrics/operating_point.json; models of folds have none
Out:  models/yolox.onnx       input `images` float32 [1, 3, height, width], BGR, 0..255; output
                              `output` float32 [1, 4 + classes, anchors], boxes and scores, see
                              detector/core/boxes.py; metadata `labels`, `operating_point` and
                              `sha256`

Run:  python -m stages.export models/yolox.pth data/split/val.json data/dataset models/yolox.onnx \
          --operating-point metrics/operating_point.json
"""

import itertools
import json
import warnings
from pathlib import Path

import onnx
import torch

from detector.core.backend import ModelError
from detector.runtime.onnx_backend import OnnxBackend
from stages.common.files import atomic_path
from stages.common.metrics import read_metrics
from stages.common.run import run_stage
from stages.conversion.onnx_file import seal
from stages.conversion.parity import Difference, compare, frame_canvases
from stages.yolox.model import TorchBackend, WithDecoder, eval_model, fuse_focus
from stages.yolox.weights import load_weights

OPSET = 18
# Both compute in float32, in another order; an exponential stands between a weight and a side.
LIMIT = Difference(box=0.005, score=0.001, median_box=0.001, median_log_score=0.001)


def main(
    weights_path: Path,
    val: Path,
    dataset: Path,
    out: Path,
    *,
    operating_point: Path | None = None,
) -> None:
    """Export the weights to ONNX; compare the result on real frames before it is written."""
    weights = load_weights(weights_path)
    canvases = frame_canvases(val, dataset, weights.input_hw)
    model = eval_model(weights)
    metadata = {"labels": weights.labels}
    if operating_point:
        metadata["operating_point"] = read_metrics(operating_point)
    proto = to_onnx(WithDecoder(fuse_focus(model), weights.input_hw), weights.input_hw, metadata)
    with atomic_path(out) as tmp:
        onnx.save(proto, tmp)
        original = TorchBackend(model, weights.labels, weights.input_hw)
        print(compare("ONNX", original, OnnxBackend(tmp), canvases, LIMIT))


def to_onnx(model: torch.nn.Module, input_hw: tuple[int, int], metadata: dict) -> onnx.ModelProto:
    """Trace the model in eval mode; batch norms are folded into the convolutions.

    Args:
        model: of one output.
        input_hw: height and width of its input.
        metadata: entries, written as JSON.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations, nothing that a user could act on
        program = torch.onnx.export(
            model.eval(), (torch.zeros(1, 3, *input_hw),), dynamo=True, verbose=False,
            opset_version=OPSET, input_names=["images"], output_names=["output"],
        )  # fmt: skip
    proto = program.model_proto
    drop_stack_traces(proto)
    name_convolutions(proto)
    onnx.helper.set_model_props(proto, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.checker.check_model(proto)
    seal(proto)
    return proto


def drop_stack_traces(proto: onnx.ModelProto) -> None:
    """Delete what the exporter notes in every node: paths of this machine."""
    graph = proto.graph
    parts = graph.node, graph.value_info, graph.initializer, graph.input, graph.output, [graph]
    for item in itertools.chain(*parts):
        del item.metadata_props[:]


def name_convolutions(proto: onnx.ModelProto) -> None:
    """Name each convolution by its place in YOLOX, as "head.reg_preds.0".

    The exporter numbers them, and each release does that differently.
    """
    for node in proto.graph.node:
        if node.op_type == "Conv":
            node.name = node.input[1].removeprefix("model.").removesuffix(".weight")


if __name__ == "__main__":
    run_stage(main, ModelError)
