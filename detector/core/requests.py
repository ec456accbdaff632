"""Requests for runtimes that have none of their own: they call a function."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future

import numpy as np


class FunctionRequest:
    """One frame on its way through a function that runs the model.

    Args:
        infer: uint8 [*input_hw, 3] to float32 [4 + classes, anchors]; thread-safe.
        input_hw: height and width of the model's input.
        executor: threads that call it; None calls it within `start`.
    """

    def __init__(
        self,
        infer: Callable[[np.ndarray], np.ndarray],
        input_hw: tuple[int, int],
        executor: Executor | None = None,
    ):
        self.infer, self.executor = infer, executor
        self.canvas_bgr = np.empty((*input_hw, 3), np.uint8)
        self.result: Future[np.ndarray]
        self.infer_ms = 0.0

    def start(self) -> None:
        if self.executor:
            self.result = self.executor.submit(self.run)
            return
        self.result = Future()
        self.result.set_result(self.run())

    def run(self) -> np.ndarray:
        started = time.perf_counter()
        output = self.infer(self.canvas_bgr)
        self.infer_ms = (time.perf_counter() - started) * 1e3
        return output

    def output(self) -> np.ndarray:
        """Wait for the output, float32 [4 + classes, anchors]."""
        return self.result.result()
