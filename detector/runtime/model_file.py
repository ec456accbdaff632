"""The facts that a model file of this project carries, checked before anything runs on it.

Its input shape, its class names (ONNX: the metadata entry `labels`; OpenVINO IR: rt_info
`detector/labels`; both a JSON list), and its operating point (`operating_point`, what the stage of
that name chose, as JSON; models of folds have none). An IR also names the SHA-256 of its weights,
rt_info `detector/bin_sha256`, and in INT8 the instruction sets of the processor that it was made
and measured on, `detector/made_on`.
"""

import hashlib
import json
import re
from pathlib import Path

from detector.core.backend import ModelError
from detector.core.boxes import anchor_count

IR_FILE = "yolox.xml"
BIN_SHA256 = re.compile(rb'<bin_sha256 value="([0-9a-f]{64})"')


def labels_and_input_hw(
    path: Path,
    stored_labels: str,
    inputs: list[tuple[str, list]],
    outputs: list[tuple[str, list]],
) -> tuple[list[str], tuple[int, int]]:
    """Return class names and input_hw of a model whose labels and shapes fit each other.

    Args:
        path: for the message.
        stored_labels: a JSON list of texts.
        inputs: type and shape of each; expected is one, ("f32", [1, 3, height, width]).
        outputs: likewise; expected is one, ("f32", [1, 4 + classes, anchors]).

    Raises:
        ModelError: they do not fit.
    """
    labels = parse(stored_labels)
    if is_labels(labels) and len(inputs) == 1 and inputs[0][1][:2] == [1, 3]:
        input_hw = tuple(inputs[0][1][2:])
        if all(isinstance(side, int) and side > 0 for side in input_hw) and len(input_hw) == 2:
            expected = [1, 4 + len(labels), anchor_count(input_hw)]
            if inputs[0][0] == "f32" and outputs == [("f32", expected)]:
                return labels, input_hw
    takes, gives = (
        " and ".join(f"{kind} {shape}" for kind, shape in ports) for ports in (inputs, outputs)
    )
    raise ModelError(
        f"{path} takes {takes or 'nothing'} and gives {gives or 'nothing'} with labels "
        f"{stored_labels[:80]!r}; expected a model that this project exported"
    )


def is_labels(value: object) -> bool:
    """Return whether a value is a list of texts that can be printed."""
    try:
        return isinstance(value, list) and bool("".join(value).encode())
    except (TypeError, UnicodeEncodeError):
        return False


def parse(stored: str) -> object:
    """Parse JSON; return None for what is none, or is nested too deep."""
    try:
        return json.loads(stored)
    except (ValueError, RecursionError):
        return None


def read_operating_point(path: Path, stored: str, labels: list[str]) -> dict | None:
    """Return the operating point of a model; None if it has none.

    Args:
        path: for the message.
        stored: JSON, or "".
        labels: class names, each of which needs a confidence.

    Raises:
        ModelError: a confidence is missing, or not a number from 0 to 1.
    """
    if not stored:
        return None
    point = parse(stored)
    try:
        fits = all(0 <= value <= 1 for value in [point["confidence"], *confidences(point, labels)])
    except (ValueError, TypeError, KeyError):
        fits = False
    if not fits:
        raise ModelError(
            f"{path} has the operating point {stored[:80]!r}; expected a confidence from 0 to 1 "
            f"for each of {labels}; write it again with `dvc repro`"
        )
    return point


def confidences(point: dict, labels: list[str]) -> list[float]:
    """List the confidence of each class from an operating point."""
    return [point["per_class"][label]["confidence"] for label in labels]


def check_weights(path: Path) -> None:
    """Keep OpenVINO from weights that are cut, or belong to another .xml.

    Raises:
        ModelError: the .xml names no weights, or others than those beside it.
        OSError: a file is missing.
    """
    named = BIN_SHA256.search(path.read_bytes())
    weights = path.with_suffix(".bin")
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if not named or named[1].decode() != found:
        raise ModelError(
            f"{weights} does not belong to {path.name}: one of them was cut, or comes from another "
            "model; copy both files again, or write them with `dvc repro`"
        )


def unusable(path: Path, error: Exception) -> ModelError:
    """Return the error of a runtime about a file in one line."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return ModelError(f"{path} cannot be used ({reason}); write it again with `dvc repro`")
