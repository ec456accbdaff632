"""How the model is quantized: what NNCF is told, and what is corrected afterwards.

The figures behind each choice are in docs/int8.md.
"""

import logging
import re

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from stages.common.params import Quantize
from stages.conversion.layer_groups import has_role
from stages.conversion.nodes import Node, opset13
from stages.quantize.calibration import Blobs

CONVOLUTIONS = ("Convolution", "GroupConvolution")
INTEGERS = (ov.Type.i8, ov.Type.u8)


def quantize(model: ov.Model, blobs: Blobs, params: Quantize) -> ov.Model:
    """Post-training quantization with the settings of params.yaml."""
    return nncf.quantize(
        model,
        nncf.Dataset(blobs),
        **nncf_arguments(model, len(blobs), params),
        advanced_parameters=advanced_parameters(model, params),
    )


def nncf_arguments(model: ov.Model, frames: int, params: Quantize) -> dict:
    """What NNCF is told, for plain quantization and for that with accuracy control.

    The preset `mixed` gives activations an offset: SiLU ends at -0.28, and a symmetric range
    would spend half its steps below that. Products are left alone: the only ones are those of the
    decode, where a score would be rounded to one of 256 steps.
    """
    nncf.set_log_level(logging.ERROR)  # it lists every layer that it was told to leave alone
    presets = {"mixed": nncf.QuantizationPreset.MIXED, "performance": None}
    return {
        "preset": presets[params.preset],
        "subset_size": frames,
        "fast_bias_correction": params.fast_bias_correction,
        "ignored_scope": nncf.IgnoredScope(
            names=with_roles(model, params.keep_float), types=["Multiply"]
        ),
    }


def advanced_parameters(model: ov.Model, params: Quantize) -> nncf.AdvancedQuantizationParameters:
    """How an activation's range follows from those in the calibration images.

    With room for all that was seen YOLOX-nano loses up to two points; with the mean, which cuts off
    what few images show, YOLOX-s does.
    """
    wide = params.ranges == "all" or (params.ranges == "auto" and not is_depthwise(model))
    return nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX if wide else None
    )


def is_depthwise(model: ov.Model) -> bool:
    return any(op.get_type_name() == "GroupConvolution" for op in convolutions(model))


def with_roles(model: ov.Model, roles: tuple[str, ...]) -> list[str]:
    """Names of the convolutions that have one of these roles, sorted."""
    names = [op.get_friendly_name() for op in convolutions(model)]
    return sorted(name for name in names if has_role(name, roles))


def float_convolutions(quantized: ov.Model) -> list[str]:
    """Names of the convolutions whose weights are not quantized, in the model's order.

    NNCF leaves quantized weights as floats behind a quantizer, or after accuracy control as
    integers.
    """
    return [
        op.get_friendly_name()
        for op in convolutions(quantized)
        if not any(
            source.get_type_name() == "FakeQuantize" or source.get_element_type() in INTEGERS
            for source in weights_path(op)
        )
    ]


def convolutions(model: ov.Model) -> list[Node]:
    return [op for op in model.get_ordered_ops() if op.get_type_name() in CONVOLUTIONS]


def weights_path(convolution: Node) -> list[Node]:
    """The nodes between a convolution and the constant that holds its weights."""
    path = [convolution.input_value(1).get_node()]
    while path[-1].get_type_name() != "Constant":
        path.append(path[-1].input_value(0).get_node())
    return path


def fix_input_range(quantized: ov.Model) -> None:
    """Gives the input's quantizer the range of a picture's bytes, 0 to 255, in steps of 1.

    Calibration finds the mean brightest value of its frames. Where that is less than 255, brighter
    pixels would be cut off and every other byte would fall between two steps.
    """
    for target in quantized.input(0).get_target_inputs():
        quantizer = target.get_node()
        if quantizer.get_type_name() != "FakeQuantize":
            continue
        for port, value in enumerate((0.0, 255.0, 0.0, 255.0), start=1):
            shape = quantizer.input_value(port).get_partial_shape().to_shape()
            constant = opset13.constant(np.full(shape, value, np.float32))
            quantizer.input(port).replace_source_output(constant.output(0))


def sort_notes(quantized: ov.Model) -> None:
    """NNCF notes the layers that it left alone in the order of a Python set, new in each run."""
    place = ["nncf", "quantization", "ignored_scope", "names"]
    if quantized.has_rt_info(place):
        names = re.findall(r"'([^']*)'", quantized.get_rt_info(place).astype(str))
        quantized.set_rt_info(str(sorted(names)), place)
