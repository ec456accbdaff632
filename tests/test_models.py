"""The four variants agree, and what is no model of this project is refused."""

import json
import pickle
import resource
import shutil
import signal

import numpy as np
import onnx
import openvino as ov
import pytest
import torch
from conftest import NANO, operating_point

from detector import Detector, ModelError
from detector.core.backend import raw_output
from detector.core.boxes import postprocess
from detector.core.cpu import instruction_sets
from detector.runtime import openvino_backend
from detector.runtime.detector import load_backend
from detector.runtime.onnx_backend import OnnxBackend
from detector.runtime.openvino_backend import OpenVinoBackend
from stages import export, ir
from stages.common.coco import read_image
from stages.common.run import UserError, explain
from stages.conversion.ir_file import save_ir
from stages.conversion.parity import Difference
from stages.yolox.model import build_model, eval_model, load_torch_backend, start_from
from stages.yolox.weights import load_weights, read_pth
from tools.params_file import write_params

LABELS = ["a b", "c", "ü"]


# FP16 storage rounds weights to 11 bits; INT8 to 8. Boxes as a share of their longer side.
@pytest.mark.parametrize(("file", "tolerance"), [("yolox.onnx", 1e-4), ("ir", 0.02), ("int8", 0.5)])
def test_output_is_that_of_pytorch(models, canvas_bgr, file, tolerance):
    expected = raw_output(load_torch_backend(models / "yolox.pth"), canvas_bgr)
    output = raw_output(load_backend(models / file, "f32"), canvas_bgr)
    assert output.dtype == np.float32
    sides = expected[2:4].max(axis=0)
    np.testing.assert_allclose(output[:4] / sides, expected[:4] / sides, atol=tolerance)
    np.testing.assert_allclose(output[4:], expected[4:], atol=tolerance)


def test_boxes_are_as_exact_in_bfloat16_as_their_convolutions(models, canvas_bgr):
    """The decode after the last convolutions is computed in float32, or 90 px would be rounded."""
    compiled = ov.Core().compile_model(
        models / "ir/yolox.xml", "CPU", {"INFERENCE_PRECISION_HINT": "bf16"}
    )
    tail = [
        op.get_rt_info()["runtimePrecision"].astype(str)
        for op in compiled.get_runtime_model().get_ops()
        if op.get_rt_info()["layerType"].astype(str) in ("Subgraph", "Eltwise", "Concatenation")
        and "mul" in op.get_rt_info()["originalLayersNames"].astype(str).lower()
    ]
    assert tail and set(tail) == {"f32"}


@pytest.mark.parametrize(
    ("file", "precision"),
    [("yolox.onnx", "f32"), ("ir", "f32"), ("int8", "i8+f32"), ("int8/yolox.xml", "i8+f32")],
)
def test_a_model_knows_its_labels_input_and_precision(models, file, precision):
    backend = load_backend(models / file, "f32")
    assert (backend.labels, backend.input_hw) == (LABELS, (64, 96))
    assert backend.precision == precision


@pytest.mark.slow
def test_stages_write_the_same_bytes_again(models, tiny_dataset, tmp_path, run_stage):
    """In processes of their own, as DVC runs them: OpenVINO numbers layers within a process."""
    split, dataset = tiny_dataset / "split", tiny_dataset / "dataset"
    write_params(tmp_path, {})
    for run in ("first", "second"):
        out = tmp_path / run
        for arguments in (
            ("export", models / "yolox.pth", split / "val.json", dataset, out / "yolox.onnx"),
            ("ir", out / "yolox.onnx", split / "val.json", dataset, out / "ir"),
            ("quantize", out / "ir", split / "calibration.json", split / "val.json", dataset,
             out / "int8"),
        ):  # fmt: skip
            done = run_stage(*arguments, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    names = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert names == [
        "int8/README.md", "int8/yolox.bin", "int8/yolox.xml", "ir/yolox.bin", "ir/yolox.xml",
        "yolox.onnx",
    ]  # fmt: skip
    for name in names:
        first, second = tmp_path / "first" / name, tmp_path / "second" / name
        assert first.read_bytes() == second.read_bytes(), name


def test_the_onnx_file_names_no_path_of_this_machine(models):
    content = (models / "yolox.onnx").read_bytes()
    assert b"site-packages" not in content and b".py" not in content


def test_an_export_that_differs_is_refused_and_leaves_nothing(
    tiny_pth, tiny_dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr(export, "LIMIT", Difference(0.0, 0.0, 0.0, 0.0))
    frames = tiny_dataset / "split/val.json", tiny_dataset / "dataset"
    with pytest.raises(UserError, match="ONNX is not the model"):
        export.main(tiny_pth, *frames, tmp_path / "yolox.onnx")
    assert not list(tmp_path.iterdir())


def test_detector_clips_boxes_and_names_labels(models, tiny_dataset):
    image_bgr = read_image(tiny_dataset / "dataset/images/default/5.png")
    found = Detector(models / "yolox.onnx", confidence=0.001)(image_bgr)
    assert len(found.class_names) == len(found.confidence) == len(found.xyxy) > 0
    assert set(found.class_names) <= {"a b", "c", "ü"}
    assert (found.xyxy >= 0).all() and (found.xyxy <= [160, 90, 160, 90]).all()
    assert (np.diff(found.confidence) <= 0).all()


def text(path, models):
    path.write_text("not a model")


def without_bin(path, models):
    shutil.copy(models / "ir/yolox.xml", path)


def foreign(path, models):
    proto = onnx.load(models / "yolox.onnx")
    onnx.helper.set_model_props(proto, {"labels": json.dumps(["one"])})
    onnx.save(proto, path)


ODD_LABELS = {
    "object": '{"a": 1, "b": 2, "c": 3}',
    "deep": "[" * 10_000 + "]" * 10_000,
    "numbers": "[1, 2, 3]",
    "surrogate": '["a", "b", "\\ud800"]',
    "none": "",
}


def onnx_with(change):
    """Return a function that writes the ONNX model after a change of its protobuf."""

    def write(path, models):
        proto = onnx.load(models / "yolox.onnx")
        change(proto)
        onnx.save(proto, path)

    return write


def labeled(stored):
    return onnx_with(lambda proto: onnx.helper.set_model_props(proto, {"labels": stored}))


def cast_input(kind):
    """Make the model take another type of numbers, as exporters with float16 or bytes do."""

    def change(proto):
        for node in proto.graph.node:
            node.input[:] = ["cast" if name == "images" else name for name in node.input]
        cast = onnx.helper.make_node("Cast", ["images"], ["cast"], to=onnx.TensorProto.FLOAT)
        proto.graph.node.insert(0, cast)
        proto.graph.input[0].type.tensor_type.elem_type = kind

    return onnx_with(change)


def two_inputs(proto):
    other = onnx.helper.make_tensor_value_info("sizes", onnx.TensorProto.FLOAT, [1, 2])
    proto.graph.input.append(other)


def two_outputs(proto):
    proto.graph.node.append(onnx.helper.make_node("Identity", ["output"], ["again"]))
    other = onnx.helper.make_tensor_value_info("again", onnx.TensorProto.FLOAT, [1, 7, 126])
    proto.graph.output.append(other)


def ir_labeled(stored):
    def write(path, models):
        model = ov.Core().read_model(models / "ir/yolox.xml")
        model.set_rt_info(stored, ["detector", "labels"])
        save_ir(model, path)

    return write


@pytest.mark.parametrize(
    ("name", "write"),
    [("u8.onnx", cast_input(onnx.TensorProto.UINT8)),
     ("f16.onnx", cast_input(onnx.TensorProto.FLOAT16)),
     ("inputs.onnx", onnx_with(two_inputs)), ("outputs.onnx", onnx_with(two_outputs)),
     *((f"{name}.onnx", labeled(stored)) for name, stored in ODD_LABELS.items()),
     *((name, ir_labeled(stored)) for name, stored in ODD_LABELS.items()),
     ("missing.xml", None), ("missing.onnx", None), ("text.xml", text), ("text.onnx", text),
     ("model.pt", text), ("no_bin.xml", without_bin), ("foreign.onnx", foreign)],
)  # fmt: skip
def test_unusable_models_are_refused(models, tmp_path, name, write):
    if write:
        write(tmp_path / name, models)
    loaders = [load_backend]
    if name != "model.pt":
        loaders.append(OnnxBackend if name.endswith("onnx") else OpenVinoBackend)
    for load in loaders:
        with pytest.raises(ModelError) as refusal:
            load(tmp_path / name)
        assert name in str(refusal.value)
        assert len(str(refusal.value).encode()) < 500


def test_the_folder_above_a_model_names_those_below(models):
    with pytest.raises(ModelError, match=r"holds no yolox\.xml; give .*/int8, .*/ir$"):
        load_backend(models)


@pytest.mark.parametrize("rows", [slice(0, 4), slice(4, None)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_boxes_and_scores_that_are_no_numbers_are_an_error(rows, value):
    """A faint anchor may overflow; nobody sees its box."""
    output = np.full((5, 10), 0.5, np.float32)
    output[rows, 3] = value
    with pytest.raises(ModelError, match="not finite numbers"):
        postprocess(output, (64, 96), (64, 96), 0.25, 0.45)
    output[4, 3], output[:4, 3] = 0.1, np.inf
    assert len(postprocess(output, (64, 96), (64, 96), 0.25, 0.45)[0])


def with_point(folder, models, kind: str, stored: str | None):
    """Write a model whose metadata has this operating point."""
    if kind == "onnx":
        proto = onnx.load(models / "yolox.onnx")
        entries = {"labels": json.dumps(LABELS)} | ({"operating_point": stored} if stored else {})
        onnx.helper.set_model_props(proto, entries)
        onnx.save(proto, folder / "yolox.onnx")
        return folder / "yolox.onnx"
    model = ov.Core().read_model(models / "ir/yolox.xml")
    if stored:
        model.set_rt_info(stored, ["detector", "operating_point"])
    save_ir(model, folder / "ir")
    return folder / "ir"


def stored_point(*own: object, overall: object = 0.3) -> str:
    return json.dumps(operating_point(overall, dict(zip(LABELS, own, strict=False))))


# The scores of this model are 0.11 for its first class, 0.06 for the others.
@pytest.mark.parametrize("kind", ["onnx", "ir"])
@pytest.mark.parametrize(
    ("stored", "expected", "classes"),
    [
        (None, 0.25, set()),  # of an older version, or of a fold
        (stored_point(0.05, 0.05, 0.05), 0.05, {0, 1, 2}),
        (stored_point(0.1, 0.1, 0.1), 0.1, {0}),
        (stored_point(0.2, 0.3, 0.05), [0.2, 0.3, 0.05], {2}),
    ],
)
def test_a_detector_uses_the_confidence_of_its_model(
    models, tmp_path, kind, stored, expected, classes
):
    path = with_point(tmp_path, models, kind, stored)
    image_bgr = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    with Detector(path) as detector, Detector(path, 0.0) as every:
        assert np.shape(detector.confidence) == np.shape(expected)
        assert np.asarray(detector.confidence) == pytest.approx(np.array(expected))
        found, faint = detector(image_bgr), every(image_bgr)
    kept = np.isin(faint.class_id, list(classes))
    assert set(found.class_id) == classes and set(faint.class_id) == {0, 1, 2}
    np.testing.assert_array_equal(found.confidence, faint.confidence[kept])


@pytest.mark.parametrize("kind", ["onnx", "ir"])
@pytest.mark.parametrize(
    "stored",
    [
        stored_point(0.3, 0.6),
        stored_point(0.3, 0.6, 1.2),
        stored_point(0.3, 0.6, "0.3"),
        stored_point(0.3, 0.3, 0.3, overall=None),
        stored_point(0.3, 0.3, 0.3, overall=float("nan")),
        *("[0.3]", "0.3", "{"),
    ],
)
def test_an_operating_point_that_lacks_a_confidence_is_refused(models, tmp_path, kind, stored):
    path = with_point(tmp_path, models, kind, stored)
    with pytest.raises(ModelError, match=r"expected a confidence from 0 to 1 for each of \['a b"):
        Detector(path)


def external(proto):
    onnx.external_data_helper.convert_model_to_external_data(proto, size_threshold=0)


def custom_operator(proto):
    proto.graph.node[3].domain = "com.example"


def other_shape(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32


def other_weight(proto):
    tensor = proto.graph.initializer[0]
    tensor.raw_data = bytes(len(tensor.raw_data))


def unsealed(proto):
    del proto.metadata_props[1:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (external, "keeps weights in other files"),
        (custom_operator, r"has operators of \['com.example'\]"),
        (other_shape, "was changed since"),
        (other_weight, "was changed since"),
        (unsealed, "was not written by this pipeline"),
    ],
)
def test_an_onnx_file_that_export_did_not_write_never_reaches_openvino(
    models, tiny_dataset, tmp_path, change, said
):
    proto = onnx.load(models / "yolox.onnx")
    change(proto)
    onnx.save(proto, tmp_path / "yolox.onnx")
    frames = tiny_dataset / "split/val.json", tiny_dataset / "dataset"
    with pytest.raises(UserError, match=said):
        ir.main(tmp_path / "yolox.onnx", *frames, tmp_path / "ir")
    assert not (tmp_path / "ir").exists()


@pytest.mark.parametrize("damage", ["cut", "of another model"])
@pytest.mark.parametrize("variant", ["ir", "int8"])
def test_weights_that_do_not_belong_to_an_ir_are_refused(models, tmp_path, variant, damage):
    shutil.copytree(models / variant, tmp_path / "model")
    weights = tmp_path / "model/yolox.bin"
    other = models / ("int8" if variant == "ir" else "ir") / "yolox.bin"
    weights.write_bytes(weights.read_bytes()[:-100] if damage == "cut" else other.read_bytes())
    with pytest.raises(ModelError, match=r"yolox\.bin"):
        load_backend(tmp_path / "model")


@pytest.mark.parametrize(
    ("variant", "made_on", "here", "expected"),
    [
        ("int8", "avx2 avx512f avx512_vnni", ["avx2"], True),
        ("int8", "avx2 avx_vnni", ["avx2", "avx512f"], True),
        ("int8", "avx2 avx512f avx512_vnni", ["avx2", "avx_vnni"], False),
        ("int8", "avx2", ["avx2"], False),  # measured where it saturates
        ("int8", "avx2 avx_vnni", [], False),  # unknown, as on a Mac
        ("int8", "", ["avx2"], False),
        ("ir", None, ["avx2"], False),
    ],
)
def test_a_model_knows_where_its_sums_saturate(
    models, tmp_path, monkeypatch, variant, made_on, here, expected
):
    model = ov.Core().read_model(models / variant / "yolox.xml")
    if made_on is not None:
        assert model.get_rt_info(["detector", "made_on"]).astype(str) == " ".join(
            instruction_sets()
        )
        model.set_rt_info(made_on, ["detector", "made_on"])
    save_ir(model, tmp_path / "model")
    monkeypatch.setattr(openvino_backend, "instruction_sets", lambda: here)
    assert load_backend(tmp_path / "model").saturates == expected


class Harmful:
    def __reduce__(self):
        return print, ("run by a weights file",)


@pytest.mark.parametrize(
    "content",
    [Harmful(), {"model": Harmful()}, {"model": {"a": 1}}, {}, [1],
     b"", b"text", pickle.dumps({"model": 1}, protocol=2)],
)  # fmt: skip
def test_weights_that_are_damaged_or_hold_more_than_tensors_are_refused(tmp_path, capsys, content):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"weights\.pth"):
        read_pth(path)
    assert "run by" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": [1]}, "wrong value of architecture;"),
        ({"architecture": {**NANO, "act": "gelu"}}, "wrong value of architecture.act;"),
        ({"architecture": {**NANO, "width": 0.375}}, "the weights are not those of a YOLOX of"),
        ({"labels": {"a": 1}}, "wrong value of labels;"),
        ({"labels": ["a"]}, "with 1 classes"),
        ({"input_hw": [64, 95]}, "wrong value of input_hw.1;"),
        ({"model": {"a": torch.zeros(1)}}, "the weights are not those"),
    ],
)
def test_weights_that_are_not_those_of_their_model_are_refused(
    tiny_weights, tmp_path, change, said
):
    torch.save({**tiny_weights, **change}, tmp_path / "weights.pth")
    with pytest.raises(UserError) as refusal:
        eval_model(load_weights(tmp_path / "weights.pth"))
    assert said in str(refusal.value)


def test_a_full_disk_is_told_by_the_name_of_the_file(models, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError) as refusal:
            save_ir(ov.Core().read_model(models / "ir/yolox.xml"), tmp_path / "ir")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert "ir/yolox.xml: the disk is full" in explain(refusal.value)


def test_pretrained_weights_of_other_classes_give_all_but_the_class_layers(tiny_pth, tiny_weights):
    model = build_model(tiny_weights["architecture"], 1)
    fresh = start_from(model, tiny_pth)
    assert len(fresh) == 6
    assert all(name.startswith("head.cls_preds.") for name in fresh)
    for name, value in model.state_dict().items():
        assert name in fresh or torch.equal(value, tiny_weights["model"][name])


@pytest.mark.parametrize("change", [{"width": 0.375}, {"depthwise": False}, {"depth": 0.67}])
def test_pretrained_weights_of_another_architecture_are_refused(tiny_pth, tiny_weights, change):
    model = build_model({**tiny_weights["architecture"], **change}, 3)
    with pytest.raises(UserError, match="does not fit the model"):
        start_from(model, tiny_pth)
