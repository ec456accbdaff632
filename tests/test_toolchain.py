"""The two lists of packages: what they share, and that neither passes for the other."""

import re

import pytest
from conftest import ROOT

from tools.params_file import write_params


def locked(name: str) -> dict[str, str]:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", text, re.MULTILINE))


@pytest.mark.parametrize("package", ["torch", "onnxruntime", "dvc", "pycocotools"])
def test_both_toolchains_share_what_they_are_not_about(package):
    assert locked("openvino")[package] == locked("openvino-dev")[package]


def test_the_old_toolchain_is_the_last_that_had_openvino_dev():
    wanted = {"openvino-dev": "2024.6.0", "openvino": "2024.6.0", "nncf": "2.14.1"}
    assert locked("openvino-dev").items() >= wanted.items()


def test_a_toolchain_that_is_not_installed_is_refused(run_stage, tmp_path):
    write_params(tmp_path, {"toolchain": "openvino-dev"})
    done = run_stage("ir", "yolox.onnx", "val.json", "dataset", "ir", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("ir: params.yaml says toolchain: openvino-dev, but this is")
    assert done.stderr.endswith("run make repro TOOLCHAIN=openvino-dev\n")
    assert not (tmp_path / "ir").exists()
