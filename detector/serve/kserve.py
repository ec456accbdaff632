"""KServe's Open Inference Protocol (V2) over HTTP, with its binary tensors.

A model takes the letterboxed frame, and gives what `boxes.postprocess` reads. The protocol:
https://github.com/kserve/open-inference-protocol, `specification/protocol/inference_rest.md`;
tensors after the JSON: Triton's `extension_binary_data.md`.
"""

import json
import re
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError

from detector.core.backend import ModelError
from detector.core.boxes import anchor_count
from detector.core.frame_detector import FrameDetector

if TYPE_CHECKING:
    from detector.serve.api import Service

SERVER = {"name": "cpu-detector", "version": "2", "extensions": ["binary_tensor_data"]}
INPUT, OUTPUT = "images", "output"  # as in the model's file
LENGTH = "Inference-Header-Content-Length"
TENSORS = {"application/json": {}, "application/octet-stream": {}}


class InputTensor(BaseModel):
    """A tensor in `data`, row by row, nested or not; or after the JSON in `binary_data_size`."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list | None = None


class OutputTensor(BaseModel):
    """A tensor that is wanted, with `binary_data` after the JSON."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(BaseModel):
    """A request; `binary_data_output` in its parameters is the outputs' default."""

    id: str | None = None
    parameters: dict[str, Any] = {}
    inputs: list[InputTensor]
    outputs: list[OutputTensor] | None = None


def add_kserve(api: FastAPI, service: "Service") -> None:
    """Add the paths of the protocol, those of one version of each model."""

    def found(name: str) -> FrameDetector:
        if name not in service.detectors:
            known = ", ".join(service.detectors)
            raise HTTPException(404, f"there is no model {name}; expected {known}")
        return service.detectors[name]

    @api.get("/v2")
    async def server() -> dict:
        return SERVER

    @api.get("/v2/health/live")
    async def live() -> dict:
        return {"live": True}

    @api.get("/v2/health/ready")
    async def ready() -> dict:
        return {"ready": True}  # it answers when the models are loaded

    @api.get("/v2/models/{name}")
    async def model(name: str) -> dict:
        return metadata(name, found(name))

    @api.get("/v2/models/{name}/ready")
    async def model_ready(name: str) -> dict:
        found(name)
        return {"name": name, "ready": True}

    @api.post("/v2/models/{name}/infer", openapi_extra={"requestBody": {"content": TENSORS}})
    async def infer(name: str, request: Request) -> Response:
        """Run a model on a letterboxed frame."""
        detector, body = found(name), await request.body()
        header = request.headers.get(LENGTH)
        response = await service.run(infer_tensors, name, detector, body, header)
        service.metrics.inferences.labels(name).inc()
        return response


def metadata(name: str, detector: FrameDetector) -> dict:
    """Describe a model as the protocol does, with what its boxes need among the parameters."""
    backend = detector.backend
    shapes = [1, *backend.input_hw, 3], output_shape(detector)
    return {
        "name": name,
        "platform": "cpu-detector",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": shapes[0]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": shapes[1]}],
        "parameters": {
            "labels": backend.labels,
            "confidence": np.round(np.float64(detector.confidence), 4).tolist(),
            "iou": detector.iou,
        },
    }


def output_shape(detector: FrameDetector) -> list[int]:
    backend = detector.backend
    return [1, 4 + len(backend.labels), anchor_count(backend.input_hw)]


def infer_tensors(name: str, detector: FrameDetector, body: bytes, header: str | None) -> Response:
    """Answer an inference request.

    Args:
        name: the model's name.
        detector: the model.
        body: the JSON, and binary tensors after it.
        header: bytes of the JSON as the header says; None: all.
    """
    asked, tensors = parsed(body, header)
    canvas_bgr = read_input(asked.inputs, tensors, [1, *detector.backend.input_hw, 3])
    binary = wants_binary(asked)
    output = raw_output(detector, canvas_bgr)
    answer = {"name": OUTPUT, "datatype": "FP32", "shape": [1, *output.shape]}
    reply = {"model_name": name, "outputs": [answer], **({"id": asked.id} if asked.id else {})}
    if binary:
        answer["parameters"] = {"binary_data_size": output.nbytes}
        text = json.dumps(reply).encode()
        headers = {LENGTH: str(len(text))}
        return Response(text + output.tobytes(), 200, headers, "application/octet-stream")
    if not np.isfinite(output).all():
        raise ModelError("the model computes numbers that are not finite, which JSON cannot hold")
    answer["data"] = output.ravel().tolist()
    return JSONResponse(reply)


def parsed(body: bytes, header: str | None) -> tuple[InferRequest, memoryview]:
    """Split a body into its JSON, checked, and the bytes after it."""
    given = str(len(body)) if header is None else header
    length = int(given) if re.fullmatch("[0-9]{1,9}", given) else -1
    if not 0 <= length <= len(body):
        raise HTTPException(400, f"{LENGTH} is {header}; the body has {len(body)} bytes")
    try:
        asked = InferRequest.model_validate_json(body[:length])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        raise HTTPException(400, f"{place}: {first['msg']}") from error
    return asked, memoryview(body)[length:]


def read_input(inputs: list[InputTensor], tensors: memoryview, shape: list[int]) -> np.ndarray:
    """Return the only input, uint8 of this shape without the first axis."""
    if [tensor.name for tensor in inputs] != [INPUT]:
        raise HTTPException(400, f"the model has one input, {INPUT}")
    (tensor,) = inputs
    if (tensor.datatype, tensor.shape) != ("UINT8", shape):
        given = f"{tensor.datatype} {tensor.shape}"
        raise HTTPException(400, f"{INPUT} is {given}; expected UINT8 {shape}")
    check_known(tensor.parameters, "binary_data_size")
    count, size = int(np.prod(shape)), tensor.parameters.get("binary_data_size")
    if tensor.data is not None and size is None and not tensors:
        values = numbers(tensor.data)
    elif tensor.data is None and size == len(tensors):
        values = np.frombuffer(tensors, np.uint8)
    else:
        raise HTTPException(400, f"{INPUT} needs either data or binary_data_size bytes after it")
    if values.size != count:
        raise HTTPException(400, f"{INPUT} has {values.size} values; expected {count}")
    return values.reshape(shape[1:])


def numbers(data: list) -> np.ndarray:
    """Convert a list, nested or not, of integers from 0 to 255 to uint8."""
    try:
        values = np.array(data)
    except (ValueError, OverflowError) as error:  # lists of different lengths
        raise HTTPException(400, f"{INPUT} is no tensor: {error}") from error
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
        raise HTTPException(400, f"{INPUT} holds something else than integers from 0 to 255")
    return values.astype(np.uint8)


def wants_binary(asked: InferRequest) -> bool:
    """Return whether the only output shall follow the JSON."""
    default = asked.parameters.get("binary_data_output", False)
    if not asked.outputs:
        return bool(default)
    if [tensor.name for tensor in asked.outputs] != [OUTPUT]:
        raise HTTPException(400, f"the model has one output, {OUTPUT}")
    check_known(asked.outputs[0].parameters, "binary_data")
    return bool(asked.outputs[0].parameters.get("binary_data", default))


def check_known(parameters: dict[str, Any], name: str) -> None:
    """Refuse what would change the tensors: shared memory, classification."""
    if others := sorted(set(parameters) - {name}):
        raise HTTPException(400, f"the parameter {others[0]} is not supported")


def raw_output(detector: FrameDetector, canvas_bgr: np.ndarray) -> np.ndarray:
    """Run a model in one of its detector's requests; return a copy of its output."""
    request, thread = detector.take_request(), threading.get_ident()
    try:
        request.canvas_bgr[:] = canvas_bgr
        request.start()
        return request.output().copy()
    finally:
        detector.give_back(request, thread)
