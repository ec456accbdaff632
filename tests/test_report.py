"""The table, its sentences and the page."""

import copy

import pytest
from conftest import operating_point

from stages.common.files import write_json
from stages.evaluation.matching import difference
from stages.report.__main__ import print_summary, read_accuracy
from stages.report.differences import most_different
from stages.report.figures import operating_point_svg, precision_recall_svg
from stages.report.kernels import float_layers, read_kernels, shares
from stages.report.recommendation import (
    exports_read,
    missing_labels,
    other_answers,
    recommendation,
)
from stages.report.table import HEADINGS, NAMES, markdown, rows

ACCURACY = {
    # In bfloat16 a hundredth is lost, PyTorch computes in float32.
    key: {"AP": ap, "AP50": 0.9, "AP_interval": [ap - 0.126, ap + 0.114], "images": 60,
          "boxes": 80, "size_mb": 1.72, "as_deployed": {"AP": ap - 0.01 * (key != "torch")}}
    for key, ap in (("torch", 0.5), ("onnx", 0.5), ("ir", 0.499), ("int8", 0.48))
}  # fmt: skip
SPEED = {
    key: {"precision": "bf16" if key == "ir" else "f32", "latency_ms_p50": 10.0,
          "throughput_fps": fps, "end_to_end_fps": 0.9 * fps, "speedup_vs_torch": fps / 10,
          "speedup_interval": [fps / 10 - 0.1, fps / 10 + 0.1]}
    for key, fps in (("torch", 10.0), ("onnx", 20.0), ("ir_f32", 15.0), ("ir", 30.0),
                     ("int8", 60.0))
}  # fmt: skip
DROP = {
    "onnx": {"AP": 0.0},
    "ir": {"AP": 0.1},
    "int8": {"AP": 2.0, "interval": [0.5, 3.5], "per_class": {"LP": 2.0}},
}
HOST = {"cpu": "A|B", "cores": 2, "isa": ["avx_vnni"], "id": "0f", "versions": {"torch": "2"},
        "date": "2026-01-31", "busy": False, "cores_free": 1.0}  # fmt: skip
SPEED["host"] = HOST


def test_rows():
    table = rows(ACCURACY, SPEED, DROP)
    assert [row[0] for row in table] == list(NAMES.values())
    assert [row[HEADINGS.index("Drop")] for row in table] == ["", "+0.0", "+0.1", "+2.0"]
    int8 = dict(zip(HEADINGS, table[3], strict=True))
    assert (int8["AP"], int8["AP deployed"]) == ("0.480", "0.470")
    assert (int8["MB"], int8["FPS"], int8["Video"]) == ("1.7", "60", "54")
    assert (table[0][-1], int8["Speed-up"]) == ("1x", "6x")


def test_recommendation_names_the_fastest_variant_that_is_accurate_enough():
    # As deployed INT8 lies 3 points below PyTorch, FP16 1.1, ONNX 1.
    for max_drop, chosen in ((3.0, "int8"), (2.0, "ir"), (0.5, "torch"), (None, "int8")):
        sentence = recommendation(ACCURACY, SPEED, DROP, max_drop)[0]
        assert sentence.startswith(f"Deploy {NAMES[chosen]} on machines like this one: ")
    assert "60 FPS, 6 (5.9 to 6.1) times PyTorch" in recommendation(ACCURACY, SPEED, DROP, None)[0]


def test_other_answers_on_frames_without_labels():
    accuracy = copy.deepcopy(ACCURACY)
    for key, precision in (("ir", "bf16"), ("int8", "i8+bf16")):
        accuracy[key]["as_deployed"]["precision"] = precision
    found = {"frames": 300, "changed_per_1000": 46.7, "interval": [28.0, 76.8], "AP": 0.946,
             "AP_interval": [0.937, 0.956]}  # fmt: skip
    few = {**found, "changed_per_1000": 6.7, "interval": [1.8, 24.0]}
    drop = {**DROP, "ir": {**DROP["ir"], "fidelity": few}}
    drop["int8"] = {**DROP["int8"], "fidelity": found}
    counted, against = other_answers(accuracy, drop)
    assert counted == (
        "On 300 frames without labels OpenVINO INT8 (i8+bf16) reports other boxes than PyTorch in "
        "47 of 1,000 (95 % 28 to 77), OpenVINO FP16 (bf16) in 7 of 1,000 (95 % 2 to 24)."
    )
    assert "0.946 (0.937 to 0.956)" in against
    accuracy["ir"]["as_deployed"]["precision"] = "f32"
    drop["int8"]["fidelity"] = {**found, "AP": None, "AP_interval": None}
    (counted,) = other_answers(accuracy, drop)
    assert "INT8" in counted and "FP16" not in counted
    assert other_answers(accuracy, DROP) == []


@pytest.mark.parametrize(
    ("isa", "said"), [(["avx2"], True), (["avx2", "avx_vnni"], False), ([], False)]
)
def test_a_processor_on_which_int8_may_saturate_is_told(isa, said):
    speed = {**SPEED, "host": {**HOST, "isa": isa}}
    assert ("has no VNNI" in " ".join(recommendation(ACCURACY, speed, DROP, None))) == said


@pytest.mark.parametrize(
    ("int8_fps", "max_drop", "said"),
    [
        (60.0, 9.0, ["INT8 lost 2.0 AP points, 95 % interval 0.5 to 3.5; gate.max_drop "
                         "allows 9."]),
        (60.0, None, ["INT8 lost 2.0 AP points, 95 % interval 0.5 to 3.5; the gate is off"]),
        (25.0, 9.0, ["INT8 is not worth it here: 25 FPS against 30 of FP16", "INT8 lost"]),
    ],
)  # fmt: skip
def test_recommendation(int8_fps, max_drop, said):
    speed = copy.deepcopy(SPEED)
    speed["int8"]["throughput_fps"] = int8_fps
    sentences = recommendation(ACCURACY, speed, DROP, max_drop)[1:]
    f32 = "In f32, as on processors without bf16, FP16 reaches 15 FPS."
    sentences.remove(f32)
    assert len(sentences) == len(said)
    for sentence, start in zip(sentences, said, strict=True):
        assert sentence.startswith(start)


@pytest.mark.parametrize(
    ("folds", "trained_on", "said"),
    [
        (0, "train", "Accuracy comes from 60 val images with 80 boxes. 95 % interval of PyTorch's "
                     "AP: 0.37 to 0.61."),
        (0, "all", "The model was trained on the val images too, so accuracy is not that on unseen "
                   "images: run `make crossval`."),
        (5, "train", "Accuracy comes from 99 images with 200 boxes, each judged by a model that "
                     "was not trained on it (5 folds). 95 % interval of PyTorch's AP: 0.55 to "
                     "0.65; 25 % of its variance comes from training. The deployed model was "
                     "trained on the train list."),
        (5, "all", "was trained on all of them in the same way."),
    ],
)  # fmt: skip
def test_where_accuracy_comes_from(tmp_path, folds, trained_on, said):
    for key, figures in ACCURACY.items():
        write_json(tmp_path / f"accuracy/{key}.json", figures)
    write_json(tmp_path / "drop.json", DROP)
    own = {"AP": 0.6, "AP_interval": [0.55, 0.65], "images": 99, "boxes": 200,
           "training_share": 0.25, "as_deployed": {"AP": 0.59}}  # fmt: skip
    lost = {"onnx": {"AP": 0.0}, "ir": {"AP": 0.0}, "int8": {"AP": 0.7}}
    found = {"folds": folds, "accuracy": dict.fromkeys(NAMES, own), "drop": lost} if folds else {}
    write_json(tmp_path / "crossval.json", found)
    accuracy, drop, sentence = read_accuracy(tmp_path, trained_on)
    assert sentence.endswith(said)
    assert (accuracy["torch"]["AP"], drop["int8"]["AP"]) == ((0.6, 0.7) if folds else (0.5, 2.0))
    assert accuracy["int8"]["size_mb"] == 1.72


def test_the_exports_are_named_where_there_are_several():
    week = {"images": 40, "boxes": 60, "train": 30, "val": 10, "test": 0}
    assert exports_read({}) == exports_read({"exports": {"a": week}}) == []
    (said,) = exports_read({"exports": {"a": week, "b": {**week, "boxes": 61}}})
    assert said == (
        "The data come from 2 exports: a (40 images, 60 boxes, 10 of the images in val), "
        "b (40 images, 61 boxes, 10 of the images in val)."
    )


def test_labels_that_are_in_one_split_only_are_named():
    data = {"train": {"classes": {"a": 3, "b": 0}}, "val": {"classes": {"a": 1, "b": 2}}}
    assert missing_labels(data) == ["No box in train of b: not learned."]
    data["val"]["classes"]["a"] = 0
    assert missing_labels(data)[1:] == ["No box in val of a: not measured."]


def row(image: int, box: list[float], score: float, category: int = 1) -> dict:
    return {"image_id": image, "category_id": category, "bbox": box, "score": score}


BOX, FAR = [0, 0, 10, 10], [50, 50, 10, 10]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([], [], 0.0),
        ([row(1, BOX, 0.9)], [row(1, BOX, 0.9)], 0.0),
        ([row(1, BOX, 0.9)], [row(1, BOX, 0.6)], 0.3),
        ([row(1, BOX, 0.9)], [], 0.9),
        ([row(1, BOX, 0.9)], [row(1, FAR, 0.5)], 1.4),
        ([row(1, BOX, 0.9)], [row(1, BOX, 0.5, category=2)], 1.4),
        ([row(1, BOX, 0.9)], [row(1, [0, 0, 10, 8], 0.9)], 0.2),  # overlap 0.8
        # Each box is matched once.
        ([row(1, BOX, 0.9), row(1, BOX, 0.8)], [row(1, BOX, 0.9)], 0.8),
    ],
)
def test_difference_of_two_variants_on_a_frame(a, b, expected):
    assert difference(a, b) == pytest.approx(expected)
    assert difference(b, a) == pytest.approx(expected)


def test_frames_with_the_largest_difference_come_first():
    coco = {"images": [{"id": i} for i in (1, 2, 3)],
            "annotations": [{"image_id": 2, "bbox": BOX}]}  # fmt: skip
    a = [row(1, BOX, 0.9), row(2, BOX, 0.9), row(3, FAR, 0.2)]
    b = [row(1, BOX, 0.8), row(2, FAR, 0.9)]
    frames = most_different(coco, a, b, confidences=[0.25], count=2)
    assert [frame.image["id"] for frame in frames] == [2, 1]
    assert frames[0].truth_xyxy.tolist() == [[0, 0, 10, 10]]
    assert [boxes.tolist() for boxes, _ in frames[0].found] == [
        [[0, 0, 10, 10]],
        [[50, 50, 60, 60]],
    ]


def test_kernels_are_counted_by_what_they_compute_in(tmp_path):
    (tmp_path / "int8.csv").write_text(
        "layer,precision,share\nstem,i8,0.6\nhead.reg_preds.0,bf16,0.12\ndark3,f32,0.24\n"
        "dark2.dconv,i8,0.24\n"
    )
    layers = read_kernels(tmp_path / "int8.csv")
    assert shares(layers) == [("i8", 2, "70 %"), ("f32", 1, "20 %"), ("bf16", 1, "10 %")]
    assert float_layers(layers, ("predictions", "depthwise")) == (1, ["dark3"])
    assert float_layers(layers, ()) == (0, ["head.reg_preds.0", "dark3"])


def test_markdown_is_one_table():
    text = markdown(rows(ACCURACY, SPEED, DROP), recommendation(ACCURACY, SPEED, DROP, 1.0), HOST)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(NAMES)
    assert {line.count("|") for line in table} == {len(HEADINGS) + 1}


def test_a_label_is_only_text(capsys, tmp_path):
    sentence = "No box in val of [red], [/], <b>, ![x](http://x): not measured."
    text = markdown(rows(ACCURACY, SPEED, DROP), [sentence], HOST)
    assert "<b>" not in text and "](" not in text
    print_summary(rows(ACCURACY, SPEED, DROP), [sentence], tmp_path)
    assert sentence in capsys.readouterr().out


def test_the_same_curves_give_the_same_bytes(tmp_path):
    for key in NAMES:
        (tmp_path / f"{key}.csv").write_text("recall,precision\n0.0,1.0\n1.0,0.5\n")
    assert precision_recall_svg(tmp_path) == precision_recall_svg(tmp_path)


def test_the_curves_show_every_confidence_that_applies(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text("confidence,precision,recall,F1\n0.1,0.5,1.0,0.67\n0.9,1.0,0.5,0.67\n")
    drawn = [
        operating_point_svg(path, operating_point(0.3, own))
        for own in ({"a": 0.3, "b": 0.3}, {"a": 0.3, "b": 0.6})
    ]
    gray = [svg.count("stroke: #7f7f7f") for svg in drawn]
    assert gray == [1, 2]


def test_a_busy_machine_is_the_first_thing_told_and_nothing_is_recommended_by_its_speeds():
    speed = {**SPEED, "host": {**HOST, "busy": True, "cores_free": 0.62}}
    sentences = recommendation(ACCURACY, speed, DROP, 1.0)
    text = markdown(rows(ACCURACY, speed, DROP), sentences, speed["host"])
    assert text.splitlines()[2].startswith("**The machine was busy: 62 % of its cores were free")
    assert sentences[0].startswith("INT8 lost 2.0 AP points")
