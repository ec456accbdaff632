"""The runtimes behind one interface: a letterboxed frame goes in, boxes and scores come out.

A model file carries what is needed to use it: its input shape, and its class names (ONNX: the
metadata entry `labels`; OpenVINO IR: rt_info `detector/labels`; both a JSON list). An IR also
names the SHA-256 of its weights, rt_info `detector/bin_sha256`.
"""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np

from detector.boxes import anchor_count
from detector.errors import ModelError

IR_FILE = "yolox.xml"
BIN_SHA256 = re.compile(rb'<bin_sha256 value="([0-9a-f]{64})"')


class OpenVinoBackend:
    """An OpenVINO IR (.xml with its .bin beside it) on the CPU.

    Args:
        path: the .xml file, or the folder that `ir` and `quantize` write.
        precision: "f32" for results that compare between machines, or None for what OpenVINO
            chooses here: bfloat16 where the processor has it, whatever the IR stores.
        hint: OpenVINO's PERFORMANCE_HINT, LATENCY (all cores on one frame) or THROUGHPUT.

    Raises:
        ModelError: the file cannot be read or is not a detector of this project.
    """

    def __init__(self, path: Path, precision: str | None = None, hint: str = "LATENCY"):
        import openvino as ov

        path = path / IR_FILE if path.is_dir() else path
        core = ov.Core()
        options = {"PERFORMANCE_HINT": hint}
        if precision:
            options["INFERENCE_PRECISION_HINT"] = precision
        try:
            refuse_other_weights(path)
            model = core.read_model(path)
            stored = model.get_rt_info(["detector", "labels"]).astype(str)
            self.compiled = core.compile_model(model, "CPU", options)
        except (RuntimeError, OSError) as error:
            raise ModelError(unusable(path, error)) from error
        self.labels, self.input_hw = described(
            path, stored, self.compiled.input(0).shape, self.compiled.output(0).shape
        )
        self.precision = convolution_precision(self.compiled)
        self.request = self.compiled.create_infer_request()

    def infer(self, blob: np.ndarray) -> np.ndarray:
        """float32 [1, 3, *input_hw] to float32 [4 + classes, anchors], see `find_boxes`."""
        return self.request.infer({0: blob})[0][0].copy()


class OnnxBackend:
    """An ONNX file in ONNX Runtime on the CPU, always in float32.

    Raises:
        ModelError: the file cannot be read or is not a detector of this project.
    """

    precision = "f32"

    def __init__(self, path: Path):
        import onnxruntime

        try:
            self.session = onnxruntime.InferenceSession(
                str(path), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(unusable(path, error)) from error
        self.metadata_labels = self.session.get_modelmeta().custom_metadata_map.get("labels", "")
        self.input_name = self.session.get_inputs()[0].name
        self.labels, self.input_hw = described(
            path,
            self.metadata_labels,
            self.session.get_inputs()[0].shape,
            self.session.get_outputs()[0].shape,
        )

    def infer(self, blob: np.ndarray) -> np.ndarray:
        """float32 [1, 3, *input_hw] to float32 [4 + classes, anchors], see `find_boxes`."""
        return self.session.run(None, {self.input_name: blob})[0][0]


def convolution_precision(compiled) -> str:
    """What a compiled model's convolutions compute in, most of them first: f32, bf16, i8+bf16.

    Read from the kernels that were chosen (`brgconv_avx512_amx_bf16`): the precision hint does
    not know of INT8, and a node's `runtimePrecision` names how its weights are stored.
    """
    kernels = [
        op.get_rt_info()["primitiveType"].astype(str).lower()
        for op in compiled.get_runtime_model().get_ops()
        if "Convolution" in op.get_rt_info()["layerType"].astype(str)
    ]
    counted = Counter(kernel.rsplit("_", 1)[-1] for kernel in kernels)
    return "+".join(name for name, _ in counted.most_common())


def refuse_other_weights(path: Path) -> None:
    """Keeps OpenVINO from weights that are cut, or belong to another .xml.

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


def load_backend(path: Path, precision: str | None = None) -> OpenVinoBackend | OnnxBackend:
    """Loads a model by its suffix: .onnx in ONNX Runtime; .xml, or its folder, in OpenVINO.

    Raises:
        ModelError: unknown suffix, missing file, or not a detector of this project.
    """
    if not path.exists():
        raise ModelError(f"{path} does not exist; expected a .xml or .onnx model")
    if path.suffix == ".xml" or path.is_dir():
        return OpenVinoBackend(path, precision)
    if path.suffix == ".onnx":
        return OnnxBackend(path)
    raise ModelError(f"{path} has an unknown suffix; expected a .xml or .onnx model")


def described(
    path: Path, stored_labels: str, input_shape: list, output_shape: list
) -> tuple[list[str], tuple[int, int]]:
    """Class names and input_hw of a model, after its shapes were found to fit each other."""
    try:
        labels = json.loads(stored_labels)
        batch, channels, height, width = input_shape
        fits = (batch, channels) == (1, 3) and tuple(output_shape) == (
            1,
            4 + len(labels),
            anchor_count((height, width)),
        )
    except (ValueError, TypeError):
        fits = False
    if not fits:
        raise ModelError(
            f"{path} takes {list(input_shape)} and gives {list(output_shape)} with labels "
            f"{stored_labels!r}; expected a model that this project exported"
        )
    return labels, (height, width)


def unusable(path: Path, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return f"{path} cannot be used ({reason}); write it again with `dvc repro`"
