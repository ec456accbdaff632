"""The model card beside the INT8 model: files, sources and parameters."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import yaml

from detector.core.backend import Backend
from detector.core.cpu import instruction_sets, saturates
from detector.core.frame_detector import CONFIDENCE
from detector.runtime.model_file import IR_FILE
from stages.common.files import as_markdown, size_mb
from stages.common.metrics import describe_operating_point
from stages.common.params import Params
from stages.conversion.layer_groups import layer_name

TEXT = """# YOLOX in INT8

{name} for {labels}, input {height}x{width} (BGR, 0 to 255, letterboxed to the top left with 114).
Output: `[1, 4 + classes, anchors]`, center, width and height in pixels of the input, then a score
for each class. Use it with `detector.Detector`, with OpenVINO ModelAPI
(`Model.create_model`), or with any program that reads `model_info` of an OpenVINO IR.

| file | MB | SHA-256 |
| --- | ---: | --- |
{files}

{confidence}

Quantized by NNCF {nncf}, calibrated on {images} train images. Convolutions that stay float: {kept}.
Made on a processor with {isa}; {sums}

| made from | SHA-256 |
| --- | --- |
{sources}

Its accuracy and speed are in metrics/report.md of the repository that made it. Parameters:

```yaml
{params}```
"""

SUMS = {
    False: "without VNNI, sums of INT8 products may saturate: measure accuracy there again.",
    True: "it adds INT8 products in 16 bits, and the accuracy in the report includes that.",
}


def model_card(
    folder: Path,
    sources: dict[str, Path],
    images: int,
    backend: Backend,
    params: Params,
    kept_float: list[str],
) -> str:
    """Return the card in Markdown.

    Args:
        folder: holds the INT8 model.
        sources: files that it was made from, by their description.
        images: number of calibration images.
        backend: the float model, for labels, input and operating point.
        params: all parameters; those of model, train and quantize are listed.
        kept_float: names of convolutions that are not quantized.
    """
    files = [folder / IR_FILE, (folder / IR_FILE).with_suffix(".bin")]
    sections = {name: getattr(params, name).model_dump() for name in ("model", "train", "quantize")}
    height, width = backend.input_hw
    return TEXT.format(
        name=params.model.name,
        labels=as_markdown(", ".join(backend.labels)),
        height=height,
        width=width,
        files="\n".join(f"| {path.name} | {size_mb(path)} | `{sha256(path)}` |" for path in files),
        confidence=as_markdown(confidence_of(backend)),
        nncf=version("nncf"),
        images=images,
        isa=" ".join(instruction_sets()) or "unknown instruction sets",
        sums=SUMS[saturates(instruction_sets())],
        kept=", ".join(map(layer_name, kept_float)) or "none",
        sources="\n".join(f"| {text} | `{sha256(path)}` |" for text, path in sources.items()),
        params=yaml.safe_dump(sections, sort_keys=False, default_flow_style=None),
    )


def confidence_of(backend: Backend) -> str:
    """Say which confidence the model reports from, and what to expect with it."""
    point = backend.operating_point
    if not point:
        return f"It names no confidence to report from; a detector takes {CONFIDENCE}."
    return f"{describe_operating_point(point)} PyTorch in float32, chosen by {point['chosen_by']}."


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
