"""`detect --serve` refuses what is no picture, tensor, path or request, and stays well."""

import json
import random
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from fastapi import HTTPException
from served import picture, request_of, status_of, unharmed
from test_detect import png_of

from detector.serve.picture import decode_upload


@pytest.fixture(scope="module")
def served(models):
    with unharmed("--model", models / "int8") as server:
        yield server


def sized(kind: str, width: int, height: int) -> bytes:
    """A small picture whose header claims a size."""
    data = bytearray(cv2.imencode(kind, np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    if kind == ".jpg":
        frame = data.index(b"\xff\xc0") + 5
        data[frame : frame + 4] = struct.pack(">HH", height, width)
    elif kind == ".bmp":
        data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def black_png(width: int, height: int) -> bytes:
    """A complete PNG of few bytes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        sealed = name + content
        return struct.pack(">I", len(content)) + sealed + struct.pack(">I", zlib.crc32(sealed))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


# name: (body, content type, status, what is said)
BODIES = {
    "nothing": (b"", "image/png", 415, "no JPEG, PNG"),
    "text": (b"a" * 1000, "image/png", 415, "no JPEG, PNG"),
    "a form": (b"a=b", "application/x-www-form-urlencoded", 415, "Content-Type: image/jpeg"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 415, "no JPEG"),
    "half a PNG": (png_of(100, 100), "image/png", 415, "cannot be decoded"),
    "a PNG bomb": (png_of(50_000, 50_000), "image/png", 413, "50000x50000; at most 50 megapixels"),
    "a flat PNG bomb": (png_of(2**31 - 1, 1), "image/png", 413, "at most 50 megapixels"),
    "a JPEG bomb": (sized(".jpg", 65_500, 65_500), "image/jpeg", 413, "65500x65500"),
    "a BMP bomb": (sized(".bmp", 100_000, 100_000), "image/bmp", 413, "100000x100000"),
    "a negative BMP": (sized(".bmp", -5, 16), "image/bmp", 413, "at most 50"),
    "a complete bomb": (black_png(8000, 8000), "image/png", 413, "8000x8000"),
    "the largest picture": (black_png(7000, 7000), "image/png", 200, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_bodies(served, case):
    body, kind, status, said = BODIES[case]
    before = served.metric("process_resident_memory_bytes")
    answer = served.ask("/detect", body, content_type=kind)
    assert answer.status == status and said in str(answer.json.get("error", ""))
    assert "\n" not in str(answer.json.get("error"))
    if status != 200:
        assert served.metric("process_resident_memory_bytes") < before + 50e6


@pytest.mark.parametrize("query", ["x", "nan", "-1", "2", "1e999", "", "0.5&confidence=x"])
def test_confidences(served, tiny_dataset, query):
    answer = served.ask(f"/detect?confidence={query}", picture(tiny_dataset))
    assert answer.status == 400 and answer.json["error"].startswith("confidence: ")


def test_pictures_with_broken_bytes_are_decoded_or_refused(tiny_dataset):
    image_bgr, chance = (
        cv2.imdecode(np.frombuffer(picture(tiny_dataset), np.uint8), 1),
        random.Random(0),
    )
    counts = {"decoded": 0, "refused": 0}
    for number in range(200):
        data = bytearray(cv2.imencode((".jpg", ".png", ".webp", ".bmp")[number % 4], image_bgr)[1])
        for _ in range(chance.randint(1, 20)):
            data[chance.randrange(min(len(data), 4000 if number % 3 else 60))] = chance.randrange(
                256
            )
        try:
            assert decode_upload(bytes(data)).dtype == np.uint8
            counts["decoded"] += 1
        except HTTPException:
            counts["refused"] += 1
    assert min(counts.values()) > 20


SHAPE = [1, 64, 96, 3]
COUNT = 64 * 96 * 3


def infer(**changes: object) -> dict:
    tensor = {"name": "images", "shape": SHAPE, "datatype": "UINT8", "data": [7] * COUNT}
    return {"inputs": [{**tensor, **changes}]}


# name: (the request, what is said)
TENSORS = {
    "no JSON": (b"{", "EOF while parsing"),
    "a list": (b"[]", "should be an object"),
    "deep": (b'{"inputs": ' + b"[" * 100_000, "recursion"),
    "no inputs": ({}, "inputs: Field required"),
    "two inputs": ({"inputs": infer()["inputs"] * 2}, "has one input, images"),
    "another name": (infer(name="x"), "has one input, images"),
    "another type": (infer(datatype="FP32"), "images is FP32"),
    "another shape": (infer(shape=[1, 3, 64, 96]), "expected UINT8 [1, 64, 96, 3]"),
    "a batch": (infer(shape=[2, 64, 96, 3]), "expected UINT8 [1, 64, 96, 3]"),
    "a huge shape": (infer(shape=[2**40] * 4), "expected UINT8"),
    "a negative shape": (infer(shape=[1, -64, -96, 3]), "expected UINT8"),
    "too few": (infer(data=[7]), "has 1 values; expected 18432"),
    "too large": (infer(data=[256] * COUNT), "integers from 0 to 255"),
    "negative": (infer(data=[-1] * COUNT), "integers from 0 to 255"),
    "fractions": (infer(data=[0.5] * COUNT), "integers from 0 to 255"),
    "more than 64 bits": (infer(data=[2**70] * COUNT), "integers from 0 to 255"),
    "words": (infer(data=["7"] * COUNT), "integers from 0 to 255"),
    "nothing": (infer(data=[]), "integers from 0 to 255"),
    "ragged": (infer(data=[[1], [1, 2]]), "images is no tensor"),
    "no data": (infer(data=None), "either data or binary_data_size"),
    "both": (infer(parameters={"binary_data_size": 0}), "either data or binary_data_size"),
    "bytes that are not there": (
        infer(data=None, parameters={"binary_data_size": COUNT}), "either data or binary"),
    "shared memory": (
        infer(parameters={"shared_memory_region": "x"}), "shared_memory_region is not supported"),
    "another output": ({**infer(), "outputs": [{"name": "x"}]}, "has one output, output"),
    "classification": (
        {**infer(), "outputs": [{"name": "output", "parameters": {"classification": 3}}]},
        "classification is not supported"),
}  # fmt: skip


@pytest.mark.parametrize("case", TENSORS)
def test_tensors(served, case):
    asked, said = TENSORS[case]
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    answer = served.ask("/v2/models/int8/infer", body)
    assert answer.status == 400 and said in answer.json["error"]


@pytest.mark.parametrize(
    ("header", "size", "extra"),
    [("-1", COUNT, COUNT), ("99999999", COUNT, COUNT), ("9" * 5000, COUNT, COUNT),
     ("x", COUNT, COUNT), ("²", COUNT, COUNT), ("0", COUNT, COUNT), (None, COUNT, COUNT),
     ("own", COUNT, COUNT - 1), ("own", COUNT - 1, COUNT), ("own", COUNT - 1, COUNT - 1),
     ("own", "all", COUNT), ("own", -1, COUNT), ("own", True, COUNT)],
)  # fmt: skip
def test_binary_tensors(served, header, size, extra):
    asked = json.dumps(infer(data=None, parameters={"binary_data_size": size})).encode()
    given = {} if header is None else {
        "inference_header_content_length": str(len(asked)) if header == "own" else header
    }  # fmt: skip
    answer = served.ask("/v2/models/int8/infer", asked + bytes(extra), **given)
    assert answer.status == 400 and "\n" not in answer.json["error"]


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/page/../app.py", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
     "/page.html", "/app.py", "/v2/models/../../metrics", "/v2/models/int8%00/ready",
     "/v2/models/%2fetc%2fpasswd", "/detect/", "/\\..\\app.py", "/" + "a" * 9000],
)  # fmt: skip
def test_no_path_leads_anywhere_else(served, path):
    connection = served.connect(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )
    answer = connection.makefile("rb").read()
    assert int(answer.split()[1]) in (307, 400, 404, 405) and b"root:" not in answer


def test_what_is_sent_around_a_request(served, tiny_dataset):
    body = picture(tiny_dataset)
    whole = request_of("/detect", body)
    head = b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    too_long = b"Content-Length: 20000001\r\n\r\n"
    cases = {
        "huge headers": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000, {400, None}),
        "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", {400}),
        "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n", {400}),
        "no length": (head + b"\r\n", {411}),
        "in pieces": (head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {411}),
        "in pieces, with a length": (
            head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 411}),
        "two lengths": (head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", {400}),
        "a length of words": (head + b"Content-Length: many\r\n\r\n", {400}),
        "a negative length": (head + b"Content-Length: -1\r\n\r\n", {400}),
        "too long": (head + too_long, {413}),
        "compressed": (head + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n1", {415}),
        "more than its length": (whole + b"garbage\r\n\r\n", {200}),
    }  # fmt: skip
    found = {}
    for name, (sent, _) in cases.items():
        connection = served.connect()
        try:
            connection.sendall(sent)
        except ConnectionError:
            found[name] = None
            continue
        found[name] = status_of(connection)
    assert not [name for name, status in found.items() if status not in cases[name][1]], found
    for cut in (1, len(body) // 2, len(body) - 1):
        served.connect(request_of("/detect", body[:cut], len(body))).close()
    while served.metric("detect_queue_length"):
        time.sleep(0.02)
    assert served.ask("/detect", body).status == 200
