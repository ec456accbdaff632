"""Quantize: INT8 by NNCF's post-training quantization, calibrated on train images only.

In:   models/ir                      SiLU is one operation, Swish, so that no quantizer splits it
      data/split/calibration.json    the first `quantize.calibration_images` are used
      data/split/val.json            shares no image with them; `accuracy_aware` measures AP on it
      data/dataset                   the images
Out:  models/int8/yolox.xml, yolox.bin, README.md   the model and its card

`quantize.method`: `default` takes seconds and quantizes all convolutions but the groups of
`quantize.keep_float`: by default the nine that predict boxes and scores, and the depthwise ones,
which only YOLOX-nano has. `accuracy_aware` then puts layers back to float until AP on the val
images is within `quantize.max_drop` points.

Run:  python -m stages.quantize models/ir data/split/calibration.json data/split/val.json \
          data/dataset models/int8
"""

from pathlib import Path

import openvino as ov

from detector.core.backend import ModelError
from detector.core.cpu import instruction_sets
from detector.runtime.model_file import IR_FILE
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.common.files import atomic_path, write_text
from stages.common.params import load_params
from stages.common.run import run_stage
from stages.conversion.ir_file import save_ir
from stages.conversion.toolchain import check_toolchain
from stages.quantize.accuracy_control import Validator, quantize_within
from stages.quantize.model_card import model_card
from stages.quantize.recipe import CalibrationDataset, correct, float_convolutions, quantize


def main(ir: Path, calibration: Path, val: Path, dataset: Path, out_dir: Path) -> None:
    """Quantize the OpenVINO model to INT8."""
    params = load_params()
    check_toolchain(params.toolchain)
    settings, images_dir, backend = params.quantize, dataset / "images", OpenVinoBackend(ir, "f32")
    images = CalibrationDataset(
        calibration, val, images_dir, backend.input_hw, settings.calibration_images
    )
    model = ov.Core().read_model(ir / IR_FILE)
    if settings.method == "default":
        quantized = quantize(model, images, settings)
    else:
        validator = Validator(val, images_dir, backend.input_hw, params.evaluate)
        quantized = quantize_within(model, images, validator, settings)
    correct(quantized)
    quantized.set_rt_info(" ".join(instruction_sets()), ["detector", "made_on"])
    kept_float = float_convolutions(quantized)
    sources = {
        "the float model, models/ir/yolox.bin": (ir / IR_FILE).with_suffix(".bin"),
        "the images and boxes, data/dataset/annotations.json": dataset / "annotations.json",
        "the calibration list": calibration,
    }
    with atomic_path(out_dir) as tmp:
        save_ir(quantized, tmp)
        card = model_card(tmp, sources, len(images), backend, params, kept_float)
        write_text(tmp / "README.md", card)
    print(f"calibrated on {len(images)} images, {len(kept_float)} convolutions stay float")


if __name__ == "__main__":
    run_stage(main, ModelError)
