"""The studies behind docs/loop.md and docs/LOG.md, small: their tables, and that they go on."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from tools.params_file import run_stage, write_params

# The study, its own options, and the first column of its table.
STUDIES = {
    "next_study": (
        ["--judge", "_00000", "--images", "8", "--step", "3", "--steps", "1", "--draws", "0"],
        ["random", "every Nth", "looks", "disagreement", "disagreement of folds"],
    ),
    "label_errors_study": (
        ["--other", "[13579].jpg"],
        ["around nothing", "forgotten", "misplaced", "other label"],
    ),
    "teach_study": (
        ["--pool", "_00001", "--judge", "_00000", "--label", "_00002", "--labels", "8", "--seeds",
         "0", "--tries", "boxes from 0.5", "boxes that a mirror confirms"],
        ["labels only", "labels only, as many steps", "boxes from 0.5",
         "boxes that a mirror confirms"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_params(folder, {"synthesize.images": 30, "synthesize.pool_images": 1,
                          "synthesize.image_hw": [256, 448]})  # fmt: skip
    run_stage(folder, "synthesize", "scenes.zip", "pool.zip")
    return folder / "scenes.zip"


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_prints_its_table_and_repeats_no_training(scenes, tmp_path, name):
    options, rows = STUDIES[name]
    command = [sys.executable, "-m", f"tools.{name}", str(scenes), str(tmp_path / "study"),
               *options, "--set", "train.max_epoch=1", "model.input_hw=[192,320]"]  # fmt: skip
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    table = [line for line in first.stdout.splitlines() if line.startswith("|")]
    assert [re.match(r"\| (.*?) \|", line)[1] for line in table[2:]] == rows
    weights = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("yolox.pth")}
    assert weights
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert [line for line in again.stdout.splitlines() if line.startswith("|")] == table
    assert weights == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("yolox.pth")}
