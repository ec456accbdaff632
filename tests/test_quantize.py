"""INT8: what is quantized, on which images, and how accuracy control ends."""

import hashlib
import re
import shutil

import numpy as np
import openvino as ov
import pytest
import yaml
from conftest import PARAMS

from detector.core.boxes import as_blob
from stages.common.coco import read_coco
from stages.common.files import write_json
from stages.conversion.ir_file import opset13
from stages.quantize import recipe
from stages.quantize.accuracy_control import Validator
from tools.params_file import write_params


def changed(**settings):
    return PARAMS.quantize.model_copy(update=settings)


def float_ir(models) -> ov.Model:
    return ov.Core().read_model(models / "ir/yolox.xml")


def activation_quantizers(quantized: ov.Model) -> list:
    return [
        op
        for op in quantized.get_ops()
        if op.get_type_name() == "FakeQuantize"
        and op.input_value(0).get_node().get_type_name() not in ("Constant", "Convert")
    ]


def test_swish_stays_fused_and_the_input_has_a_step_for_every_byte(models):
    quantized = ov.Core().read_model(models / "int8/yolox.xml")
    kinds = [op.get_type_name() for op in quantized.get_ops()]
    assert (kinds.count("Swish"), kinds.count("Sigmoid")) == (104, 6)
    quantizers = activation_quantizers(quantized)
    targets = [target for op in quantizers for target in op.output(0).get_target_inputs()]
    assert targets and "Multiply" not in {target.get_node().get_type_name() for target in targets}
    (reader,) = (target.get_node() for target in quantized.input(0).get_target_inputs())
    assert reader.get_type_name() == "FakeQuantize"
    limits = [float(reader.input_value(port).get_node().data.item()) for port in range(1, 5)]
    assert limits == [0.0, 255.0, 0.0, 255.0]
    assert reader.get_attributes()["levels"] == 256


@pytest.mark.parametrize(("keep_float", "in_int8"), [(("predictions", "depthwise"), 74), ((), 113)])
def test_convolutions_that_should_be_are_int8(models, canvas_bgr, keep_float, in_int8):
    images, params = [as_blob(canvas_bgr)] * 2, changed(keep_float=keep_float)
    quantized = recipe.quantize(float_ir(models), images, params)
    assert len(recipe.float_convolutions(quantized)) == 113 - in_int8
    compiled = ov.Core().compile_model(quantized, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kernels = [
        op.get_rt_info()["primitiveType"].astype(str).lower()
        for op in compiled.get_runtime_model().get_ops()
        if "Convolution" in op.get_rt_info()["layerType"].astype(str)
    ]
    assert (len(kernels), sum(kernel.endswith("_i8") for kernel in kernels)) == (113, in_int8)


@pytest.mark.parametrize(
    ("ranges", "depthwise", "mean"),
    [("auto", True, True), ("auto", False, False), ("mean", False, True), ("all", True, False)],
)
def test_ranges_follow_the_kind_of_model(models, ranges, depthwise, mean):
    model = float_ir(models)
    if not depthwise:
        image = opset13.parameter([1, 3, 8, 8], np.float32)
        weights = opset13.constant(np.ones((4, 3, 3, 3), np.float32))
        found = opset13.convolution(image, weights, [1, 1], [0, 0], [0, 0], [1, 1])
        model = ov.Model([found], [image])
    advanced = recipe.advanced_parameters(model, changed(ranges=ranges))
    assert (advanced.activations_range_estimator_params is None) == mean


def test_ranges_of_all_values_enclose_the_mean_ones(models, canvas_bgr):
    images = [as_blob(canvas_bgr), as_blob(canvas_bgr // 4)]
    mean, everything = (
        widths(recipe.quantize(float_ir(models), images, changed(ranges=ranges)))
        for ranges in ("mean", "all")
    )
    assert mean.keys() == everything.keys()
    assert all(everything[name] > 0.99 * mean[name] for name in mean)
    assert sum(everything[name] > 1.01 * mean[name] for name in mean) > 10


def widths(quantized: ov.Model) -> dict[str, float]:
    """Return, by name, the width of the range of each activation that has a single one."""
    limits = {
        op.get_friendly_name(): [op.input_value(port).get_node().data for port in (1, 2)]
        for op in activation_quantizers(quantized)
    }
    return {name: float(high - low) for name, (low, high) in limits.items() if low.size == 1}


@pytest.mark.parametrize(
    ("group", "channels"),
    [
        ("predictions", [1, 1, 1, 3, 3, 3, 4, 4, 4]),  # objectness, three classes, box
        ("stem", [16]),
        ("first_block", [16, 32]),  # depthwise, pointwise
        ("depthwise", None),
    ],
)
def test_convolutions_are_found_by_their_group(models, group, channels):
    convolutions = recipe.convolutions(float_ir(models))
    names = set(recipe.names_in_groups(float_ir(models), (group,)))
    found = [op for op in convolutions if op.get_friendly_name() in names]
    if group == "depthwise":
        assert found == [op for op in convolutions if op.get_type_name() == "GroupConvolution"]
    else:
        assert sorted(op.output(0).shape[1] for op in found) == channels


def test_the_card_names_files_and_sources(models):
    text = (models / "int8/README.md").read_text()
    for path in (models / "int8/yolox.xml", models / "int8/yolox.bin", models / "ir/yolox.bin"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text
    for words in ("a b, c, ü", "input 64x96", "calibrated on 4 train images", "head.reg_preds.0"):
        assert words in text
    params = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
    assert set(params) == {"model", "train", "quantize"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("val images", "holds 2 val images, first default/5.png"),
        ("no images", "lists no images"),
        ("a broken image", "cannot read the image"),
    ],
)
def test_data_that_cannot_calibrate_is_refused(
    run_stage, models, tiny_dataset, tmp_path, fault, said
):
    split, dataset = tmp_path / "split", tmp_path / "dataset"
    shutil.copytree(tiny_dataset, tmp_path, dirs_exist_ok=True)
    if fault == "val images":
        shutil.copy(split / "val.json", split / "calibration.json")
    elif fault == "no images":
        coco = read_coco(split / "calibration.json")
        write_json(split / "calibration.json", {**coco, "images": []})
    else:
        (dataset / "images/default/2.png").write_bytes(b"\x89PNG")
    write_params(tmp_path, {})
    lists = split / "calibration.json", split / "val.json"
    done = run_stage("quantize", models / "ir", *lists, dataset, "int8", cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert not (tmp_path / "int8").exists()


def test_accuracy_control_stops_when_time_is_over(trained):
    """NNCF is told that nothing was lost, and no model runs."""
    lists = trained / "split/val.json", trained / "dataset/images"
    validator = Validator(*lists, (256, 448), PARAMS.evaluate)
    validator.aps, validator.end = [0.75], 0.0
    assert validator(None, validator.coco["images"]) == (0.75, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("max_drop", "max_minutes", "put_back"), [(1.5, 20.0, True), (0.0, 0.001, False)]
)
def test_accuracy_control_puts_layers_back_while_there_is_time(
    run_stage, trained, tmp_path, max_drop, max_minutes, put_back
):
    """The preset is a bad start: it loses several points."""
    settings = {"method": "accuracy_aware", "keep_float": ["depthwise"], "preset": "performance",
                "max_drop": max_drop, "max_minutes": max_minutes}  # fmt: skip
    write_params(tmp_path, {f"quantize.{name}": value for name, value in settings.items()})
    lists = [trained / f"split/{name}.json" for name in ("calibration", "val")]
    done = run_stage("quantize", trained / "ir", *lists, trained / "dataset", "int8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    aps = [float(ap) for ap in re.findall(r"model \d+: AP (\d\.\d+)", done.stderr)]
    ((names, drop),) = re.findall(r"put back: (.*); AP drop (.*) points", done.stdout)
    assert float(drop) == pytest.approx(100 * (aps[0] - aps[-1]), abs=0.02)
    assert aps[0] - aps[1] > 0.015
    assert (float(drop) <= max_drop) == (names != "nothing") == put_back
    assert ("raise quantize.max_minutes" in done.stderr) != put_back
