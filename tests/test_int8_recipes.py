"""The comparison of INT8 settings: models of several splits are judged together."""

import json
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from detector.runtime.openvino_backend import OpenVinoBackend
from stages.common.coco import read_coco
from stages.common.coco_eval import score
from stages.common.params import load_params
from stages.evaluate import detect
from tools.int8_recipes import Fold, check_no_image_judges_twice


@pytest.mark.slow
def test_models_of_two_splits_are_judged_on_the_images_of_both(trained):
    ir, dataset = trained / "ir", trained / "dataset"
    train, val = (trained / f"split/{name}.json" for name in ("train", "val"))
    words = [ir, dataset, train, val, "--also", ir, val, train, "--seconds", "0.1"]
    done = subprocess.run(
        [sys.executable, "-m", "tools.int8_recipes", *map(str, words),
         "--recipes", "all layers in INT8"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = re.findall(
        r"^\| (.*?) \| ([\d.]+) \| (.*?) \| [\d.]+ \| (\d+) % \|", done.stdout, re.MULTILINE
    )
    assert [name for name, *_ in rows] == ["FP16", "all layers in INT8"]
    assert rows[0][2] == "+0.00 (+0.00 to +0.00)" and rows[1][3] == "100"
    coco, settings = read_coco(dataset / "annotations.json"), load_params(ROOT / "params.yaml")
    found = detect(OpenVinoBackend(ir, "f32"), coco, dataset / "images", settings.evaluate)
    assert rows[0][1] == f"{score(coco, found).stats[0]:.4f}"
    assert rows[1][1] != rows[0][1]


def test_no_image_judges_two_models(tmp_path):
    folds = []
    for number, ids in enumerate([(1, 2), (3,), (2, 4)]):
        path = tmp_path / f"{number}.json"
        images = [{"id": i, "file_name": f"{i}.png"} for i in ids]
        path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
        folds.append(Fold(tmp_path, path, path))
    check_no_image_judges_twice(folds[:2])
    with pytest.raises(SystemExit, match="val lists share images"):
        check_no_image_judges_twice(folds)
