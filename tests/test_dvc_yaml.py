"""dvc.yaml against the code: what a stage reads is what it declares."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT, resolved_stages
from imports import files_imported, parts_imported, stage_files

from stages.common.params import Params

STAGES = resolved_stages()
NAMES = list(STAGES)
FROM_IR_ON = {"ir", "quantize", "evaluate", "compare", "benchmark", "report", "gate"}
# Parameters of these names are invisible to DVC's run cache.
FORBIDDEN = {"size", "nfiles"}


def declared(stage: dict, *kinds: str) -> set[str]:
    """Paths under these keys, without their options."""
    listed = [item for kind in kinds for item in stage.get(kind, [])]
    return {next(iter(item)) if isinstance(item, dict) else item for item in listed}


def commands(name: str) -> list[list[str]]:
    """The commands of a stage, as words."""
    command = STAGES[name]["cmd"]
    return [shlex.split(c) for c in ([command] if isinstance(command, str) else command)]


def scripts(name: str) -> list[str]:
    """The scripts that a stage runs, by name: first its own, except for those of a fold."""
    return [words[2].removeprefix("stages.") for words in commands(name)]


def page(script: str) -> str:
    place = ROOT / "stages" / script
    return (place / "__main__.py" if place.is_dir() else place.with_suffix(".py")).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_runs_the_script_of_its_name(name):
    assert all(words[:2] == ["python", "-m"] for words in commands(name))
    assert name.startswith("fold_") or scripts(name)[0] == name.split("@")[0]


@pytest.mark.parametrize("name", NAMES)
def test_code_that_a_stage_imports_is_a_dependency(pipeline, name):
    deps = declared(pipeline[name], "deps")
    code = {path for path in deps if path.startswith(("stages/", "detector/"))}
    assert code == set().union(*(parts_imported(script, ROOT) for script in scripts(name)))


@pytest.mark.parametrize("name", NAMES)
def test_paths_in_a_command_are_declared(pipeline, name):
    known = declared(pipeline[name], "deps", "outs", "metrics", "plots")
    for word in (word for words in commands(name) for word in words[3:] if "/" in word):
        assert any(
            f"{path}/".startswith(f"{word}/") or word.startswith(f"{path}/") for path in known
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_is_described_and_depends_on_what_it_runs_on(pipeline, name):
    assert pipeline[name]["desc"]
    for script in scripts(name):
        packages = "${toolchain}" if script in FROM_IR_ON else "openvino"
        assert f"requirements/{packages}.txt" in pipeline[name]["deps"]
        assert page(script).startswith('"""')


@pytest.mark.parametrize("name", NAMES)
def test_sections_that_a_stage_reads_are_its_params(pipeline, name):
    sections = set(Params.model_fields)
    pages = " ".join(page(script) for script in scripts(name))
    read = set(re.findall(r"params(?:\(\))?\.(\w+)", pages)) & sections
    declared_sections = {key.split(".")[0] for key in pipeline[name].get("params", [])}
    assert read <= declared_sections <= sections


def test_the_wanted_precision_and_recall_train_nothing(pipeline):
    keys = {"evaluate", "evaluate.min_precision", "evaluate.min_recall"}
    assert [n for n, s in pipeline.items() if keys & set(s.get("params", []))] == [
        "operating_point"
    ]


def test_no_parameter_reaches_a_shell(pipeline):
    assert not [name for name, stage in pipeline.items() if "${" in str(stage["cmd"])]


def test_no_parameter_has_a_name_that_the_run_cache_cannot_see():
    for section in yaml.safe_load((ROOT / "params.yaml").read_text()).values():
        assert not FORBIDDEN & set(section)


def test_rooms_import_only_what_lies_below_them():
    stages = {script for name in NAMES for script in scripts(name)}
    shared = {p.name for p in (ROOT / "stages").iterdir() if (p / "__init__.py").exists()} - stages
    assert shared == {"admission", "common", "conversion", "evaluation", "scenes", "yolox"}
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
