"""OpenVINO on the CPU: an IR, compiled so that the bytes of a frame go in as they are."""

from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openvino as ov
from openvino.preprocess import PrePostProcessor

from detector.core.cpu import cores_of_quota, instruction_sets, saturates
from detector.runtime.model_cache import model_cache
from detector.runtime.model_file import (
    IR_FILE,
    check_weights,
    labels_and_input_hw,
    read_operating_point,
    unusable,
)


class OpenVinoBackend:
    """An OpenVINO IR (.xml with its .bin beside it) on the CPU, as a `Backend`.

    Args:
        path: the .xml file, or the folder that `ir` and `quantize` write.
        precision: "f32" for results that compare between machines; None leaves the choice to
            OpenVINO: bfloat16 where the processor has it, whatever the IR stores.
        throughput: several frames at once, a core or more each, instead of all cores on one frame.
        cache_dir: folder for compiled models, which makes the next start faster.

    Attributes:
        saturates: sums in INT8 may saturate on this processor, and could not on the one that the
            model was made and measured on.

    Raises:
        ModelError: the file cannot be read or is not a detector of this project.
    """

    def __init__(
        self,
        path: Path,
        precision: str | None = None,
        throughput: bool = False,
        cache_dir: Path | str | None = None,
    ):
        options = {"PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY"}
        if precision:
            options["INFERENCE_PRECISION_HINT"] = precision
        if (cores := cores_of_quota()) is not None:
            options["INFERENCE_NUM_THREADS"] = cores
        ir = compile_ir(path, options, cache_dir)
        self.labels, self.input_hw, self.compiled = ir.labels, ir.input_hw, ir.compiled
        self.operating_point, isa = ir.operating_point, instruction_sets()
        self.saturates = bool(ir.made_on) and saturates(isa) and not saturates(ir.made_on)
        self.num_requests = self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1

    @cached_property
    def precision(self) -> str:
        """Precisions of the convolutions, most frequent first: f32, bf16, i8+bf16.

        Read from the kernels that were chosen (`brgconv_avx512_amx_bf16`): the precision hint does
        not know of INT8, and a node's `runtimePrecision` names how its weights are stored.
        """
        kernels = [
            op.get_rt_info()["primitiveType"].astype(str).lower()
            for op in self.compiled.get_runtime_model().get_ops()
            if "Convolution" in op.get_rt_info()["layerType"].astype(str)
        ]
        counted = Counter(kernel.rsplit("_", 1)[-1] for kernel in kernels)
        return "+".join(name for name, _ in counted.most_common())

    def new_request(self) -> "OpenVinoRequest":
        return OpenVinoRequest(self.compiled)

    def close(self) -> None:
        """Do nothing: OpenVINO frees a model when nothing refers to it."""


class OpenVinoRequest:
    """A request whose canvas is the memory that OpenVINO reads."""

    def __init__(self, compiled: ov.CompiledModel):
        self.request = compiled.create_infer_request()
        self.canvas_bgr = self.request.get_input_tensor().data[0]
        self.outputs = self.request.get_output_tensor().data

    def start(self) -> None:
        self.request.start_async()

    def output(self) -> np.ndarray:
        self.request.wait()
        return self.outputs[0]

    @property
    def infer_ms(self) -> float:
        return self.request.latency


class CompiledIr(NamedTuple):
    """An IR, ready for frames as uint8 [1, height, width, 3], and what its file says of it.

    Attributes:
        operating_point: the stored confidence and what it gives; None without one.
        made_on: instruction sets of the processor that an INT8 model was made on; else empty.
    """

    labels: list[str]
    input_hw: tuple[int, int]
    operating_point: dict | None
    made_on: list[str]
    compiled: ov.CompiledModel


def compile_ir(path: Path, options: dict, cache_dir: Path | str | None = None) -> CompiledIr:
    """Check an IR and compile it.

    Transposition and conversion to float become part of the model: with INT8 the first convolution
    reads the bytes.

    Raises:
        ModelError: the file cannot be read or is not a detector of this project.
    """
    path = path / IR_FILE if path.is_dir() else path
    core = ov.Core()
    try:
        check_weights(path)
        model = core.read_model(path)
        stored = model.get_rt_info(["detector", "labels"]).astype(str)
        stored_point, made_on = (
            model.get_rt_info(key).astype(str) if model.has_rt_info(key) else ""
            for key in (["detector", "operating_point"], ["detector", "made_on"])
        )
        inputs, outputs = (
            [(port.element_type.get_type_name(), list(port.shape)) for port in side]
            for side in (model.inputs, model.outputs)
        )
    except (RuntimeError, OSError) as error:
        raise unusable(path, error) from error
    labels, input_hw = labels_and_input_hw(path, stored, inputs, outputs)
    point = read_operating_point(path, stored_point, labels)
    frames = PrePostProcessor(model)
    frames.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    frames.input().model().set_layout(ov.Layout("NCHW"))
    built = frames.build()
    try:
        with model_cache(cache_dir, path) as folder:
            cached = {**options, "CACHE_DIR": str(folder)} if folder else options
            compiled = core.compile_model(built, "CPU", cached)
    except RuntimeError as error:
        raise unusable(path, error) from error
    return CompiledIr(labels, input_hw, point, made_on.split(), compiled)
