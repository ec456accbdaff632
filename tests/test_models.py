"""The four variants agree, and what is no model of this project is refused."""

import json
import pickle
import shutil

import numpy as np
import onnx
import openvino as ov
import pytest
import torch
from yolox.config import YoloxConfig

from detector.backends import OnnxBackend, OpenVinoBackend, load_backend
from detector.boxes import letterbox
from detector.detector import Detector
from detector.errors import ModelError
from stages import export, ir, quantize
from stages.common.coco import read_image
from stages.common.errors import Refusal
from stages.common.params import Quantize
from stages.common.weights import read_pth
from stages.common.yolox_model import build_model, load_torch_backend, start_from


@pytest.fixture(scope="module")
def models(tiny_pth, tiny_dataset, tmp_path_factory):
    """yolox.pth, yolox.onnx, ir/ and int8/, made by the stages themselves."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(tiny_pth, folder / "yolox.pth")
    dataset, split = tiny_dataset / "dataset", tiny_dataset / "split"
    export.main(folder / "yolox.pth", split / "val.json", dataset, folder / "yolox.onnx")
    ir.main(folder / "yolox.onnx", folder / "ir")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "params.yaml").write_text("data: {export: x.zip}")
        quantize.main(folder / "ir", split / "calibration.json", dataset, folder / "int8")
    return folder


@pytest.fixture
def blob(tiny_dataset) -> np.ndarray:
    return letterbox(read_image(tiny_dataset / "dataset/images/default/5.png"), (64, 96))


# Raw output is of the order of 1. FP16 storage rounds weights to 11 bits; INT8 to 8.
@pytest.mark.parametrize(("file", "tolerance"), [("yolox.onnx", 1e-4), ("ir", 0.02), ("int8", 0.5)])
def test_raw_output_is_that_of_pytorch(models, blob, file, tolerance):
    expected = load_torch_backend(models / "yolox.pth").infer(blob)
    raw = load_backend(models / file, "f32").infer(blob)
    assert raw.dtype == np.float32
    np.testing.assert_allclose(raw, expected, atol=tolerance)


@pytest.mark.parametrize("file", ["yolox.onnx", "ir", "int8", "int8/yolox.xml"])
def test_a_model_knows_its_labels_and_input(models, file):
    backend = load_backend(models / file)
    assert (backend.labels, backend.input_hw) == (["a b", "c", "ü"], (64, 96))


@pytest.mark.parametrize(
    ("file", "precision"), [("yolox.onnx", "f32"), ("ir", "f32"), ("int8", "i8+f32")]
)
def test_precision_is_read_back(models, file, precision):
    assert load_backend(models / file, "f32").precision == precision


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


@pytest.mark.parametrize(("float_predictions", "in_int8"), [(True, 104), (False, 113)])
def test_convolutions_that_should_be_are_int8(models, blob, float_predictions, in_int8):
    params = Quantize(float_predictions=float_predictions)
    model = ov.Core().read_model(models / "ir/yolox.xml")
    quantized = quantize.quantize(model, [blob] * 2, params)
    compiled = ov.Core().compile_model(quantized, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kernels = [
        op.get_rt_info()["primitiveType"].astype(str).lower()
        for op in compiled.get_runtime_model().get_ops()
        if "Convolution" in op.get_rt_info()["layerType"].astype(str)
    ]
    assert (len(kernels), sum(kernel.endswith("_i8") for kernel in kernels)) == (113, in_int8)


def test_prediction_convolutions_are_found_by_their_place(models):
    model = ov.Core().read_model(models / "ir/yolox.xml")
    names = set(quantize.prediction_convolutions(model))
    channels = sorted(
        op.output(0).shape[1] for op in model.get_ops() if op.get_friendly_name() in names
    )
    assert channels == [1, 1, 1, 3, 3, 3, 4, 4, 4]  # objectness, three classes, box


@pytest.mark.slow
def test_stages_write_the_same_bytes_again(models, tiny_dataset, tmp_path, run_stage):
    """In processes of their own, as DVC runs them: OpenVINO numbers layers within a process."""
    split, dataset = tiny_dataset / "split", tiny_dataset / "dataset"
    (tmp_path / "params.yaml").write_text("data: {export: x.zip}")
    for run in ("first", "second"):
        out = tmp_path / run
        for arguments in (
            ("export", models / "yolox.pth", split / "val.json", dataset, out / "yolox.onnx"),
            ("ir", out / "yolox.onnx", out / "ir"),
            ("quantize", out / "ir", split / "calibration.json", dataset, out / "int8"),
        ):
            done = run_stage(*arguments, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    names = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert names == [
        "int8/yolox.bin", "int8/yolox.xml", "ir/yolox.bin", "ir/yolox.xml", "yolox.onnx",
    ]  # fmt: skip
    for name in names:
        first, second = tmp_path / "first" / name, tmp_path / "second" / name
        assert first.read_bytes() == second.read_bytes(), name


def test_the_onnx_file_names_no_path_of_this_machine(models):
    content = (models / "yolox.onnx").read_bytes()
    assert b"site-packages" not in content
    assert b".py" not in content


def test_an_export_that_differs_is_refused_and_leaves_nothing(
    tiny_pth, tiny_dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    with pytest.raises(Refusal, match="differs from PyTorch"):
        export.main(
            tiny_pth, tiny_dataset / "split/val.json", tiny_dataset / "dataset",
            tmp_path / "yolox.onnx",
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_detector_clips_boxes_and_names_labels(models, tiny_dataset):
    image_bgr = read_image(tiny_dataset / "dataset/images/default/5.png")
    found = Detector(models / "yolox.onnx", confidence=0.001)(image_bgr)
    assert len(found.labels) == len(found.scores) == len(found.boxes_xyxy) > 0
    assert set(found.labels) <= {"a b", "c", "ü"}
    assert (found.boxes_xyxy >= 0).all() and (found.boxes_xyxy <= [160, 90, 160, 90]).all()
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize(
    "damage",
    [
        "missing.xml",
        "missing.onnx",
        "text.xml",
        "text.onnx",
        "model.pt",
        "no_bin.xml",
        "foreign.onnx",
    ],
)
def test_unusable_models_are_refused(models, tmp_path, damage):
    path = tmp_path / damage
    if damage.startswith("text"):
        path.write_text("not a model")
    elif damage == "model.pt":
        path.write_bytes(b"")
    elif damage == "no_bin.xml":
        shutil.copy(models / "ir/yolox.xml", path)
    elif damage == "foreign.onnx":
        proto = onnx.load(models / "yolox.onnx")
        onnx.helper.set_model_props(proto, {"labels": json.dumps(["one"])})
        onnx.save(proto, path)
    with pytest.raises(ModelError) as refusal:
        load_backend(path)
    assert damage in str(refusal.value)


def test_an_onnx_file_that_points_elsewhere_never_reaches_openvino(models, tmp_path):
    proto = onnx.load(models / "yolox.onnx")
    onnx.save(proto, tmp_path / "yolox.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(Refusal, match="keeps weights in other files"):
        ir.main(tmp_path / "yolox.onnx", tmp_path / "ir")


class Harmful:
    def __reduce__(self):
        return print, ("run by a weights file",)


@pytest.mark.parametrize("content", [Harmful(), {"model": Harmful()}, {"model": {"a": 1}}, {}, [1]])
def test_weights_that_hold_more_than_tensors_are_refused(tmp_path, capsys, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(Refusal, match=r"weights\.pth"):
        read_pth(tmp_path / "weights.pth")
    assert "run by" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps({"model": 1}, protocol=2)])
def test_damaged_weights_are_refused(tmp_path, content):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(Refusal, match=r"weights\.pth"):
        read_pth(tmp_path / "weights.pth")


def test_pretrained_weights_of_other_classes_give_all_but_the_class_layers(tiny_pth, tiny_weights):
    config = YoloxConfig("x", num_classes=1, **tiny_weights["architecture"])
    model = build_model(config)
    fresh = start_from(model, tiny_pth)
    assert len(fresh) == 6
    assert all(name.startswith("head.cls_preds.") for name in fresh)
    for name, value in model.state_dict().items():
        assert name in fresh or torch.equal(value, tiny_weights["model"][name])


@pytest.mark.parametrize("change", [{"width": 0.375}, {"depthwise": False}, {"depth": 0.67}])
def test_pretrained_weights_of_another_architecture_are_refused(tiny_pth, tiny_weights, change):
    model = build_model(
        YoloxConfig("x", num_classes=3, **{**tiny_weights["architecture"], **change})
    )
    with pytest.raises(Refusal, match="does not fit the model"):
        start_from(model, tiny_pth)


@pytest.mark.parametrize("backend", [OnnxBackend, OpenVinoBackend])
def test_a_missing_file_is_no_crash(tmp_path, backend):
    with pytest.raises(ModelError):
        backend(tmp_path / "missing")
