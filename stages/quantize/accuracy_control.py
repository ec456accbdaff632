"""INT8 with accuracy control: layers go back to float until AP on val is good enough.

The search is NNCF's (`quantize_with_accuracy_control`): it ranks groups of quantizers by how much
of the model's output comes back without them, and removes one after the other.
"""

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import nncf
import numpy as np
import openvino as ov

from detector.core.backend import FunctionRequest
from detector.core.boxes import as_blob, letterbox
from detector.core.frame_detector import FrameDetector
from stages.common.coco import labels_of, read_coco, read_image, subset
from stages.common.coco_eval import detect_images, score
from stages.common.params import Evaluate, Quantize
from stages.conversion.layer_groups import layer_name
from stages.quantize.recipe import (
    CalibrationDataset,
    advanced_parameters,
    float_convolutions,
    names_in_groups,
    nncf_arguments,
    quantize,
)

RANKING_IMAGES = 50  # each of some 80 groups of layers is ranked on all of them


class TimeOver(Exception):
    """There is no time to rank layers."""


class Validator:
    """Measures AP on the val images in the form that NNCF asks for, until time is over.

    Args:
        val: the val list.
        images_dir: the folder of its images.
        input_hw: height and width of the model's input.
        params: confidence and NMS overlap of the evaluation.

    Attributes:
        aps: AP of every model that was measured on all val images, the float one first.
        end: when time is over, by `time.monotonic`.
    """

    def __init__(self, val: Path, images_dir: Path, input_hw: tuple[int, int], params: Evaluate):
        self.coco = read_coco(val, boxes_needed=True)
        self.images_dir, self.input_hw, self.params = images_dir, input_hw, params
        self.end = float("inf")
        self.aps: list[float] = []

    def ranking_input(self, image: dict) -> np.ndarray:
        """Read a val image as model input, for the ranking of layers.

        Raises:
            TimeOver: time is over before any layer was put back.
        """
        if time.monotonic() > self.end and len(self.aps) == 2:
            raise TimeOver
        return as_blob(letterbox(read_image(self.images_dir / image["file_name"]), self.input_hw))

    def __call__(self, compiled: ov.CompiledModel, images: Iterable[dict]) -> tuple[float, list]:
        """Return AP of a model on some of the val images, and its outputs."""
        if time.monotonic() > self.end and self.aps:
            # NNCF knows no time limit. It stops where nothing is lost, so that is what it is
            # told; the real loss is measured afterwards.
            return self.aps[0], []
        images, outputs, request = list(images), [], compiled.create_infer_request()

        def infer(canvas_bgr: np.ndarray) -> np.ndarray:
            outputs.append([request.infer({0: as_blob(canvas_bgr)})[0].copy()])
            return outputs[-1][0][0]

        backend = SimpleNamespace(
            labels=labels_of(self.coco), input_hw=self.input_hw, num_requests=1,
            new_request=lambda: FunctionRequest(infer, self.input_hw),
        )  # fmt: skip
        detector = FrameDetector(backend, self.params.confidence, self.params.nms_iou)
        rows = detect_images(detector, images, self.images_dir)
        ap = float(score(subset(self.coco, images), rows).stats[0])
        if len(images) == len(self.coco["images"]):
            self.aps.append(ap)
            drop = 100 * (self.aps[0] - ap)
            print(f"model {len(self.aps)}: AP {ap:.4f}, drop {drop:+.2f} points", file=sys.stderr)
        return ap, outputs


def quantize_within(
    model: ov.Model, dataset: CalibrationDataset, validator: Validator, params: Quantize
) -> ov.Model:
    """Quantize, and put layers back until AP is within `max_drop` points, or time is over."""
    validator.end = time.monotonic() + 60 * params.max_minutes
    images = validator.coco["images"]
    restorer = nncf.AdvancedAccuracyRestorerParameters(
        ranking_subset_size=min(RANKING_IMAGES, len(images)), num_ranking_workers=1
    )
    try:
        quantized = nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset(dataset),
            nncf.Dataset(images, validator.ranking_input),
            validator,
            max_drop=params.max_drop / 100,
            advanced_accuracy_restorer_parameters=restorer,
            advanced_quantization_parameters=advanced_parameters(model, params),
            **nncf_arguments(model, len(dataset), params),
        )
    except TimeOver:
        quantized = quantize(model, dataset, params)
    validator.end = float("inf")
    print_result(quantized, validator, names_in_groups(model, params.keep_float), params)
    return quantized


def print_result(
    quantized: ov.Model, validator: Validator, kept: list[str], params: Quantize
) -> None:
    """Print the layers that were put back and the AP lost; `kept` were float from the start."""
    f32 = {"INFERENCE_PRECISION_HINT": "f32"}  # outside INT8, as NNCF compiles it
    compiled = ov.Core().compile_model(quantized, "CPU", f32)
    drop = 100 * (validator.aps[0] - validator(compiled, validator.coco["images"])[0])
    back = [layer_name(name) for name in float_convolutions(quantized) if name not in kept]
    print(f"put back: {', '.join(back) or 'nothing'}; AP drop {drop:+.2f} points on val")
    if drop > params.max_drop:
        print(
            f"the drop is more than quantize.max_drop, {params.max_drop:g} points, after "
            f"{params.max_minutes:g} minutes; raise quantize.max_minutes or max_drop",
            file=sys.stderr,
        )
