"""Sound conversions pass and broken ones are refused; the float variants are as accurate."""

import numpy as np
import onnx
import openvino as ov
import pytest
from conftest import PARAMS, ROOT, SHARED

from stages import evaluate, ir
from stages.common.coco import read_coco
from stages.common.coco_eval import accuracy, score
from stages.common.run import UserError
from stages.conversion.ir_file import opset13
from stages.conversion.onnx_file import SEAL, seal
from stages.conversion.parity import Difference, difference


@pytest.fixture(scope="module")
def figures(trained) -> dict[str, dict]:
    """Accuracy at float32 by variant."""
    coco = read_coco(trained / "split/val.json")
    models = (ROOT / "models/pretrained.pth", trained / "yolox.onnx", trained / "ir")
    backends = {path.name: evaluate.open_backend(path, "f32") for path in models}
    return {
        name: accuracy(
            coco,
            score(
                coco,
                evaluate.detect(backend, coco, trained / "dataset/images", PARAMS.evaluate),
            ),
        )
        for name, backend in backends.items()
    }


def test_the_bundled_weights_find_plates_that_they_have_not_seen(figures):
    assert figures["pretrained.pth"]["AP50"] > 0.6


@pytest.mark.parametrize("variant", ["yolox.onnx", "ir"])
@pytest.mark.parametrize("figure", ["AP", "AP50"])
def test_float_variants_are_as_accurate_as_pytorch(figures, variant, figure):
    assert figures[variant][figure] == pytest.approx(figures["pretrained.pth"][figure], abs=0.001)


@pytest.fixture(params=["trained", "real frames"])
def onnx_model(request, tmp_path):
    """An ONNX file, the val list and the data set that its IR is checked on."""
    trained = request.getfixturevalue("trained")
    frames = trained / "split/val.json", trained / "dataset"
    if request.param == "trained":
        return trained / "yolox.onnx", *frames
    if not SHARED:
        pytest.skip("the model that was trained on real frames is not here")
    # Refused by its FP16 rounding until only boxes that can be detections were compared.
    proto = onnx.load(SHARED / "plates_nano.onnx")
    kept = [entry for entry in proto.metadata_props if entry.key != SEAL]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    seal(proto)
    onnx.save(proto, tmp_path / "plates_nano.onnx")
    return tmp_path / "plates_nano.onnx", *frames


def replace_constant(op, change) -> None:
    """Put the changed values of a constant in its place."""
    changed = opset13.constant(change(op.data).astype(op.data.dtype))
    for reader in op.output(0).get_target_inputs():
        reader.replace_source_output(changed.output(0))


def constants(model: ov.Model, shape_is) -> list:
    return [
        op
        for op in model.get_ordered_ops()
        if op.get_type_name() == "Constant" and shape_is(list(op.shape))
    ]


def change_first(shape_is, change):
    return lambda model: replace_constant(constants(model, shape_is)[0], change)


def change_all(shape_is, change):
    return lambda model: [replace_constant(op, change) for op in constants(model, shape_is)]


def to_8_bits(weights: np.ndarray) -> np.ndarray:
    axes = tuple(range(1, weights.ndim))
    step = np.maximum(np.abs(weights).max(axis=axes, keepdims=True), 1e-9) / 127
    return np.round(weights / step) * step


def is_stem(shape) -> bool:
    return shape[1:] == [3, 6, 6]


def is_bias(shape) -> bool:
    return len(shape) == 4 and shape[0] == shape[2] == shape[3] == 1 and shape[1] > 1


def is_filter(shape) -> bool:
    return len(shape) >= 4 and not is_bias(shape) and shape[0] > 1


FAULTS = {
    "swapped channels": change_first(is_stem, lambda w: w[:, ::-1]),
    "the input in 0..1": change_first(is_stem, lambda w: w / 255),
    "another input scale": change_first(is_stem, lambda w: w * 0.95),
    "a dropped bias": change_first(is_bias, np.zeros_like),
    "a wrong stride": change_all(
        lambda shape: len(shape) >= 2 and shape[-1] == 1 and shape[-2] > 100,
        lambda strides: np.where(strides == 32, 16, strides),
    ),
    "weights of 8 bits": change_all(is_filter, to_8_bits),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_conversion_is_refused(onnx_model, tmp_path, monkeypatch, fault):
    def convert(data):
        model = convert_model(data)
        FAULTS[fault](model)
        return model

    convert_model = ov.convert_model
    monkeypatch.setattr(ov, "convert_model", convert)
    with pytest.raises(UserError, match="FP32 IR is not the model it was made of"):
        ir.main(*onnx_model, tmp_path / "ir")
    assert not (tmp_path / "ir").exists()


def test_weights_that_are_rounded_too_far_are_refused(onnx_model, tmp_path, monkeypatch):
    monkeypatch.setattr(ir, "halve_large_weights", FAULTS["weights of 8 bits"])
    with pytest.raises(UserError, match="FP16 IR is not the model it was made of"):
        ir.main(*onnx_model, tmp_path / "ir")
    assert not (tmp_path / "ir").exists()


def test_a_sound_conversion_passes(onnx_model, tmp_path):
    ir.main(*onnx_model, tmp_path / "ir")
    assert (tmp_path / "ir/yolox.xml").exists()


def anchors(*rows: tuple[float, ...]) -> np.ndarray:
    """An output [1, 5, 84] of a model with input 32x128 whose first anchors are these."""
    output = np.tile(np.float32([50, 50, 10, 20, 0.001]), (1, 84, 1))
    output[0, : len(rows)] = np.reshape(rows, (-1, 5))
    return output.transpose(0, 2, 1)


SAME = (10, 10, 20, 40, 0.5)


@pytest.mark.parametrize(
    ("expected", "found", "box", "score"),
    [
        (SAME, SAME, 0, 0),
        (SAME, (12, 10, 20, 40, 0.5), 2 / 40, 0),
        (SAME, (10, 10, 20, 37, 0.5), 3 / 40, 0),
        (SAME, (10, 10, 20, 40, 0.25), 0, 0.25),
        (SAME, (14, 10, 20, 40, 0.0), 4 / 40, 0.5),  # a detection in one of them
        ((50, 50, 0, 0.4, 0.5), (50.08, 50, 0, 0.4, 0.5), 0.08 / 8, 0),  # smaller than a cell
        ((50, 50, 9, 9, 0.009), (80, 50, 9, 9, 0.009), 0, 0),  # no detection in either
        (SAME, (np.nan, 10, 20, 40, 0.5), np.nan, 0),
        (SAME, (10, 10, 20, 40, np.nan), np.nan, np.nan),
    ],
)
def test_how_far_two_outputs_differ(expected, found, box, score):
    apart = difference(anchors(expected), anchors(found), (32, 128))
    if np.isnan(box):
        assert not apart.within(Difference(*[np.inf] * 4))
        return
    assert (apart.box, apart.score) == pytest.approx((box, score), abs=1e-6)
    assert apart.median_box == apart.median_log_score == 0


def test_the_median_of_each_feature_map_counts():
    """The coarsest grid has 4 of 84 anchors: they would not move the median of all."""
    expected, found = anchors(), anchors()
    found[0, 0, -4:] += 5
    assert difference(expected, found, (32, 128)).median_box == pytest.approx(5 / 20)
    found = anchors()
    found[0, 4, -4:] *= 2
    assert difference(expected, found, (32, 128)).median_log_score == pytest.approx(np.log(2))
