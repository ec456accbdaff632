"""Quantize: INT8 by NNCF's post-training quantization, calibrated on train images only.

In:   models/ir                      Swish fused, so that no quantizer splits a SiLU
      data/split/calibration.json    the first `quantize.calibration_images` are used
      data/split/val.json            must share no image with them; `accuracy_aware` judges on it
      data/dataset                   the images
Out:  models/int8/yolox.xml, yolox.bin, README.md   the model and its card

`quantize.method`: `default` quantizes all but the nine last convolutions and takes seconds;
`accuracy_aware` then puts layers back until AP on the val images is within `quantize.max_drop`.

Run:  python -m stages.quantize.__main__ models/ir data/split/calibration.json data/split/val.json \
          data/dataset models/int8
"""

from pathlib import Path

import openvino as ov

from detector.runtime.model_file import IR_FILE, ModelError
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.common.files import atomic_path, write_text
from stages.common.params import load_params
from stages.common.run import run_stage
from stages.conversion.ir_file import save_ir
from stages.conversion.toolchain import refuse_other_toolchain
from stages.quantize.accuracy_control import Judge, quantize_within
from stages.quantize.calibration import Blobs, calibration_paths
from stages.quantize.model_card import card, origins_of
from stages.quantize.recipe import (
    fix_input_range,
    float_convolutions,
    quantize,
    sort_notes,
)


def main(ir: Path, calibration: Path, val: Path, dataset: Path, out_dir: Path) -> None:
    """Quantizes the OpenVINO model to INT8."""
    params = load_params()
    refuse_other_toolchain(params.toolchain)
    settings, images_dir = params.quantize, dataset / "images"
    backend = OpenVinoBackend(ir, "f32")
    paths = calibration_paths(calibration, val, images_dir, settings.calibration_images)
    blobs = Blobs(paths, backend.input_hw)
    model = ov.Core().read_model(ir / IR_FILE)
    if settings.method == "default":
        quantized = quantize(model, blobs, settings)
    else:
        judge = Judge(val, images_dir, backend.input_hw, params.evaluate)
        quantized = quantize_within(model, blobs, judge, settings)
    fix_input_range(quantized)
    sort_notes(quantized)
    kept_float = float_convolutions(quantized)
    with atomic_path(out_dir) as tmp:
        save_ir(quantized, tmp)
        origins = origins_of(ir, dataset, calibration)
        write_text(tmp / "README.md", card(tmp, origins, len(blobs), backend, params, kept_float))
    print(f"calibrated on {len(blobs)} images, {len(kept_float)} convolutions stay float")


if __name__ == "__main__":
    run_stage(main, ModelError)
