"""dvc.yaml against the code: what a stage reads is what it declares."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from imports import files_imported, parts_imported, stage_files

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
    """The page of a stage."""
    place = ROOT / "stages" / name.split("@")[0]
    return place / "__main__.py" if place.is_dir() else place.with_suffix(".py")


@pytest.mark.parametrize("name", NAMES)
def test_code_that_a_stage_imports_is_a_dependency(pipeline, name):
    deps = declared(pipeline[name], "deps")
    code = {path for path in deps if path.startswith(("stages/", "detector/"))}
    assert code == parts_imported(name.split("@")[0], ROOT)


@pytest.mark.parametrize("name", NAMES)
def test_paths_in_a_command_are_declared(pipeline, name):
    stage = pipeline[name]
    words = shlex.split(stage["cmd"])
    assert words[:3] == ["python", "-m", f"stages.{name.split('@')[0]}"]
    known = declared(stage, "deps", "outs", "metrics", "plots")
    for word in words[3:]:
        assert any(path == word or path.startswith(f"{word}/") for path in known), word


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_is_described_and_depends_on_what_it_runs_on(pipeline, name):
    assert pipeline[name]["desc"]
    packages = "${toolchain}" if name.split("@")[0] in FROM_IR_ON else "openvino"
    assert f"requirements/{packages}.txt" in pipeline[name]["deps"]
    assert script(name).read_text().startswith('"""')


@pytest.mark.parametrize("name", NAMES)
def test_sections_that_a_stage_reads_are_its_params(pipeline, name):
    sections = set(Params.model_fields)
    read = set(re.findall(r"params(?:\(\))?\.(\w+)", script(name).read_text())) & sections
    declared_sections = {key.split(".")[0] for key in pipeline[name].get("params", [])}
    assert read <= declared_sections <= sections


def test_no_parameter_reaches_a_shell(pipeline):
    assert not [name for name, stage in pipeline.items() if "${" in stage["cmd"]]


def test_no_parameter_has_a_name_that_the_run_cache_cannot_see():
    for section in yaml.safe_load((ROOT / "params.yaml").read_text()).values():
        assert not FORBIDDEN & set(section)


def test_rooms_import_only_what_lies_below_them():
    stages = {name.split("@")[0] for name in NAMES}
    shared = {p.name for p in (ROOT / "stages").iterdir() if (p / "__init__.py").exists()} - stages
    assert shared == {"common", "conversion", "evaluation", "scenes", "yolox"}
    own = {f"stages/{name}" for name in stages} | {f"stages/{name}.py" for name in stages}
    for name in stages:
        assert len(parts_imported(name, ROOT) & own) == 1, f"{name} imports another stage"
    for name in shared:
        imported = files_imported(stage_files(name, ROOT), ROOT)
        assert not {str(p.relative_to(ROOT).parent) for p in imported} & own
    assert parts_imported("common", ROOT) == {"stages/common"}
    for path in (ROOT / "detector").rglob("*.py"):
        assert not {p for p in files_imported([path], ROOT) if "detector" not in p.parts}
    core = files_imported(sorted((ROOT / "detector/core").glob("*.py")), ROOT)
    assert {p.parent for p in core} == {ROOT / "detector/core"}, "openvino's options would retrain"
    for path in (*(ROOT / "stages").rglob("*.py"), *(ROOT / "detector").rglob("*.py")):
        assert "tools" not in re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.M)


def test_the_detector_loads_neither_torch_nor_onnxruntime():
    program = (
        "import sys, detector.runtime.detector, detector.video.cli, openvino;"
        "print({'torch', 'onnxruntime', 'yolox', 'nncf'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
