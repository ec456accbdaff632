"""The detector as CVAT's annotator: the real cvat-cli, and a server that speaks its few calls."""

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import cv2
import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("CVAT's SDK needs Python 3.11", allow_module_level=True)

from cvat_sdk import auto_annotation
from PIL import Image

from detector import Detector
from detector.cvat import Annotator, create
from stages.common.coco import read_image

LABELS = ["a b", "c", "ü"]  # of the model
TIME = "2026-01-01T00:00:00Z"
TASK = {
    "id": 7,
    "name": "a task",
    "mode": "annotation",
    "dimension": "2d",
    "data_chunk_size": 72,
    "data_original_chunk_type": "imageset",
    "created_date": TIME,
    "updated_date": TIME,
    "jobs": {"completed": 0, "validation": 0, "count": 1, "url": ""},
    "labels": {"url": ""},
    "organization": None,
}


class Server(ThreadingHTTPServer):
    """CVAT with one task; `uploads` are the annotations that it was sent."""

    def __init__(self, pictures: list[Path], labels: list[str]):
        super().__init__(("127.0.0.1", 0), Calls)
        self.pictures, self.labels, self.uploads = pictures, labels, []


class Calls(BaseHTTPRequestHandler):
    def do_GET(self):
        path, server = urlparse(self.path), self.server
        pictures = server.pictures
        named = [{"id": 40 + n, "name": name, "type": "rectangle", "color": "", "attributes": [],
                  "sublabels": []} for n, name in enumerate(server.labels)]  # fmt: skip
        answers = {
            "/api/server/about": {
                "name": "CVAT", "description": "", "version": "2.80.0", "logo_url": "",
                "subtitle": "",
            },
            "/api/tasks/7": {**TASK, "size": len(pictures)},
            "/api/labels": {"count": len(named), "next": None, "previous": None, "results": named},
            "/api/tasks/7/data/meta": {
                "chunks_updated_date": TIME, "size": len(pictures), "deleted_frames": [],
                "frames": [{"name": f"{path.name}", "width": 160, "height": 90,
                            "related_files": 0} for path in pictures],
            },
        }  # fmt: skip
        if path.path == "/api/tasks/7/data/":
            assert parse_qs(path.query)["type"] == ["chunk"]
            return self.answer(chunk(pictures), "application/zip")
        found = answers.get(path.path)
        return self.answer(json.dumps(found or {}).encode(), status=200 if found else 404)

    def do_PATCH(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.uploads.append((self.path, self.headers["Authorization"], content))
        self.answer(json.dumps({"version": 0, "tags": [], "shapes": [], "tracks": []}).encode())

    def answer(self, data: bytes, kind: str = "application/vnd.cvat+json", status: int = 200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def chunk(pictures: list[Path]) -> bytes:
    """A chunk of original images, as CVAT sends it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number, path in enumerate(pictures):
            archive.writestr(f"{number:06d}{path.suffix}", path.read_bytes())
    return data.getvalue()


@pytest.fixture
def pictures(tiny_dataset) -> list[Path]:
    return sorted((tiny_dataset / "dataset/images/default").glob("*.png"))


@pytest.fixture
def serve(pictures):
    """Start a server with these labels; it ends with the test."""
    started = []

    def start(labels: list[str]) -> Server:
        server = Server(pictures, labels)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


def auto_annotate(server: Server, model: Path, *options: str, home: Path) -> str:
    """Run cvat-cli; return the last line that it prints."""
    port = str(server.server_address[1])
    done = subprocess.run(
        [Path(sys.executable).with_name("cvat-cli"), "--server-host", "http://127.0.0.1",
         "--server-port", port, "task", "auto-annotate", "7", "--function-module",
         "detector.cvat", "-p", f"model=str:{model}", *options],
        env={**os.environ, "CVAT_ACCESS_TOKEN": "secret", "HOME": str(home)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return (done.stderr.strip().splitlines() or [""])[-1]


def expected(model: Path, pictures: list[Path], confidence: float | None) -> set:
    """The boxes that the detector finds: frame, label of the task, corners rounded to 0.01 px."""
    with Detector(model, confidence) as detector:
        found = [detector(read_image(path)) for path in pictures]
    return {
        (frame, 42 - int(index), *(round(v, 2) for v in box_xyxy))
        for frame, own in enumerate(found)
        for box_xyxy, index in zip(own.xyxy.tolist(), own.class_id, strict=True)
    }


@pytest.mark.parametrize("confidence", [None, 0.1, 0.5])
def test_cvat_cli_uploads_what_the_detector_finds(models, pictures, serve, tmp_path, confidence):
    server = serve(LABELS[::-1])
    options = () if confidence is None else ("--conf-threshold", str(confidence))
    assert "Upload complete" in auto_annotate(server, models / "int8", *options, home=tmp_path)
    ((path, token, content),) = server.uploads
    assert path == "/api/tasks/7/annotations/?action=create"
    assert token == "Bearer secret"
    shapes = {
        (shape["frame"], shape["label_id"], *(round(value, 2) for value in shape["points"]))
        for shape in content["shapes"]
    }
    assert shapes == expected(models / "int8", pictures, confidence)
    assert {shape["type"] for shape in content["shapes"]} <= {"rectangle"}
    assert {shape["source"] for shape in content["shapes"]} <= {"auto"}
    assert content["tags"] == []


def test_a_label_that_the_task_lacks(models, serve, tmp_path):
    server = serve(LABELS[:2])
    assert "label 'ü' is not in dataset" in auto_annotate(server, models / "int8", home=tmp_path)
    assert server.uploads == []
    allowed = "--allow-unmatched-labels"
    assert "complete" in auto_annotate(server, models / "int8", allowed, home=tmp_path)


def test_a_model_that_is_not_there_is_named(serve, tmp_path):
    server = serve(LABELS)
    said = auto_annotate(server, tmp_path / "nowhere", home=tmp_path)
    assert f"{tmp_path / 'nowhere'} does not exist" in said


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_pictures_of_any_mode_are_read_as_opencv_reads_them(models, pictures, tmp_path, mode):
    path = tmp_path / "a.png"
    Image.open(pictures[0]).convert(mode).save(path)
    annotator = create(str(models / "int8"))
    assert isinstance(annotator.spec, auto_annotation.DetectionFunctionSpec)
    with Image.open(path) as image:
        shapes = annotator.detect(Threshold(0.05), image)
    found = annotator.detector(cv2.imread(str(path)))
    assert [shape.points for shape in shapes] == found.xyxy.tolist()
    assert len(found) > 0


class Threshold:
    frame_name, conv_mask_to_poly = "a.png", False

    def __init__(self, conf_threshold: float | None):
        self.conf_threshold = conf_threshold


def test_the_threshold_of_one_call_is_not_that_of_the_next(models, pictures):
    with Detector(models / "int8") as detector:
        annotator, image = Annotator(detector), Image.open(pictures[0])
        own = len(annotator.detect(Threshold(None), image))
        counts = [len(annotator.detect(Threshold(t), image)) for t in (0.0, 1.0, None)]
    assert counts[0] > own >= counts[1]
    assert counts[2] == own
    assert np.isclose(detector.confidence, annotator.own_confidence).all()
