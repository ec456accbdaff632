"""Requests for runtimes that have none of their own: `infer` in a thread."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np


class ThreadedRequest:
    """One frame on its way through a model.

    Args:
        infer: uint8 [*input_hw, 3] to float32 [4 + classes, anchors]; several threads may call it.
        workers: threads that call it.
        input_hw: height and width of the model's input.
    """

    def __init__(
        self,
        infer: Callable[[np.ndarray], np.ndarray],
        workers: ThreadPoolExecutor,
        input_hw: tuple[int, int],
    ):
        self.infer, self.workers = infer, workers
        self.canvas_bgr = np.empty((*input_hw, 3), np.uint8)
        self.done: Future[np.ndarray]
        self.infer_ms = 0.0

    def start(self) -> None:
        self.done = self.workers.submit(self.run)

    def run(self) -> np.ndarray:
        started = time.perf_counter()
        output = self.infer(self.canvas_bgr)
        self.infer_ms = (time.perf_counter() - started) * 1e3
        return output

    def output(self) -> np.ndarray:
        """Waits; float32 [4 + classes, anchors]."""
        return self.done.result()
