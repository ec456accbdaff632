"""Quantize: INT8 by NNCF's post-training quantization, calibrated on train images only.

In:   models/ir                      Swish fused, so that no quantizer splits a SiLU
      data/split/calibration.json    the first `quantize.calibration_images` are used
      data/dataset                   the images
Out:  models/int8/yolox.xml, yolox.bin

Run:  python -m stages.quantize models/ir data/split/calibration.json data/dataset \
          models/int8
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import nncf
import numpy as np
import openvino as ov

from detector.backends import IR_FILE, OpenVinoBackend
from detector.boxes import letterbox
from stages.common.cli import run_stage
from stages.common.coco import read_coco, read_image
from stages.common.files import atomic_path
from stages.common.params import Quantize, load_params

CONVOLUTIONS = ("Convolution", "GroupConvolution")


def main(ir: Path, calibration: Path, dataset: Path, out_dir: Path) -> None:
    """Quantizes the OpenVINO model to INT8."""
    params = load_params().quantize
    images = read_coco(calibration)["images"][: params.calibration_images]
    paths = [dataset / "images" / image["file_name"] for image in images]
    blobs = Blobs(paths, OpenVinoBackend(ir).input_hw)
    model = ov.Core().read_model(ir / IR_FILE)
    quantized = quantize(model, blobs, params)
    with atomic_path(out_dir) as tmp:
        tmp.mkdir()
        ov.save_model(quantized, tmp / IR_FILE, compress_to_fp16=False)
    kept = f", {len(prediction_convolutions(model))} predictions kept float"
    print(f"calibrated on {len(images)} images{kept if params.float_predictions else ''}")


class Blobs:
    """The calibration frames through the letterbox that every evaluation uses, one at a time."""

    def __init__(self, paths: list[Path], input_hw: tuple[int, int]):
        self.paths, self.input_hw = paths, input_hw

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        for path in self.paths:
            yield letterbox(read_image(path), self.input_hw)


def quantize(model: ov.Model, blobs: Blobs, params: Quantize) -> ov.Model:
    """Post-training quantization with the settings of params.yaml.

    The preset `mixed` gives activations an offset: SiLU ends at -0.28, and a symmetric range
    would spend half its steps below that.
    """
    nncf.set_log_level(logging.ERROR)  # it lists every layer that it was told to leave alone
    kept_float = sorted(prediction_convolutions(model)) if params.float_predictions else []
    presets = {"mixed": nncf.QuantizationPreset.MIXED, "performance": None}
    quantized = nncf.quantize(
        model,
        nncf.Dataset(blobs),
        preset=presets[params.preset],
        subset_size=len(blobs),
        fast_bias_correction=params.fast_bias_correction,
        ignored_scope=nncf.IgnoredScope(names=kept_float),
    )
    if kept_float:
        # NNCF notes the names in the order of a Python set, another one in each run.
        quantized.set_rt_info(str(kept_float), ["nncf", "quantization", "ignored_scope", "names"])
    return quantized


def prediction_convolutions(model: ov.Model) -> list[str]:
    """Names of the convolutions that no other convolution follows: the nine outputs of the head.

    Found by their place in the graph, since their names change with every exporter.
    """
    followed: dict[str, bool] = {}
    for op in reversed(model.get_ordered_ops()):
        readers = [i.get_node() for output in op.outputs() for i in output.get_target_inputs()]
        followed[op.get_friendly_name()] = any(
            reader.get_type_name() in CONVOLUTIONS or followed[reader.get_friendly_name()]
            for reader in readers
        )
    return [
        op.get_friendly_name()
        for op in model.get_ordered_ops()
        if op.get_type_name() in CONVOLUTIONS and not followed[op.get_friendly_name()]
    ]


if __name__ == "__main__":
    run_stage(main)
