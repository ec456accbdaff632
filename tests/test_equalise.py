"""The benchmark of equalised channels: the float model stays what it was, ranges become equal."""

import numpy as np
import openvino as ov
import pytest

from benchmarks.equalise import SMALLEST, equalise, ranges_of, readers, weight_ranges
from detector.boxes import as_blob
from stages.common.roles import has_role
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
