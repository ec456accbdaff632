"""A model in a runtime, as `FrameDetector` uses it."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Protocol

import numpy as np


class ModelError(ValueError):
    """A model that cannot be loaded, is not a detector of this project, or computes nonsense."""


class Request(Protocol):
    """One frame on its way through a model."""

    canvas_bgr: np.ndarray  # uint8 [*input_hw, 3]; write a letterboxed frame to it before `start`
    infer_ms: float  # of the last inference

    def start(self) -> None: ...

    def output(self) -> np.ndarray:
        """Wait for the output, float32 [4 + classes, anchors], which the next start overwrites."""


class Backend(Protocol):
    """A loaded model."""

    labels: list[str]
    input_hw: tuple[int, int]
    precision: str  # of its convolutions, most frequent first: f32, bf16, i8+bf16
    num_requests: int  # number of requests that keep all cores busy

    def new_request(self) -> Request: ...

    def close(self) -> None:
        """End the threads of the backend, after the requests that were started."""


class FunctionRequest:
    """A request for runtimes that have none of their own: it calls a function.

    Args:
        infer: maps uint8 [*input_hw, 3] to float32 [4 + classes, anchors]; thread-safe.
        input_hw: height and width of the model's input.
        executor: threads that call it; None calls it within `start`.
    """

    def __init__(
        self,
        infer: Callable[[np.ndarray], np.ndarray],
        input_hw: tuple[int, int],
        executor: Executor | None = None,
    ):
        self.infer, self.executor, self.infer_ms = infer, executor, 0.0
        self.canvas_bgr = np.empty((*input_hw, 3), np.uint8)
        self.result: Future[np.ndarray]

    def start(self) -> None:
        if self.executor:
            self.result = self.executor.submit(self.run)
        else:
            self.result = Future()
            self.result.set_result(self.run())

    def run(self) -> np.ndarray:
        started = time.perf_counter()
        output = self.infer(self.canvas_bgr)
        self.infer_ms = (time.perf_counter() - started) * 1e3
        return output

    def output(self) -> np.ndarray:
        return self.result.result()


def raw_output(backend: Backend, canvas_bgr: np.ndarray) -> np.ndarray:
    """Run a backend on a letterboxed frame, uint8 [*input_hw, 3].

    Returns:
        A copy of its output, float32 [4 + classes, anchors], see `boxes.postprocess`.
    """
    request = backend.new_request()
    request.canvas_bgr[:] = canvas_bgr
    request.start()
    return request.output().copy()
