"""ONNX Runtime on the CPU, always in float32."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from detector.core.boxes import as_blob
from detector.core.cpu import usable_cores
from detector.core.requests import FunctionRequest
from detector.runtime.model_file import described, unusable


class OnnxBackend:
    """An ONNX file in ONNX Runtime.

    Args:
        path: the .onnx file.
        throughput: as many frames at once as there are cores, instead of all cores on one frame.

    Attributes:
        labels: class names.
        input_hw: height and width of the model's input.
        num_requests: how many requests keep all cores busy.

    Raises:
        ModelError: the file cannot be read or is not a detector of this project.
    """

    precision = "f32"

    def __init__(self, path: Path, throughput: bool = False):
        options = onnxruntime.SessionOptions()
        at_once = usable_cores() if throughput else 1
        options.intra_op_num_threads = 1 if throughput else usable_cores()
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise unusable(path, error) from error
        self.metadata_labels = self.session.get_modelmeta().custom_metadata_map.get("labels", "")
        (image,), (output,) = self.session.get_inputs(), self.session.get_outputs()
        self.labels, self.input_hw = described(
            path, self.metadata_labels, image.shape, output.shape
        )
        self.input_name = image.name
        self.num_requests = at_once + 1
        self.workers = ThreadPoolExecutor(at_once, "onnx")

    def infer(self, canvas_bgr: np.ndarray) -> np.ndarray:
        """uint8 [*input_hw, 3] to float32 [4 + classes, anchors], see `postprocess`."""
        return self.session.run(None, {self.input_name: as_blob(canvas_bgr)})[0][0]

    def new_request(self) -> FunctionRequest:
        return FunctionRequest(self.infer, self.input_hw, self.workers)

    def close(self) -> None:
        """Ends the threads; requests that were started finish before."""
        self.workers.shutdown()
