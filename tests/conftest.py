"""Fixtures: the stages of dvc.yaml, a way to run one, small data sets and models."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from detector.core.boxes import letterbox
from stages import export, ir, synthesize
from stages.common.coco import read_image, subset
from stages.common.files import write_json
from stages.common.metrics import with_details
from stages.common.params import load_params
from stages.ingest import __main__ as ingest
from stages.quantize import __main__ as quantize
from stages.split import __main__ as split
from stages.yolox.model import build_model, eval_model
from stages.yolox.weights import load_weights
from tools.params_file import write_params

ROOT = Path(__file__).resolve().parent.parent
# Real frames and models, which may not be committed; tests that need them skip where it is absent.
SHARED = shared if (shared := ROOT.parent / "shared/data").is_dir() else None
PARAMS = load_params(ROOT / "params.yaml")
NANO = {"depth": 0.33, "width": 0.25, "depthwise": True, "act": "silu"}
# A run that was started in the background ignores Ctrl-C, and so would every command in it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def pipeline() -> dict[str, dict]:
    """The stages of dvc.yaml by name, `foreach` and `matrix` resolved as DVC does."""
    return resolved_stages()


def resolved_stages() -> dict[str, dict]:
    """Those of a matrix are there once, for the first fold of the first seed."""
    stages = {}
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        if "matrix" in stage:
            text = yaml.safe_dump({key: stage[key] for key in stage if key != "matrix"})
            for axis in stage["matrix"]:
                text = text.replace(f"${{item.{axis}}}", "0")
            stages[f"{name}@0-0"] = yaml.safe_load(text)
            continue
        if "foreach" not in stage:
            stages[name] = stage
            continue
        for key, item in stage["foreach"].items():
            text = yaml.safe_dump(stage["do"]).replace("${key}", key).replace("${item}", str(item))
            stages[f"{name}@{key}"] = yaml.safe_load(text)
    return stages


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Runs a test away from the params.yaml of this repository."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start_stage():
    """Starts `python -m stages.NAME ARGUMENTS` in a folder, as dvc.yaml does."""

    def start(name: str, *arguments: object, cwd: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", f"stages.{name}", *map(str, arguments)],
            cwd=cwd,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(cwd)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run_stage(start_stage):
    """The same, to its end."""

    def run(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
        process = start_stage(name, *arguments, cwd=cwd)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run


@pytest.fixture(scope="session")
def tiny_weights() -> dict:
    """The content of a weights file: an untrained YOLOX-nano of three classes at 64x96.

    Batch-norm statistics and prediction biases are made up so that its scores and boxes vary.
    """
    torch.manual_seed(0)
    model = build_model(NANO, 3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
    for conv in (*model.head.obj_preds, *model.head.cls_preds):
        conv.weight.data.normal_(0, 0.1)
        conv.bias.data.normal_(-1, 0.5)
    return {
        "model": model.state_dict(),
        "architecture": NANO,
        "labels": ["a b", "c", "ü"],
        "input_hw": [64, 96],
    }


@pytest.fixture(scope="session")
def tiny_pth(tiny_weights, tmp_path_factory) -> Path:
    """The weights file itself."""
    path = tmp_path_factory.mktemp("weights") / "yolox.pth"
    torch.save(tiny_weights, path)
    return path


@pytest.fixture
def tiny_model(tiny_pth):
    """The model in eval mode, raw output."""
    return eval_model(load_weights(tiny_pth))


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory) -> Path:
    """A folder as `ingest` and `split` leave it: dataset/ with six pictures, split/."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    coco = {"info": {}, "images": [], "annotations": [], "categories": []}
    coco["categories"] = [{"id": i + 1, "name": name} for i, name in enumerate(["a b", "c", "ü"])]
    (folder / "dataset/images/default").mkdir(parents=True)
    for number in range(1, 7):
        image_bgr = cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), (160, 90))
        cv2.rectangle(image_bgr, (40, 30), (80, 50), (255, 255, 255), -1)
        name = f"default/{number}.png"
        cv2.imwrite(str(folder / "dataset/images" / name), image_bgr)
        coco["images"].append({"id": number, "file_name": name, "width": 160, "height": 90,
                               "sha256": f"{number:064x}", "subset": "default",
                               "dhash": f"{number:064x}", "group": "default/#"})  # fmt: skip
        coco["annotations"].append({"id": number, "image_id": number, "bbox": [40, 30, 40, 20],
                                    "category_id": 1 + number % 3, "area": 800,
                                    "iscrowd": 0})  # fmt: skip
    write_json(folder / "dataset/annotations.json", coco)
    lists = {"train": coco["images"][:4], "val": coco["images"][4:]}
    for side, images in {**lists, "calibration": lists["train"]}.items():
        write_json(folder / f"split/{side}.json", subset(coco, images))
    return folder


@pytest.fixture(scope="session")
def models(tiny_pth, tiny_dataset, tmp_path_factory):
    """yolox.pth, yolox.onnx, ir/ and int8/, made by the stages themselves."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(tiny_pth, folder / "yolox.pth")
    dataset, split = tiny_dataset / "dataset", tiny_dataset / "split"
    export.main(folder / "yolox.pth", split / "val.json", dataset, folder / "yolox.onnx")
    ir.main(folder / "yolox.onnx", split / "val.json", dataset, folder / "ir")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_params(folder, {})
        lists = split / "calibration.json", split / "val.json"
        quantize.main(folder / "ir", *lists, dataset, folder / "int8")
    return folder


@pytest.fixture
def canvas_bgr(tiny_dataset) -> np.ndarray:
    return letterbox(read_image(tiny_dataset / "dataset/images/default/5.png"), (64, 96))


def operating_point(confidence: float, per_class: dict[str, float]) -> dict:
    """The output of the stage of this name, without details, with confidences by label."""
    figures = {"precision": 0.95, "recall": 0.92, "F1": 0.935, "false_alarms_per_1000": 0.0}
    return {
        "confidence": confidence, **figures, "boxes": 80, "images": 60, "chosen_by": "best F1",
        "images_without_objects": 3, "judged_on": "val images",
        "per_class": {label: {"confidence": own, **figures, "boxes": 40}
                      for label, own in per_class.items()},
    }  # fmt: skip


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The bundled weights as ONNX and IR, with scenes that no other seed draws, split in halves.

    Their confidence is 0.6.
    """
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_params(
            folder,
            {"data.export": "scenes.zip", "synthesize.images": 24, "synthesize.seed": 77,
             "synthesize.pool_images": 1,
             "split.ratio": 0.5, "model.input_hw": [256, 448]},
        )  # fmt: skip
        synthesize.main(folder / "scenes.zip", folder / "pool.zip")
        ingest.main(None, folder / "dataset")
        split.main(
            folder / "dataset/annotations.json",
            folder / "split", folder / "folds", folder / "data.json",
        )  # fmt: skip
    frames = folder / "split/val.json", folder / "dataset"
    point = folder / "operating_point.json"
    write_json(point, with_details(operating_point(0.6, {"LP": 0.6}), "confidence"))
    out = folder / "yolox.onnx"
    export.main(ROOT / "models/pretrained.pth", *frames, out, operating_point=point)
    ir.main(folder / "yolox.onnx", *frames, folder / "ir")
    return folder


FRAMES = 30


def write_video(path: Path, codec: str, frames: int = FRAMES) -> None:
    """A white rectangle that moves over noise, 160x96, 25 frames a second."""
    rng = np.random.default_rng(0)
    background = rng.integers(0, 256, (96, 160, 3), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, (160, 96))
    for number in range(frames):
        image_bgr = background.copy()
        left = 4 * number % 120
        cv2.rectangle(image_bgr, (left, 30), (left + 40, 60), (255, 255, 255), cv2.FILLED)
        writer.write(image_bgr)
    writer.release()


@pytest.fixture(scope="session")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    write_video(path, "mp4v")
    return path
