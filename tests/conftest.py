"""What several tests share: the repository, its stages and a way to run one."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def pipeline() -> dict[str, dict]:
    """The stages of dvc.yaml by name, `foreach` resolved as DVC does."""
    stages = {}
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        if "foreach" not in stage:
            stages[name] = stage
            continue
        for key, item in stage["foreach"].items():
            text = yaml.safe_dump(stage["do"]).replace("${key}", key).replace("${item}", str(item))
            stages[f"{name}@{key}"] = yaml.safe_load(text)
    return stages


@pytest.fixture
def run_stage():
    """Runs `python -m stages.NAME ARGUMENTS` in a folder, as dvc.yaml does."""

    def run(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", f"stages.{name}", *map(str, arguments)],
            cwd=cwd,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(cwd)},
            capture_output=True,
            text=True,
        )

    return run
