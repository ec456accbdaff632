"""ONNX Runtime on the CPU, always in float32."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from detector.core.backend import FunctionRequest
from detector.core.boxes import as_blob
from detector.core.cpu import usable_cores
from detector.runtime.model_file import labels_and_input_hw, read_operating_point, unusable

TYPES = {"tensor(float)": "f32"}


class OnnxBackend:
    """An ONNX file in ONNX Runtime, as a `Backend`.

    Args:
        path: the .onnx file.
        throughput: one frame per core at the same time, instead of all cores on one frame.

    Raises:
        ModelError: the file cannot be read or is not a detector of this project.
    """

    precision, saturates = "f32", False

    def __init__(self, path: Path, throughput: bool = False):
        options = onnxruntime.SessionOptions()
        workers = usable_cores() if throughput else 1
        options.intra_op_num_threads = 1 if throughput else usable_cores()
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise unusable(path, error) from error
        stored = self.session.get_modelmeta().custom_metadata_map
        ports = self.session.get_inputs(), self.session.get_outputs()
        inputs, outputs = ([(TYPES.get(p.type, p.type), p.shape) for p in side] for side in ports)
        self.labels, self.input_hw = labels_and_input_hw(
            path, stored.get("labels", ""), inputs, outputs
        )
        self.operating_point = read_operating_point(
            path, stored.get("operating_point", ""), self.labels
        )
        self.input_name = ports[0][0].name
        self.num_requests = workers + 1
        self.workers = ThreadPoolExecutor(workers, "onnx")

    def infer(self, canvas_bgr: np.ndarray) -> np.ndarray:
        """Map uint8 [*input_hw, 3] to float32 [4 + classes, anchors], see `postprocess`."""
        return self.session.run(None, {self.input_name: as_blob(canvas_bgr)})[0][0]

    def new_request(self) -> FunctionRequest:
        return FunctionRequest(self.infer, self.input_hw, self.workers)

    def close(self) -> None:
        self.workers.shutdown()
