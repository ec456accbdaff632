"""The model card that lies beside the INT8 model: what it is, and what it was made of."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import yaml

from detector.runtime.model_file import IR_FILE
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.common.files import size_mb
from stages.common.params import Params
from stages.conversion.layer_groups import layer_name

TEXT = """# YOLOX in INT8

{name} for {labels}, input {height}x{width} (BGR, 0 to 255, letterboxed to the top left with 114).
Output: `[1, 4 + classes, anchors]`, centre, width and height in pixels of the input, then a score
for each class. Use it with `detector.Detector`, with OpenVINO ModelAPI
(`Model.create_model`), or with any program that reads `model_info` of an OpenVINO IR.

| file | MB | SHA-256 |
| --- | ---: | --- |
{files}

Quantized by NNCF {nncf}, calibrated on {frames} train images. Convolutions that stay float: {kept}.

| made of | SHA-256 |
| --- | --- |
{origins}

What accuracy and speed it has is in metrics/report.md of the repository that made it. Parameters:

```yaml
{params}```
"""


def origins_of(ir: Path, dataset: Path, calibration: Path) -> dict[str, Path]:
    """What an INT8 model is made of: words for a file, and the file."""
    return {
        "the float model, models/ir/yolox.bin": (ir / IR_FILE).with_suffix(".bin"),
        "the images and boxes, data/dataset/annotations.json": dataset / "annotations.json",
        "the calibration list": calibration,
    }


def card(
    int8: Path,
    origins: dict[str, Path],
    frames: int,
    backend: OpenVinoBackend,
    params: Params,
    kept_float: list[str],
) -> str:
    """The text of the card.

    Args:
        int8: the folder with the written model.
        origins: see `origins_of`.
        frames: how many calibration images were used.
        backend: the float model, for labels and input.
        params: all parameters; those of model, train and quantize are listed.
        kept_float: names of convolutions that are not quantized.
    """
    written = [int8 / IR_FILE, (int8 / IR_FILE).with_suffix(".bin")]
    sections = {name: getattr(params, name).model_dump() for name in ("model", "train", "quantize")}
    return TEXT.format(
        name=params.model.name,
        labels=", ".join(backend.labels),
        height=backend.input_hw[0],
        width=backend.input_hw[1],
        files="\n".join(f"| {p.name} | {size_mb(p)} | `{sha256(p)}` |" for p in written),
        origins="\n".join(f"| {words} | `{sha256(path)}` |" for words, path in origins.items()),
        nncf=version("nncf"),
        frames=frames,
        kept=", ".join(map(layer_name, kept_float)) or "none",
        params=yaml.safe_dump(sections, sort_keys=False, default_flow_style=None),
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
