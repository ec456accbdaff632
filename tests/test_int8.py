"""The benchmark of ways to INT8: equalised channels, and models of several sides of the data."""

import re
import subprocess
import sys

import numpy as np
import openvino as ov
import pytest
from conftest import ROOT

from benchmarks.equalise import SMALLEST, equalise, ranges_of, readers, weight_ranges
from detector.boxes import as_blob
from detector.openvino_backend import OpenVinoBackend
from stages.common.coco import read_coco
from stages.common.params import Evaluate
from stages.common.roles import has_role
from stages.common.score import score
from stages.evaluate import detections_of
from stages.quantizing.recipe import convolutions


@pytest.fixture
def model(models) -> ov.Model:
    return ov.Core().read_model(models / "ir/yolox.xml")


def output(model: ov.Model, canvas_bgr: np.ndarray) -> np.ndarray:
    run = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return run(as_blob(canvas_bgr))[0]


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_an_equalised_model_computes_the_same(model, canvas_bgr, strength):
    expected = output(model, canvas_bgr)
    equalise(model, [as_blob(canvas_bgr)], strength, ())
    np.testing.assert_allclose(output(model, canvas_bgr), expected, rtol=1e-3, atol=1e-3)


def test_ranges_of_activations_and_weights_are_equal_afterwards(model, canvas_bgr):
    blobs = [as_blob(canvas_bgr)]
    live = [range_ > SMALLEST for range_ in ranges_of(model, blobs, readers(model, ("stem",)))]
    equalise(model, blobs, 1.0, ())
    model.validate_nodes_and_infer_types()
    groups = readers(model, ("stem",))
    assert len(groups) > 80
    activations = ranges_of(model, blobs, groups)
    for (_, group), activation, used in zip(groups, activations, live, strict=True):
        weight = np.max([weight_ranges(convolution) for convolution in group], axis=0)
        assert np.ptp(np.log(activation[used] / weight[used])) < 1e-3


def test_what_stays_float_is_left_as_it_was(model, canvas_bgr):
    equalise(model, [as_blob(canvas_bgr)], 1.0, ("predictions", "depthwise"))
    rescaled = {
        op.get_friendly_name(): "equalised" in op.input_value(0).get_node().get_friendly_name()
        for op in convolutions(model)
    }
    kept = [has_role(name, ("stem", "predictions", "depthwise")) for name in rescaled]
    assert [not flag for flag in rescaled.values()] == kept


@pytest.mark.slow
def test_models_of_two_sides_are_judged_on_the_images_of_both(trained):
    ir, dataset = trained / "ir", trained / "dataset"
    train, val = (trained / f"split/{side}.json" for side in ("train", "val"))
    words = [ir, dataset, train, val, "--also", ir, val, train, "--seconds", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.int8", *map(str, words), "--recipes",
         "channels equalised"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w.*?) \| ([\d.]+) \| (.*?) \|", done.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == ["FP16", "channels equalised"]
    assert rows[0][2] == "+0.00 (+0.00 to +0.00)"
    coco = read_coco(dataset / "annotations.json")
    found = detections_of(OpenVinoBackend(ir, "f32"), coco, dataset / "images", Evaluate())
    assert rows[0][1] == f"{score(coco, found).stats[0]:.4f}"
