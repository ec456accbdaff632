"""INT8 with accuracy control: layers go back to floating point until AP is good enough.

The search is NNCF's (`quantize_with_accuracy_control`): it ranks groups of quantizers by how much
of the model's output comes back without them, and removes one after the other.
"""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import nncf
import numpy as np
import openvino as ov

from detector.core.boxes import as_blob, letterbox, postprocess
from stages.common.coco import read_coco, read_image, subset
from stages.common.coco_eval import coco_rows, score
from stages.common.params import Evaluate, Quantize
from stages.conversion.layer_groups import layer_name
from stages.quantize.calibration import Blobs
from stages.quantize.recipe import (
    advanced_parameters,
    float_convolutions,
    nncf_arguments,
    quantize,
    with_roles,
)

# Frames on which NNCF ranks layers: each of some 80 groups of them is run on all of these.
RANKING_FRAMES = 50


class TimeOver(Exception):
    """There is no time to rank layers."""


class Judge:
    """AP on the val images, in the form that NNCF asks for, until time is over.

    Args:
        val: the val list.
        images_dir: the folder of its images.
        input_hw: height and width of the model's input.
        params: confidence and NMS overlap of the evaluation.
    """

    def __init__(self, val: Path, images_dir: Path, input_hw: tuple[int, int], params: Evaluate):
        self.coco = read_coco(val, boxes_needed=True)
        self.images_dir, self.input_hw, self.params = images_dir, input_hw, params
        self.end = float("inf")
        self.aps: list[float] = []

    def blob(self, image: dict) -> np.ndarray:
        """A val image as the model takes it.

        Raises:
            TimeOver: time is over before any layer was put back.
        """
        if time.monotonic() > self.end and len(self.aps) == 2:
            raise TimeOver
        image_bgr = read_image(self.images_dir / image["file_name"])
        return as_blob(letterbox(image_bgr, self.input_hw))

    def dataset(self) -> nncf.Dataset:
        """The val images; NNCF hands models their blobs, and this judge their entries."""
        return nncf.Dataset(self.coco["images"], self.blob)

    def __call__(self, compiled: ov.CompiledModel, images: Iterable[dict]) -> tuple[float, list]:
        """AP of a model on some of the val images, and its outputs."""
        if time.monotonic() > self.end and self.aps:
            # NNCF knows no time limit. It stops where nothing is lost any more, so that is what
            # it hears; what the model really lost is measured afterwards.
            return self.aps[0], []
        request, seen, rows, outputs = compiled.create_infer_request(), [], [], []
        for image in images:
            output = request.infer({0: self.blob(image)})[0].copy()
            found = postprocess(
                output[0], self.input_hw, (image["height"], image["width"]),
                self.params.confidence, self.params.nms_iou,
            )  # fmt: skip
            rows += coco_rows(image["id"], *found)
            seen.append(image)
            outputs.append([output])
        ap = float(score(subset(self.coco, seen), rows).stats[0])
        if len(seen) == len(self.coco["images"]):
            self.tell(ap)
        return ap, outputs

    def ap(self, model: ov.Model) -> float:
        """AP of a model on all val images, computed in float32 where it is not in INT8, as NNCF
        does."""
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = ov.Core().compile_model(model, "CPU", options)
        return self(compiled, self.coco["images"])[0]

    def tell(self, ap: float) -> None:
        """A line for each model that was judged on all val images, the float one first."""
        self.aps.append(ap)
        drop = 100 * (self.aps[0] - ap)
        print(f"model {len(self.aps)}: AP {ap:.4f}, drop {drop:+.2f} points", file=sys.stderr)


def quantize_within(model: ov.Model, blobs: Blobs, judge: Judge, params: Quantize) -> ov.Model:
    """Quantizes, and puts layers back until AP is within `max_drop` points, or time is over.

    Args:
        model: the float model.
        blobs: the calibration frames.
        judge: measures AP.
        params: the section `quantize`.
    """
    judge.end = time.monotonic() + 60 * params.max_minutes
    restorer = nncf.AdvancedAccuracyRestorerParameters(
        ranking_subset_size=min(RANKING_FRAMES, len(judge.coco["images"])),
        num_ranking_workers=1,
    )
    try:
        quantized = nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset(blobs),
            judge.dataset(),
            judge,
            max_drop=params.max_drop / 100,
            advanced_accuracy_restorer_parameters=restorer,
            advanced_quantization_parameters=advanced_parameters(model, params),
            **nncf_arguments(model, len(blobs), params),
        )
    except TimeOver:
        quantized = quantize(model, blobs, params)
    judge.end = float("inf")
    drop = 100 * (judge.aps[0] - judge.ap(quantized))
    told = set(with_roles(model, params.keep_float))
    back = [layer_name(name) for name in float_convolutions(quantized) if name not in told]
    print(f"put back: {', '.join(back) or 'nothing'}; AP drop {drop:+.2f} points on val")
    if drop > params.max_drop:
        print(
            f"the drop is more than quantize.max_drop, {params.max_drop:g} points, after "
            f"{params.max_minutes:g} minutes; raise quantize.max_minutes or max_drop",
            file=sys.stderr,
        )
    return quantized
