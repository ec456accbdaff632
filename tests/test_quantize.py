"""INT8: what is quantized, on which frames, and how accuracy control ends."""

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


def test_swish_stays_fused_and_no_quantizer_splits_it(models):
    quantized = ov.Core().read_model(models / "int8/yolox.xml")
    kinds = [op.get_type_name() for op in quantized.get_ops()]
    assert (kinds.count("Swish"), kinds.count("Sigmoid")) == (104, 6)
    readers = [
        target.get_node().get_type_name()
        for op in quantized.get_ops()
        if op.get_type_name() == "FakeQuantize"
        and op.input_value(0).get_node().get_type_name() not in ("Constant", "Convert")
        for target in op.output(0).get_target_inputs()
    ]
    assert readers
    assert "Multiply" not in readers


def changed(**settings):
    return PARAMS.quantize.model_copy(update=settings)


@pytest.mark.parametrize(("keep_float", "in_int8"), [(("predictions", "depthwise"), 74), ((), 113)])
def test_convolutions_that_should_be_are_int8(models, canvas_bgr, keep_float, in_int8):
    params = changed(keep_float=keep_float)
    model = ov.Core().read_model(models / "ir/yolox.xml")
    quantized = recipe.quantize(model, [as_blob(canvas_bgr)] * 2, params)
    compiled = ov.Core().compile_model(quantized, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kernels = [
        op.get_rt_info()["primitiveType"].astype(str).lower()
        for op in compiled.get_runtime_model().get_ops()
        if "Convolution" in op.get_rt_info()["layerType"].astype(str)
    ]
    assert (len(kernels), sum(kernel.endswith("_i8") for kernel in kernels)) == (113, in_int8)


@pytest.mark.parametrize(
    ("ranges", "depthwise", "mean"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("mean", False, True),
        ("all", True, False),
    ],
)
def test_ranges_follow_the_kind_of_model(models, ranges, depthwise, mean):
    model = ov.Core().read_model(models / "ir/yolox.xml")
    if not depthwise:
        picture = opset13.parameter([1, 3, 8, 8], np.float32)
        weights = opset13.constant(np.ones((4, 3, 3, 3), np.float32))
        found = opset13.convolution(picture, weights, [1, 1], [0, 0], [0, 0], [1, 1])
        model = ov.Model([found], [picture])
    advanced = recipe.advanced_parameters(
        model, PARAMS.quantize.model_copy(update={"ranges": ranges})
    )
    assert (advanced.activations_range_estimator_params is None) == mean


def test_ranges_of_all_that_was_seen_enclose_the_mean_ones(models, canvas_bgr):
    model = ov.Core().read_model(models / "ir/yolox.xml")
    blobs = [as_blob(canvas_bgr), as_blob(canvas_bgr // 4)]
    mean, everything = (
        quantizer_widths(recipe.quantize(model, blobs, changed(ranges=ranges)))
        for ranges in ("mean", "all")
    )
    assert mean.keys() == everything.keys()
    wider = [everything[name] > 1.01 * mean[name] for name in mean]
    assert all(everything[name] > 0.99 * mean[name] for name in mean)
    assert sum(wider) > 10


def quantizer_widths(quantized: ov.Model) -> dict[str, float]:
    """By name, how wide the range of each activation is that has a single one."""
    return {
        op.get_friendly_name(): float(
            np.ptp([op.input_value(port).get_node().data for port in (1, 2)])
        )
        for op in quantized.get_ops()
        if op.get_type_name() == "FakeQuantize"
        and op.input_value(0).get_node().get_type_name() not in ("Constant", "Convert")
        and op.input_value(1).get_node().data.size == 1
    }


@pytest.mark.parametrize(
    ("role", "channels"),
    [
        ("predictions", [1, 1, 1, 3, 3, 3, 4, 4, 4]),  # objectness, three classes, box
        ("stem", [16]),
        ("first_block", [16, 32]),  # depthwise, pointwise
    ],
)
def test_convolutions_are_found_by_their_role(models, role, channels):
    model = ov.Core().read_model(models / "ir/yolox.xml")
    names = set(recipe.names_in_groups(model, (role,)))
    found = [op for op in recipe.convolutions(model) if op.get_friendly_name() in names]
    assert sorted(op.output(0).shape[1] for op in found) == channels


def test_the_role_depthwise_has_all_depthwise_convolutions(models):
    model = ov.Core().read_model(models / "ir/yolox.xml")
    grouped = [op.get_friendly_name() for op in model.get_ops()
               if op.get_type_name() == "GroupConvolution"]  # fmt: skip
    assert recipe.names_in_groups(model, ("depthwise",)) == sorted(grouped)


@pytest.fixture
def quantize(run_stage, models, tiny_dataset, tmp_path):
    """Runs the stage in an empty folder, with changed lists, data set or parameters."""

    def run(calibration=None, dataset=None, **params):
        write_params(tmp_path, {f"quantize.{name}": value for name, value in params.items()})
        return run_stage(
            "quantize", models / "ir", calibration or tiny_dataset / "split/calibration.json",
            tiny_dataset / "split/val.json", dataset or tiny_dataset / "dataset", "int8",
            cwd=tmp_path,
        )  # fmt: skip

    return run


def test_the_input_has_a_step_for_every_byte(models):
    quantized = ov.Core().read_model(models / "int8/yolox.xml")
    (reader,) = (target.get_node() for target in quantized.input(0).get_target_inputs())
    assert reader.get_type_name() == "FakeQuantize"
    limits = [float(reader.input_value(port).get_node().data.item()) for port in range(1, 5)]
    assert limits == [0.0, 255.0, 0.0, 255.0]
    assert reader.get_attributes()["levels"] == 256


def test_the_card_names_files_and_origins(models):
    text = (models / "int8/README.md").read_text()
    for path in (models / "int8/yolox.xml", models / "int8/yolox.bin", models / "ir/yolox.bin"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text
    assert "a b, c, ü" in text and "input 64x96" in text
    assert "calibrated on 4 train images" in text
    assert "head.reg_preds.0" in text
    params = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
    assert set(params) == {"model", "train", "quantize"}


def test_val_images_do_not_calibrate(quantize, tiny_dataset, tmp_path):
    shutil.copy(tiny_dataset / "split/val.json", tmp_path / "calibration.json")
    done = quantize(tmp_path / "calibration.json")
    assert done.returncode == 1
    assert "holds 2 val images, first default/5.png" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "int8").exists()


def test_an_empty_calibration_list_is_refused(quantize, tiny_dataset, tmp_path):
    coco = read_coco(tiny_dataset / "split/calibration.json")
    write_json(tmp_path / "calibration.json", {**coco, "images": []})
    done = quantize(tmp_path / "calibration.json")
    assert done.returncode == 1
    assert "lists no images" in done.stderr.splitlines()[-1]


def test_an_unreadable_frame_is_refused(quantize, tiny_dataset, tmp_path):
    shutil.copytree(tiny_dataset / "dataset", tmp_path / "dataset")
    (tmp_path / "dataset/images/default/2.png").write_bytes(b"\x89PNG")
    done = quantize(dataset=tmp_path / "dataset")
    assert done.returncode == 1
    assert "cannot read the image" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "int8").exists()


def accuracy_aware(run_stage, trained, folder, **settings):
    """Quantizes with accuracy control: the ended stage, and AP of every model that it judged."""
    settings |= {"method": "accuracy_aware", "keep_float": []}
    write_params(folder, {f"quantize.{name}": value for name, value in settings.items()})
    lists = [trained / f"split/{name}.json" for name in ("calibration", "val")]
    done = run_stage("quantize", trained / "ir", *lists, trained / "dataset", "int8", cwd=folder)
    assert done.returncode == 0, done.stderr
    aps = [float(ap) for ap in re.findall(r"model \d+: AP (\d\.\d+)", done.stderr)]
    return done, aps


@pytest.mark.slow
def test_accuracy_control_ends_within_the_drop(run_stage, trained, tmp_path):
    done, aps = accuracy_aware(run_stage, trained, tmp_path, max_drop=1.0)
    assert len(aps) >= 3 and aps[0] - aps[-1] <= 0.01
    assert "put back: " in done.stdout


def test_accuracy_control_stops_when_time_is_over(trained):
    """NNCF is told that nothing was lost, without running anything."""
    validator = Validator(
        trained / "split/val.json", trained / "dataset/images", (256, 448), PARAMS.evaluate
    )
    validator.aps, validator.end = [0.75], 0.0
    assert validator(None, validator.coco["images"]) == (0.75, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("max_drop", "max_minutes", "put_back"), [(1.5, 20.0, True), (0.0, 0.001, False)]
)
def test_accuracy_control_puts_layers_back_while_there_is_time(
    run_stage, trained, tmp_path, max_drop, max_minutes, put_back
):
    """From a bad start: the preset that loses several points."""
    settings = {"preset": "performance", "max_drop": max_drop, "max_minutes": max_minutes}
    done, aps = accuracy_aware(run_stage, trained, tmp_path, **settings)
    (told,) = re.findall(r"put back: (.*); AP drop (.*) points", done.stdout)
    assert aps[0] - aps[1] > 0.015
    assert (told[0] != "nothing") == put_back
    assert (float(told[1]) <= max_drop) == put_back
    assert ("raise quantize.max_minutes" in done.stderr) == (not put_back)
