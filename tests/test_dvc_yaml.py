"""dvc.yaml against the code: what a stage reads is what it declares."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from imports import files_imported

from stages.common.params import Params

DVC_YAML = yaml.safe_load((ROOT / "dvc.yaml").read_text())
NAMES = [
    f"{name}@{key}" if key else name
    for name, stage in DVC_YAML["stages"].items()
    for key in stage.get("foreach", [None])
]
FROM_IR_ON = {"ir", "quantize", "evaluate", "compare", "benchmark", "report", "gate"}
# Parameters of these names are invisible to DVC's run cache.
FORBIDDEN = {"size", "nfiles"}


def declared(stage: dict, *kinds: str) -> set[str]:
    """Paths under these keys, without their options."""
    listed = [item for kind in kinds for item in stage.get(kind, [])]
    return {next(iter(item)) if isinstance(item, dict) else item for item in listed}


def script(name: str) -> Path:
    return ROOT / "stages" / f"{name.split('@')[0]}.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_module_that_a_stage_imports_is_a_dependency(pipeline, name):
    needed = {str(path.relative_to(ROOT)) for path in files_imported(script(name), ROOT)}
    modules = {path for path in declared(pipeline[name], "deps") if path.endswith(".py")}
    assert modules == needed


@pytest.mark.parametrize("name", NAMES)
def test_paths_in_a_command_are_declared(pipeline, name):
    stage = pipeline[name]
    words = shlex.split(stage["cmd"])
    assert words[:3] == ["python", "-m", f"stages.{name.split('@')[0]}"]
    known = declared(stage, "deps", "outs", "metrics", "plots")
    for word in words[3:]:
        inside = any(path == word or path.startswith(f"{word}/") for path in known)
        assert inside, f"{word} is neither a dependency nor an output"


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_is_described_and_depends_on_what_it_runs_on(pipeline, name):
    assert pipeline[name]["desc"]
    on_toolchain = name.split("@")[0] in FROM_IR_ON
    packages = "${toolchain}" if on_toolchain else "openvino"
    assert f"requirements/{packages}.txt" in pipeline[name]["deps"]
    assert script(name).read_text().startswith('"""')


@pytest.mark.parametrize("name", NAMES)
def test_sections_that_a_stage_reads_are_its_params(pipeline, name):
    sections = set(Params.model_fields)
    text = script(name).read_text()
    read = {section for section in sections if f"params.{section}" in text}
    read |= {section for section in sections if f"load_params().{section}" in text}
    declared_sections = {key.split(".")[0] for key in pipeline[name].get("params", [])}
    assert read <= declared_sections <= sections


def test_no_parameter_reaches_a_shell():
    for name, stage in DVC_YAML["stages"].items():
        command = stage.get("do", stage)["cmd"].replace("${item}", "").replace("${key}", "")
        assert "${" not in command, f"{name} hands a parameter to a shell"


def test_no_parameter_has_a_name_that_the_run_cache_cannot_see():
    for section in yaml.safe_load((ROOT / "params.yaml").read_text()).values():
        assert not FORBIDDEN & set(section)


def test_stages_import_no_other_stage_and_the_detector_none_at_all():
    for name in {name.split("@")[0] for name in NAMES}:
        imported = files_imported(script(name), ROOT) - {script(name)}
        assert not {path for path in imported if path.parent == ROOT / "stages"}
    for path in (ROOT / "detector").glob("*.py"):
        outside = {p for p in files_imported(path, ROOT) if "detector" not in p.parts}
        assert not outside, f"{path.name} imports {outside}"


def test_the_detector_loads_neither_torch_nor_onnxruntime():
    program = (
        "import sys, detector.detector, detector.draw, openvino;"
        "print({'torch', 'onnxruntime', 'yolox', 'nncf'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
