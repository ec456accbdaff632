"""Write params.yaml with some values changed, for stages that run in another folder."""

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
