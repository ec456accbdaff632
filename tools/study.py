"""Trainings below a folder, each done once: what the studies behind docs/ have in common."""

import argparse
from collections.abc import Callable
from pathlib import Path

import yaml

from stages.common.coco import read_coco
from stages.common.files import read_json, write_json
from stages.common.params import load_params
from stages.evaluate import detect, open_backend
from tools.params_file import ROOT, run_stage, write_params

WEIGHTS = ROOT / "models/pretrained.pth"


def parser_of(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser of what every study takes: EXPORT, FOLDER and --set."""
    parser = argparse.ArgumentParser(prog=f"python -m tools.{name}", description=description)
    parser.add_argument("export", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="settings")
    return parser


class Study:
    """A data set, and trainings on parts of it.

    Args:
        arguments: of `parser_of`; `settings` are values of params.yaml for all trainings.

    Attributes:
        coco: the whole data set.
    """

    def __init__(self, arguments: argparse.Namespace):
        settings = dict(setting.split("=", 1) for setting in arguments.settings)
        self.changes = {key: yaml.safe_load(value) for key, value in settings.items()}
        self.folder = arguments.folder.resolve()
        self.dataset = self.folder / "dataset"
        if not self.dataset.exists():
            export = str(arguments.export.resolve())
            write_params(self.folder, {**self.changes, "data.export": export})
            run_stage(self.folder, "ingest", "dataset")
        self.params = load_params(self.folder / "params.yaml")
        self.coco = read_coco(self.dataset / "annotations.json")

    def train(self, out: Path, train: dict, judges: dict, **changes: object) -> float:
        """Train on images and judge by others; return AP in points. Nothing is chosen by these."""
        if not (out / "accuracy.json").exists():
            write_params(out, {**self.changes, **changes})
            for name, listed in (("train", train), ("judges", judges)):
                write_json(out / f"{name}.json", listed)
            run_stage(out, "train", "train.json", self.dataset, WEIGHTS, "yolox.pth")
            run_stage(out, "evaluate", "yolox.pth", "judges.json", self.dataset, "accuracy.json",
                      "curve.csv", "judged.json")  # fmt: skip
        return 100 * read_json(out / "accuracy.json")["AP"]

    def convert(self, out: Path) -> None:
        """Make the IR and the INT8 model of a training."""
        if (out / "int8").exists():
            return
        run_stage(out, "export", "yolox.pth", "judges.json", self.dataset, "yolox.onnx")
        run_stage(out, "ir", "yolox.onnx", "judges.json", self.dataset, "ir")
        run_stage(out, "quantize", "ir", "train.json", "judges.json", self.dataset, "int8")

    def detect(
        self, out: Path, model: str, images: list[dict], name: str, find: Callable = detect
    ) -> list[dict]:
        """Return what a model of a training finds in images; it is kept as `name`.json."""
        path = out / f"{name}.json"
        if not path.exists():
            listed = {**self.coco, "images": images}
            backend = open_backend(out / model, "f32")
            write_json(path, find(backend, listed, self.dataset / "images", self.params.evaluate))
        return read_json(path)
