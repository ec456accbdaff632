"""The page, pictures in and boxes out, and metrics. kserve.py has the tensors."""

import asyncio
import copy
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from detector.core.backend import ModelError
from detector.core.frame_detector import FrameDetector
from detector.serve.kserve import add_kserve
from detector.serve.metrics import Metrics
from detector.serve.picture import decode_upload
from detector.video.sinks import record
from detector.video.sources import Frame

T = TypeVar("T")
PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
PICTURE = {"schema": {"type": "string", "format": "binary"}}
BODY = {"requestBody": {"required": True, "content": {"image/*": PICTURE}}}


class Box(BaseModel):
    """An object: x0, y0, x1, y1 in pixels of the upright picture, a score 0..1, and its label."""

    box_xyxy: tuple[float, float, float, float]
    score: float
    label: str


class Answer(BaseModel):
    """The objects in a picture by a model: a line of `detect --json`, its name and its time.

    `confidence` is the lowest score that the model itself would report, `steps_ms` has the
    milliseconds of decode, pre, infer and post, and `compare` what the second model found.
    """

    source: str
    frame: int
    time_s: float
    detections: list[Box]
    model: str
    confidence: float
    steps_ms: dict[str, float]
    compare: "Answer | None"


@dataclass
class Service:
    """The models by their names, the first one first, and the threads that run them."""

    detectors: dict[str, FrameDetector]
    threads: Executor
    metrics: Metrics

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *arguments)

    def detect(self, data: bytes, confidence: float | None) -> dict:
        """Decode a picture and run every model on it; return an `Answer`."""
        started = time.perf_counter()
        image_bgr = decode_upload(data)
        read_at = time.perf_counter()
        frame = Frame("upload", 0, 0.0, image_bgr, (read_at - started) * 1e3, read_at)
        answer = None
        for name, detector in reversed(self.detectors.items()):
            found = at_confidence(detector, confidence)(image_bgr)
            self.metrics.inferences.labels(name).inc()
            steps_ms = {"decode": frame.decode_ms, **found.steps_ms}
            answer = {
                **record(frame, found), "model": name,
                "confidence": round(float(np.min(detector.confidence)), 4),
                "steps_ms": {step: round(ms, 2) for step, ms in steps_ms.items()},
                "compare": answer,
            }  # fmt: skip
        return answer


def build_api(service: Service) -> FastAPI:
    """Define what is answered. There are no pages of documentation: FastAPI's load from a CDN."""
    api = FastAPI(
        title="detect --serve", version="1", docs_url=None, redoc_url=None,
        exception_handlers={
            StarletteHTTPException: lambda _, error: failed(error.status_code, error.detail),
            RequestValidationError: lambda _, error: failed(400, one_line(error)),
            ModelError: lambda _, error: failed(500, str(error)),
            ClientDisconnect: lambda *_: failed(400, "the request was cut off"),
        },
    )  # fmt: skip
    add_page(api)
    add_kserve(api, service)

    @api.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Return counts of requests and inferences, times, and the queue's length."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @api.post("/detect", response_model=Answer, openapi_extra=BODY)
    async def detect(
        request: Request, confidence: Annotated[float | None, Query(ge=0, le=1)] = None
    ) -> Response:
        """Find objects in the picture of the body. Without `confidence` it is the model's own."""
        if not request.headers.get("content-type", "").startswith("image/"):
            raise HTTPException(415, "send the bytes of a picture with Content-Type: image/jpeg")
        return JSONResponse(await service.run(service.detect, await request.body(), confidence))

    return api


def failed(status: int, error: str) -> Response:
    return JSONResponse({"error": error}, status)


def one_line(error: RequestValidationError) -> str:
    return "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())


def add_page(api: FastAPI) -> None:
    """Serve the page's files, which are read once: no path of a request leads to a file."""
    for path, (name, kind) in FILES.items():
        api.add_route(path, always(Response((PAGE / name).read_bytes(), media_type=kind)))


def always(response: Response) -> Callable:
    async def answer(_: Request) -> Response:
        return response

    return answer


def at_confidence(detector: FrameDetector, confidence: float | None) -> FrameDetector:
    """Return the same detector, sharing its requests, with another confidence or its own."""
    if confidence is None:
        return detector
    other = copy.copy(detector)
    other.confidence = confidence
    return other
