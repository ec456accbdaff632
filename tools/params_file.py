"""Run stages in other folders, with some values of params.yaml changed."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def write_params(folder: Path, changes: dict[str, object]) -> None:
    """Create a folder with a params.yaml that has changes, for example {"train.seed": 1}."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        *section, name = key.split(".")
        (params[section[0]] if section else params)[name] = value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def run_stage(folder: Path, name: str, *arguments: object) -> None:
    """Run a stage in a folder that holds a params.yaml."""
    command = [sys.executable, "-m", f"stages.{name}", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=True)
