"""The benchmark of ways to INT8: equalised channels, and models of several sides of the data."""

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import openvino as ov
import pytest
from conftest import ROOT

from benchmarks.equalise import SMALLEST, absorb, equalise, ranges_of, readers, weight_ranges
from detector.boxes import as_blob
from detector.openvino_backend import OpenVinoBackend
from stages.common.coco import read_coco
from stages.common.params import Evaluate, Quantize
from stages.common.roles import has_role
from stages.common.score import score
from stages.evaluate import detections_of
from stages.quantizing.recipe import convolutions, quantize


@pytest.fixture
def model(models) -> ov.Model:
    return ov.Core().read_model(models / "ir/yolox.xml")


def output(model: ov.Model, canvas_bgr: np.ndarray) -> np.ndarray:
    run = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return run(as_blob(canvas_bgr))[0]


def test_an_equalised_model_computes_the_same(model, canvas_bgr):
    expected = output(model, canvas_bgr)
    equalise(model, [as_blob(canvas_bgr)], ())
    np.testing.assert_allclose(output(model, canvas_bgr), expected, rtol=1e-3, atol=1e-3)


def test_ranges_of_activations_and_weights_are_equal_afterwards(model, canvas_bgr):
    blobs = [as_blob(canvas_bgr)]
    groups = readers(model, ())
    assert len(groups) > 40
    live = [range_ > SMALLEST for range_ in ranges_of(model, blobs, groups)]
    equalise(model, blobs, ())
    model.validate_nodes_and_infer_types()
    scaled = [(group[0].input_value(0), group) for _, group in groups]
    activations = ranges_of(model, blobs, scaled)
    for (_, group), activation, used in zip(scaled, activations, live, strict=True):
        weight = np.max([weight_ranges(convolution) for convolution in group], axis=0)
        assert np.ptp(np.log(activation[used] / weight[used])) < 1e-3


def test_what_stays_float_is_left_as_it_was(model, canvas_bgr):
    equalise(model, [as_blob(canvas_bgr)], ("predictions", "depthwise"))
    kept = [
        op
        for op in convolutions(model)
        if has_role(op.get_friendly_name(), ("stem", "predictions", "depthwise"))
    ]
    assert len(kept) == 40
    assert not any(
        op.input_value(0).get_node().get_friendly_name().endswith("/equalised") for op in kept
    )


def test_factors_become_ranges_of_the_quantizers(model, canvas_bgr):
    """So that the model keeps its operations, and with them its speed."""
    blobs, params = [as_blob(canvas_bgr)], Quantize()
    plain = quantize(model, blobs, params)
    equalise(model, blobs, params.keep_float)
    quantized = quantize(model, blobs, params)
    with_factors = output(quantized, canvas_bgr)
    absorb(quantized)
    np.testing.assert_allclose(output(quantized, canvas_bgr), with_factors, rtol=1e-2, atol=1e-2)
    kinds = [
        Counter(
            op.get_type_name() for op in m.get_ordered_ops() if op.get_type_name() != "Constant"
        )
        for m in (plain, quantized)
    ]
    assert kinds[0]["Multiply"] == kinds[1]["Multiply"]
    assert kinds[0]["FakeQuantize"] == kinds[1]["FakeQuantize"]


@pytest.mark.slow
def test_models_of_two_sides_are_judged_on_the_images_of_both(trained):
    ir, dataset = trained / "ir", trained / "dataset"
    train, val = (trained / f"split/{side}.json" for side in ("train", "val"))
    words = [ir, dataset, train, val, "--also", ir, val, train, "--seconds", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.int8", *map(str, words), "--recipes",
         "mean ranges, channels equalised"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w.*?) \| ([\d.]+) \| (.*?) \|", done.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == ["FP16", "mean ranges, channels equalised"]
    assert rows[0][2] == "+0.00 (+0.00 to +0.00)"
    coco = read_coco(dataset / "annotations.json")
    found = detections_of(OpenVinoBackend(ir, "f32"), coco, dataset / "images", Evaluate())
    assert rows[0][1] == f"{score(coco, found).stats[0]:.4f}"
