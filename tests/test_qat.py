"""The benchmark of fine-tuning with quantizers, on a tiny model."""

import copy
import re
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from benchmarks.qat import folded
from stages.common.yolox_model import with_one_stem


def test_batch_norms_that_went_into_convolutions_change_nothing(tiny_model):
    model = with_one_stem(tiny_model)
    images = torch.rand(1, 3, 64, 96) * 255
    with torch.inference_mode():
        expected, got = model(images), folded(copy.deepcopy(model))(images)
    assert torch.allclose(expected, got, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="NNCF compiles its quantizers by c++")
def test_four_models_are_judged_and_the_float_one_lost_nothing(tiny_dataset, tiny_pth):
    split, dataset = tiny_dataset / "split", tiny_dataset / "dataset"
    arguments = [tiny_pth, dataset, split / "train.json", split / "val.json", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.qat", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w.*?) \| ([\d.]+) \| (.*?) \|", done.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == [
        "float", "default", "trained on, then default", "trained on with quantizers",
    ]  # fmt: skip
    assert rows[0][2] == "+0.00 (+0.00 to +0.00)"
