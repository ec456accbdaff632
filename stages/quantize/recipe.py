"""The INT8 recipe: calibration images, settings of NNCF, and corrections of its result.

The figures behind each choice are in docs/int8.md.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
from nncf.quantization.range_estimator import RangeEstimatorParametersSet

from detector.core.boxes import as_blob, letterbox
from stages.common.coco import read_coco, read_image
from stages.common.params import Quantize
from stages.common.run import UserError
from stages.conversion.ir_file import Node, opset13
from stages.conversion.layer_groups import in_groups

CONVOLUTIONS = ("Convolution", "GroupConvolution")
INTEGERS = (ov.Type.i8, ov.Type.u8)
PRESETS = {"mixed": nncf.QuantizationPreset.MIXED, "performance": None}
IGNORED_NAMES = ["nncf", "quantization", "ignored_scope", "names"]


class CalibrationDataset:
    """The images that ranges are measured on, as model inputs, decoded one at a time.

    Args:
        calibration: the calibration list; its first `count` images are used.
        val: the val list.
        images_dir: the folder of the images.
        input_hw: height and width of the model's input.

    Raises:
        UserError: the list is empty, or holds a val image: a model must not be tuned on the
            images that judge it.
    """

    def __init__(
        self, calibration: Path, val: Path, images_dir: Path, input_hw: tuple[int, int], count: int
    ):
        images = read_coco(calibration)["images"][:count]
        val_hashes = {image["sha256"] for image in read_coco(val)["images"]}
        shared = [image["file_name"] for image in images if image["sha256"] in val_hashes]
        if shared:
            raise UserError(
                f"{calibration} holds {len(shared)} val images, first {shared[0]}; calibrate on "
                "train images only: run `dvc repro split`"
            )
        self.paths = [images_dir / image["file_name"] for image in images]
        self.input_hw = input_hw

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        for path in self.paths:
            yield as_blob(letterbox(read_image(path), self.input_hw))


def quantize(model: ov.Model, dataset: CalibrationDataset, params: Quantize) -> ov.Model:
    """Quantize a float model after training, with the settings of params.yaml."""
    return nncf.quantize(
        model,
        nncf.Dataset(dataset),
        **nncf_arguments(model, len(dataset), params),
        advanced_parameters=advanced_parameters(model, params),
    )


def nncf_arguments(model: ov.Model, images: int, params: Quantize) -> dict:
    """Return the arguments that quantization with and without accuracy control share.

    The preset `mixed` gives activations an offset: SiLU ends at -0.28, and a symmetric range
    would spend half its steps below that. Products are not quantized: the only ones are those of
    the decode, where a score would be rounded to one of 256 steps.
    """
    nncf.set_log_level(logging.ERROR)  # it lists every layer that is not quantized
    names = names_in_groups(model, params.keep_float)
    return {
        "preset": PRESETS[params.preset],
        "subset_size": images,
        "fast_bias_correction": params.fast_bias_correction,
        "ignored_scope": nncf.IgnoredScope(names=names, types=["Multiply"]),
    }


def advanced_parameters(model: ov.Model, params: Quantize) -> nncf.AdvancedQuantizationParameters:
    """Choose how the range of an activation follows from those in the calibration images.

    With the range of all values YOLOX-nano loses up to two points; with the mean over images, which
    clips what few of them show, YOLOX-s does.
    """
    depthwise = any(op.get_type_name() == "GroupConvolution" for op in convolutions(model))
    everything = params.ranges == "all" or (params.ranges == "auto" and not depthwise)
    return nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
        if everything
        else None
    )


def convolutions(model: ov.Model) -> list[Node]:
    return [op for op in model.get_ordered_ops() if op.get_type_name() in CONVOLUTIONS]


def names_in_groups(model: ov.Model, groups: tuple[str, ...]) -> list[str]:
    """List the names of the convolutions in any of these groups, sorted."""
    names = [op.get_friendly_name() for op in convolutions(model)]
    return sorted(name for name in names if in_groups(name, groups))


def float_convolutions(quantized: ov.Model) -> list[str]:
    """List the names of the convolutions with float weights, in the model's order."""
    found = [op for op in convolutions(quantized) if not has_int8_weights(op)]
    return [op.get_friendly_name() for op in found]


def has_int8_weights(convolution: Node) -> bool:
    """Look for a quantizer, or integers, which accuracy control leaves, on the way to weights."""
    node = convolution.input_value(1).get_node()
    while node.get_type_name() not in ("Constant", "FakeQuantize"):
        node = node.input_value(0).get_node()
    return node.get_type_name() == "FakeQuantize" or node.get_element_type() in INTEGERS


def correct(quantized: ov.Model) -> None:
    """Correct the range of the input and the order of the names that NNCF notes, in place.

    Calibration finds the mean brightest value of its images. Where that is less than 255, brighter
    pixels would be clipped and every other byte would fall between two steps; so the range is that
    of bytes, 0 to 255 in steps of 1. And the names of layers that were not quantized come from a
    Python set, in another order in each run.
    """
    for target in quantized.input(0).get_target_inputs():
        quantizer = target.get_node()
        if quantizer.get_type_name() != "FakeQuantize":
            continue
        for port, value in enumerate((0.0, 255.0, 0.0, 255.0), start=1):
            shape = quantizer.input_value(port).get_partial_shape().to_shape()
            constant = opset13.constant(np.full(shape, value, np.float32))
            quantizer.input(port).replace_source_output(constant.output(0))
    if quantized.has_rt_info(IGNORED_NAMES):
        names = re.findall(r"'([^']*)'", quantized.get_rt_info(IGNORED_NAMES).astype(str))
        quantized.set_rt_info(str(sorted(names)), IGNORED_NAMES)
