"""The review of a change: verdicts, frames whose outcome changed, and the page."""

import copy
import subprocess

import numpy as np
import pytest
from conftest import operating_point
from test_report import ACCURACY, DROP, HOST, SPEED

from detector.core.frame_detector import CONFIDENCE
from stages.common.files import write_json
from stages.common.metrics import with_details
from stages.common.run import UserError
from stages.evaluation.bootstrap import packed
from stages.evaluation.fidelity import packed_bits
from stages.evaluation.matching import by_image
from tools.review.__main__ import (
    check_losses,
    confidences_at,
    data_lines,
    evidence,
    machines,
    table_of,
)
from tools.review.accuracy import (
    BETTER,
    NOISE,
    SURELY_EQUAL,
    TRAINING_SD,
    WORSE,
    ap_change,
    drop_change,
    power,
)
from tools.review.frames import changed_images, is_right
from tools.review.verdicts import BUSY_MACHINE, OTHER_MACHINE, rows, why_incomparable

# The same images make AP vary by 5 points whatever the model; a change by itself by 0.3.
OF_IMAGES = np.random.default_rng(0).normal(0, 0.05, 1000)
OF_A_CHANGE = np.random.default_rng(1).normal(0, 0.003, 1000)


def judged(figures: dict[str, dict], shift: float = 0.0, truth: str = "a") -> dict[str, dict]:
    """Accuracy with resamples; `shift` is added to AP."""
    own = OF_IMAGES + (OF_A_CHANGE if shift else 0)
    return {
        key: {**value, "AP": value["AP"] + shift, "truth": truth,
              "resampled": packed(value["AP"] + shift + own),
              "AP_interval": [value["AP"] + shift - 0.1, value["AP"] + shift + 0.1]}
        for key, value in figures.items()
    }  # fmt: skip


BEFORE = {"accuracy": judged(ACCURACY), "drop": DROP, "crossval": {}, "speed": SPEED,
          "weights": ("1",), "fold_weights": ()}  # fmt: skip
FOLDS = {
    "truth": "b", "clusters": 40, "folds": 5,
    "accuracy": {key: {**value, "training_sd": 0.01} for key, value in judged(ACCURACY).items()},
    "drop": {"int8": {**DROP["int8"], "training_sd": 0.5}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("shift", "truth", "weights", "verdict"),
    [
        (0.0, "a", "1", SURELY_EQUAL),
        (0.002, "a", "1", NOISE),
        (0.01, "a", "1", BETTER),
        (-0.01, "a", "1", WORSE),
        (-0.01, "a", "2", NOISE),  # trained again: that alone moves AP by more
        (-0.08, "a", "2", WORSE),
        (-0.08, "b", "1", NOISE),  # other images: not in pairs
        (-0.30, "b", "1", WORSE),
    ],
)
def test_ap_is_judged_in_pairs(shift, truth, weights, verdict):
    after = {**BEFORE, "accuracy": judged(ACCURACY, shift, truth), "weights": (weights,)}
    both = evidence(BEFORE, after)
    change = ap_change(*both, "ir")
    assert change.points == pytest.approx(100 * shift)
    assert change.verdict() == verdict
    said = power(*both)
    pairs = "in pairs" if truth == "a" else "not in pairs, since the images or boxes differ"
    assert f"60 val images, {pairs}" in said
    assert ("the chance of training is included" in said) == (weights == "2")
    assert f"A difference of {change.half_width:.1f} AP points or more would show." in said


def test_the_spread_of_training_widens_an_interval():
    same, trained = ({**BEFORE, "weights": (weights,)} for weights in "12")
    width = ap_change(*evidence(BEFORE, same), "ir").half_width
    wider = ap_change(*evidence(BEFORE, trained), "ir").half_width
    assert wider == pytest.approx(np.hypot(width, 1.96 * 2**0.5 * TRAINING_SD))


def test_folds_replace_the_val_images_where_both_have_them():
    after = {**BEFORE, "crossval": FOLDS, "fold_weights": ("3",)}
    assert "60 val images" in power(*evidence(BEFORE, after))
    both = evidence(after, {**after, "fold_weights": ("4",)})
    assert "60 images, each by a model that was not trained on it, in pairs" in power(*both)
    assert ap_change(*both, "ir").half_width == pytest.approx(1.96 * 2**0.5 * 1.0, abs=0.01)
    assert drop_change(*both).half_width == pytest.approx(1.96 * 2**0.5 * 0.5, abs=0.01)
    # Not in pairs, the intervals cover training already.
    other = {**after, "crossval": {**FOLDS, "truth": "c"}, "fold_weights": ("4",)}
    assert ap_change(*evidence(after, other), "ir").half_width == pytest.approx(10 * 2**0.5)


@pytest.mark.parametrize(
    ("shift", "max_drop", "fails"),
    [(-0.03, 1.0, True), (-0.03, 4.0, False), (-0.03, None, False), (0.03, 0.0, False)],
)
def test_a_sure_loss_ends_the_review_with_an_error(shift, max_drop, fails):
    both = evidence(BEFORE, {**BEFORE, "accuracy": judged(ACCURACY, shift)})
    if not fails:
        check_losses(*both, max_drop)
        return
    with pytest.raises(UserError, match=r"AP of PyTorch changed by -3.0 \(-3.6 to -2.4\) points"):
        check_losses(*both, max_drop)


def changes(before: dict, after: dict) -> list:
    return rows(before, after, evidence(before, after))


def changed(path: tuple[str, ...], value: object) -> list:
    after = copy.deepcopy(BEFORE)
    place = after
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return [(row.figure, row.before, row.after, row.verdict) for row in changes(BEFORE, after)]


def test_other_answers_are_compared_where_both_have_a_pool():
    old, new = copy.deepcopy(BEFORE), copy.deepcopy(BEFORE)
    changed = np.arange(300) < 30
    found = {"frames": 300, "changed_per_1000": 100.0, "interval": [71.0, 139.0], "pool": "a",
             "changed": packed_bits(changed)}  # fmt: skip
    new["drop"]["int8"]["fidelity"] = found
    assert changes(old, new) == []
    fewer = {"changed_per_1000": 50.0, "changed": packed_bits(changed & (np.arange(300) < 15))}
    old["drop"]["int8"]["fidelity"] = {**found, **fewer}
    (row,) = changes(old, new)
    assert (row.before, row.after, row.verdict) == ("50", "100", WORSE)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("accuracy", "int8", "AP50"), 0.9, []),
        (("accuracy", "int8", "AP50"), 0.8, [("AP50, OpenVINO INT8", "0.900", "0.800", "see AP")]),
        (("accuracy", "ir", "size_mb"), 3.0, [("MB, OpenVINO FP16", "1.7", "3.0", WORSE)]),
        (
            ("speed", "int8", "throughput_fps"),
            90.0,
            [("FPS, OpenVINO INT8", "60", "90", "see speed-up")],
        ),
        (
            ("speed", "int8", "speedup_vs_torch"),
            6.05,
            [("Speed-up, OpenVINO INT8", "6", "6.05", NOISE)],
        ),
    ],
)
def test_only_what_changed_is_told(path, value, expected):
    assert changed(path, value) == expected


@pytest.mark.parametrize(("speedup", "verdict"), [(7.5, NOISE), (9.0, BETTER), (3.0, WORSE)])
def test_a_speed_up_may_differ_by_the_run(speedup, verdict):
    after = copy.deepcopy(BEFORE)
    ends = [speedup - 0.1, speedup + 0.1]
    after["speed"]["int8"] |= {"speedup_vs_torch": speedup, "speedup_interval": ends}
    assert [row.verdict for row in changes(BEFORE, after)] == [verdict]


@pytest.mark.parametrize(
    ("before", "after", "verdict", "told"),
    [
        ({}, {"date": "2026-02-01", "versions": {}, "cores_free": 0.97}, BETTER, None),
        ({}, {"cores": 64}, OTHER_MACHINE, "not the same machine"),
        ({}, {"id": "1e"}, OTHER_MACHINE, "not the same machine"),
        ({"busy": True}, {}, BUSY_MACHINE, "busy with other programs"),
        ({}, {"busy": True}, BUSY_MACHINE, "busy with other programs"),
    ],
)
def test_speeds_compare_on_the_very_same_quiet_machine_only(before, after, verdict, told):
    old, new = copy.deepcopy(BEFORE), copy.deepcopy(BEFORE)
    old["speed"]["host"] |= before
    new["speed"]["host"] |= after
    new["speed"]["int8"] |= {"speedup_vs_torch": 90.0, "speedup_interval": [80.0, 95.0]}
    assert [row.verdict for row in changes(old, new)] == [verdict]
    measured, *reason = machines(old["speed"]["host"], new["speed"]["host"])
    assert "before: measured on 2026-01-31 on A&#124;B, 2 cores" in measured
    assert bool(reason) == bool(told) and all(told in sentence for sentence in reason)


def test_an_older_commit_that_tells_no_machine_from_another():
    old = {key: HOST[key] for key in ("cpu", "cores", "isa", "versions")}
    assert why_incomparable(old, HOST) == why_incomparable(old, old) == OTHER_MACHINE
    assert machines(old, HOST)[0].startswith("Speed before: measured on an unknown day on A&#124;B")


def test_nothing_changed():
    assert table_of(changes(BEFORE, copy.deepcopy(BEFORE))) == ["No figure changed."]


def box(image: int, left: float, category: int = 1, score: float = 0.9) -> dict:
    return {"image_id": image, "category_id": category, "bbox": [left, 0, 10, 10], "score": score}


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        ([], [], True),
        ([box(1, 0)], [box(1, 1)], True),
        ([box(1, 0)], [box(1, 9)], False),
        ([box(1, 0)], [box(1, 0, category=2)], False),
        ([box(1, 0)], [], False),
        ([], [box(1, 0)], False),
        ([box(1, 0), box(1, 50)], [box(1, 50), box(1, 0)], True),
        ([box(1, 0)], [box(1, 0), box(1, 0)], False),
    ],
)
def test_a_frame_is_right_where_all_is_found_and_nothing_else(truth, found, expected):
    assert is_right(truth, found) == expected


def test_images_whose_outcome_changed():
    coco = {"images": [{"id": i} for i in (1, 2, 3)],
            "annotations": [box(1, 0), box(2, 0), box(3, 0)]}  # fmt: skip
    before = [box(1, 0), box(3, 0), box(2, 0, score=0.2)]
    after = [box(2, 0), box(3, 0), box(1, 0, score=0.1)]
    found = changed_images(coco, [by_image(rows, [0.25]) for rows in (before, after)])
    assert [(image["id"], now_right) for image, now_right in found] == [(1, False), (2, True)]


def test_every_commit_reports_from_its_own_confidence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "init", "-q"], check=True)
    for point in (None, operating_point(0.4, {"a": 0.4, "b": 0.5})):
        if point:
            write_json(tmp_path / "metrics/operating_point.json", with_details(point, "confidence"))
            subprocess.run([*git, "add", "metrics"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
    found = [confidences_at(commit, ["a", "b"]) for commit in ("HEAD~1", "HEAD", None)]
    assert found == [[CONFIDENCE, CONFIDENCE], [0.4, 0.5], [0.4, 0.5]]


def side(images: int, boxes: int, **classes: int) -> dict:
    return {"images": images, "boxes": boxes, "classes": classes}


def test_data_that_changed_and_a_leak():
    before = {"train": side(30, 40, LP=40), "val": side(10, 11, LP=11)}
    after = {"train": side(32, 44, LP=40, car=4), "val": side(10, 11, LP=11),
             "crossing": {"judged_images": 3}}  # fmt: skip
    table, leak = data_lines(before, after)
    assert table.splitlines()[2:] == [
        "| train, images | 30 | 32 |", "| train, boxes | 40 | 44 |",
        "| train, boxes of car | 0 | 4 |",
    ]  # fmt: skip
    assert leak.startswith("3 val or test images have a near duplicate in train")


def test_an_added_export_is_named_with_what_it_brought():
    same = {"train": side(30, 40), "crossing": {"judged_images": 0}}
    week = {"images": 40, "boxes": 60, "train": 30, "val": 10, "test": 0}
    before, after = {**same, "exports": {"a": week}}, {**same, "exports": {"a": week, "b|": week}}
    table, _ = data_lines(before, after)
    assert table.splitlines()[2:] == ["| export b&#124; | - | 40 images, 60 boxes |"]
