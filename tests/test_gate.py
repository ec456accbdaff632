"""The drop of INT8, and the gate."""

import numpy as np
import pytest
from conftest import operating_point

from stages.common.coco import labels_of, read_coco
from stages.common.coco_eval import coco_rows
from stages.common.files import write_json
from stages.common.metrics import read_metrics, with_details
from tools.params_file import write_params

CASES = {
    # name: (AP, interval, gate.max_drop, exit status, said)
    "nothing lost": (0.0, [-0.5, 0.4], 1.0, 0, "1 are allowed"),
    "a little lost": (0.8, [0.2, 1.5], 1.0, 0, "1 are allowed"),
    "perhaps too much": (3.0, [-0.5, 6.0], 1.0, 0, "label more val images"),
    "surely too much": (3.0, [1.2, 5.0], 1.0, 1, "gate.max_drop allows 1; worst class b: 4.20"),
    "as much as is allowed": (3.0, [1.0, 5.0], 1.0, 0, "label more val images"),
    "off": (30.0, [20.0, 40.0], None, 0, "the gate is off"),
}


@pytest.mark.parametrize("judged_by", ["val", "folds"])
@pytest.mark.parametrize("name", CASES)
def test_the_gate(run_stage, tmp_path, name, judged_by):
    lost, interval, max_drop, status, said = CASES[name]
    write_params(tmp_path, {"gate.max_drop": max_drop})
    figures = {"AP": lost, "interval": interval, "per_class": {"a": 1.8, "b": 4.2}}
    of_val = {"int8": figures if judged_by == "val" else {**figures, "interval": [-99, 99]}}
    write_json(tmp_path / "drop.json", of_val)
    of_folds = {"drop": {"int8": figures}} if judged_by == "folds" else {}
    write_json(tmp_path / "crossval.json", of_folds)
    done = run_stage("gate", "drop.json", "crossval.json", "report.md", cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in (done.stderr if status else done.stdout)
    if status:
        assert done.stderr.count("\n") == 1
        assert "quantize.method" in done.stderr and "report.html" in done.stderr


def detections(coco: dict, shift: float) -> list[dict]:
    """The true boxes, moved to the right by a share of their width."""
    rows = []
    for box in coco["annotations"]:
        x, y, width, height = box["bbox"]
        x += shift * width
        rows += coco_rows(
            box["image_id"], np.array([[x, y, x + width, y + height]]), np.array([0.9]),
            np.array([box["category_id"] - 1]),
        )  # fmt: skip
    return rows


@pytest.fixture
def compare(run_stage, tiny_dataset, tmp_path):
    """Runs the stage on a variant whose boxes are shifted, the others being perfect.

    The val images are the pool too.
    """

    def run(variant: str, shift: float, repeated: int = 1, pool: bool = True):
        coco = read_coco(tiny_dataset / "split/train.json")
        images, boxes = coco["images"], coco["annotations"]
        copies = range(0, 100 * repeated, 100)
        coco["images"] = [{**i, "id": i["id"] + n} for n in copies for i in images]
        coco["annotations"] = [
            {**box, "id": box["id"] + n, "image_id": box["image_id"] + n}
            for n in copies
            for box in boxes
        ]
        write_json(tmp_path / "val.json", coco)
        for name in ("torch", "onnx", "ir", "int8"):
            rows = detections(coco, shift if name == variant else 0.0)
            write_json(tmp_path / f"detections/{name}.json", rows)
            write_json(tmp_path / f"detections/pool_{name}.json", rows)
        frames = {**coco, "images": coco["images"] if pool else [], "annotations": []}
        write_json(tmp_path / "pool.json", frames)
        point = operating_point(0.5, dict.fromkeys(labels_of(coco), 0.5))
        write_json(tmp_path / "point.json", with_details(point, "confidence"))
        return run_stage(
            "compare",
            "val.json",
            "pool.json",
            "detections",
            "point.json",
            "drop.json",
            "by_class.csv",
            cwd=tmp_path,
        )

    return run


@pytest.mark.parametrize(
    # Overlap (1 - s) / (1 + s): 0.905 counts for the thresholds 0.50 to 0.90, nine of ten.
    ("shift", "lost", "lost50"), [(0.0, 0.0, 0.0), (0.05, 10.0, 0.0), (0.5, 100.0, 100.0)]
)  # fmt: skip
def test_what_int8_lost_by_hand(compare, tmp_path, shift, lost, lost50):
    done = compare("int8", shift)
    assert done.returncode == 0, done.stderr
    drop = read_metrics(tmp_path / "drop.json")
    assert set(drop) == {"onnx", "ir", "int8"}
    assert (drop["int8"]["AP"], drop["int8"]["AP50"]) == (lost, lost50)
    assert drop["int8"]["interval"] == [lost, lost]  # the same in every image
    assert set(drop["int8"]["per_class"].values()) == {lost}
    assert drop["ir"] == drop["onnx"] and drop["ir"]["AP"] == 0.0
    # PyTorch is perfect: its boxes are the truth. IoU 0.905 is the same answer, 0.33 is not.
    answers = drop["int8"]["fidelity"]
    assert answers["changed_per_1000"] == (1000 if lost50 else 0)
    assert answers["AP"] == pytest.approx(1 - lost / 100)
    heading, *rows = (tmp_path / "by_class.csv").read_text().splitlines()
    assert heading == "class,points"
    assert rows == [f"{label},{points}" for label, points in drop["int8"]["per_class"].items()]


def test_without_a_pool_nothing_is_said_of_other_answers(compare, tmp_path):
    assert compare("int8", 0.5, pool=False).returncode == 0
    assert "fidelity" not in read_metrics(tmp_path / "drop.json")["int8"]


@pytest.mark.parametrize("variant", ["onnx", "ir"])
def test_a_float_variant_that_loses_is_refused(compare, tmp_path, variant):
    assert compare(variant, 0.05).returncode == 0, "four images are not enough to be sure"
    (tmp_path / "drop.json").unlink()
    done = compare(variant, 0.05, repeated=13)
    assert done.returncode == 1
    assert f"{variant} lost 10.00 AP points" in done.stderr
    assert not (tmp_path / "drop.json").exists()
