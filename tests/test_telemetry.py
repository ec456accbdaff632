"""Nothing that this project runs tells anybody of it."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.parametrize(
    "program",
    [
        "from detector import Detector; Detector(sys.argv[1])",
        "import stages, nncf, openvino; openvino.convert_model",
    ],
    ids=["the detector", "the stages"],
)
def test_openvino_and_nncf_report_no_use(models, tmp_path, program):
    """They note an identity and counts in the home folder before they send anything."""
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}", models / "int8"],
        env={**environment, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}, check=True,
        cwd=tmp_path,
    )  # fmt: skip
    assert list(tmp_path.rglob("*")) == []


def test_without_us_openvino_does_report(tmp_path):
    """The test above would notice."""
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    program = "import socket; socket.socket.connect = None\nimport openvino"
    subprocess.run(
        [sys.executable, "-c", program], env={**environment, "HOME": str(tmp_path)}, cwd=tmp_path
    )
    assert (tmp_path / "intel").exists()
