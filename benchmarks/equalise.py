"""Channels of activations and of the weights that meet them, brought to equal ranges.

Equalisation between layers (Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.1) moves
a factor for each channel from one convolution's weights through a ReLU into the next one's. SiLU
lets no factor pass, so here it is multiplied onto what SiLU gives, as SmoothQuant does before a
matrix product (Xiao et al. 2022, https://arxiv.org/abs/2211.10438, section 4). The float model
computes the same; in the quantized one the factor becomes a range of its own for each channel,
which costs OpenVINO no time.
"""

import numpy as np
import openvino as ov

from stages.common.nodes import Node, opset13
from stages.common.roles import has_role
from stages.quantizing.calibration import Blobs
from stages.quantizing.recipe import convolutions, weights_path

Group = tuple[ov.Output, list[Node]]
SMALLEST = 1e-6  # of a range: a channel that is always 0 keeps its weights finite
NAME = "/equalised"


def equalise(model: ov.Model, blobs: Blobs, keep_float: tuple[str, ...]) -> None:
    """Rescales what convolutions read, channel by channel, and their weights against it, in place.

    Args:
        model: a float model of `ir`.
        blobs: frames on which the activations' ranges are measured.
        keep_float: roles of the convolutions that will not be quantized.
    """
    groups = readers(model, keep_float)
    for (source, group), activation in zip(groups, ranges_of(model, blobs, groups), strict=True):
        weight = np.max([weight_ranges(convolution) for convolution in group], axis=0)
        factor = np.sqrt(np.maximum(weight, SMALLEST) / np.maximum(activation, SMALLEST))
        rescale(source, group, (factor / np.exp(np.log(factor).mean())).astype(np.float32))


def readers(model: ov.Model, keep_float: tuple[str, ...]) -> list[Group]:
    """SiLUs that only convolutions read, all of which will be quantized.

    Where something else reads them too, a second quantizer would be needed.
    """
    names = {op.get_friendly_name() for op in convolutions(model)}
    quantized = {name for name in names if not has_role(name, keep_float)}
    groups = []
    for swish in (op for op in model.get_ordered_ops() if op.get_type_name() == "Swish"):
        group = [target.get_node() for target in swish.output(0).get_target_inputs()]
        if all(op.get_friendly_name() in quantized for op in group):
            groups.append((swish.output(0), group))
    return groups


def ranges_of(model: ov.Model, blobs: Blobs, groups: list[Group]) -> list[np.ndarray]:
    """For each group the mean over frames of the largest absolute value of each channel."""
    axes = opset13.constant(np.array([0, 2, 3]))
    largest = [opset13.reduce_max(opset13.absolute(source), axes) for source, _ in groups]
    probe = ov.Model(largest, model.get_parameters(), "ranges")
    run = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    sums = [0.0] * len(groups)
    for blob in blobs:
        sums = [total + value for total, value in zip(sums, run(blob).values(), strict=True)]
    return [total / len(blobs) for total in sums]


def input_axis(convolution: Node) -> int:
    """The axis of its weights along which its input's channels lie: of depthwise ones the first."""
    return 1 if convolution.get_type_name() == "Convolution" else 0


def weights_of(convolution: Node) -> np.ndarray:
    return weights_path(convolution)[-1].data.astype(np.float32)


def weight_ranges(convolution: Node) -> np.ndarray:
    """The largest absolute weight that each channel of the input meets."""
    weights, kept = weights_of(convolution), input_axis(convolution)
    return np.abs(weights).max(axis=tuple(a for a in range(weights.ndim) if a != kept))


def rescale(source: ov.Output, group: list[Node], factor: np.ndarray) -> None:
    """Multiplies what a group reads by a factor a channel, and divides its weights by the same."""
    scaled = opset13.multiply(source, opset13.constant(factor[None, :, None, None]))
    scaled.set_friendly_name(source.get_node().get_friendly_name() + NAME)
    for convolution in group:
        weights, along = weights_of(convolution), input_axis(convolution)
        shape = [-1 if axis == along else 1 for axis in range(weights.ndim)]
        convolution.input(0).replace_source_output(scaled.output(0))
        constant = opset13.constant(weights / factor.reshape(shape))
        convolution.input(1).replace_source_output(constant.output(0))


def absorb(quantized: ov.Model) -> None:
    """Divides the range that each quantizer takes by the factor before it, and drops the factor."""
    for scaled in quantized.get_ordered_ops():
        if not scaled.get_friendly_name().endswith(NAME):
            continue
        factor = scaled.input_value(1).get_node().data
        for target in scaled.output(0).get_target_inputs():
            quantizer = target.get_node()
            for port in (1, 2):
                bound = quantizer.input_value(port).get_node().data / factor
                constant = opset13.constant(bound.astype(np.float32))
                quantizer.input(port).replace_source_output(constant.output(0))
            target.replace_source_output(scaled.input_value(0))
