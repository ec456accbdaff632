"""ONNX Runtime on the CPU, always in float32."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from detector.boxes import as_blob
from detector.cores import usable_cores
from detector.model_file import described, unusable
from detector.threaded import ThreadedRequest


class OnnxBackend:
    """An ONNX file in ONNX Runtime.

    Args:
        path: the .onnx file.
        throughput: as many frames at once as there are cores, instead of all cores on one frame.

    Attributes:
        labels: class names.
        input_hw: height and width of the model's input.
        in_flight: how many requests keep all cores busy.

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
        self.in_flight = at_once + 1
        self.workers = ThreadPoolExecutor(at_once, "onnx")

    def infer(self, canvas_bgr: np.ndarray) -> np.ndarray:
        """uint8 [*input_hw, 3] to float32 [4 + classes, anchors], see `find_boxes`."""
        return self.session.run(None, {self.input_name: as_blob(canvas_bgr)})[0][0]

    def new_request(self) -> ThreadedRequest:
        return ThreadedRequest(self.infer, self.workers, self.input_hw)

    def close(self) -> None:
        """Ends the threads; requests that were started finish before."""
        self.workers.shutdown()
