"""`detect --serve`: pictures and tensors in, the detector's own answers out; start and end."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import tritonclient.http as triton
from conftest import ROOT
from served import picture, request_of, serving, start, status_of
from test_detect import detect, lines
from test_docs import blocks
from test_models import stored_point, with_point

from detector import Detector
from detector.core.backend import raw_output
from detector.core.boxes import letterbox, postprocess

DOCUMENT = "docs/serving.md"


@pytest.fixture(scope="module")
def served(models):
    with serving("--model", models / "int8") as server:
        yield server


@pytest.fixture
def image_bgr(tiny_dataset) -> np.ndarray:
    return cv2.imread(str(tiny_dataset / "dataset/images/default/5.png"))


def test_pictures_get_what_the_command_writes_also_many_at_once(
    models, tiny_dataset, served, tmp_path
):
    folder = tiny_dataset / "dataset/images/default"
    words = ["--model", models / "int8", "--json", "o", "--confidence", 0.05]
    detect(folder, *words, cwd=tmp_path)
    written = [line["detections"] for line in lines(tmp_path / "o")]
    assert sum(map(len, written)) > 20
    sent = [picture(tiny_dataset, 1 + n % 6) for n in range(60)]
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda body: served.ask("/detect?confidence=0.05", body), sent))
    assert {answer.status for answer in answers} == {200}
    assert [answer.json["detections"] for answer in answers] == written * 10
    answer = answers[0].json
    assert list(answer["steps_ms"]) == ["decode", "pre", "infer", "post"]
    assert {key: answer[key] for key in ("source", "frame", "time_s", "model", "compare")} == {
        "source": "upload", "frame": 0, "time_s": 0.0, "model": "int8", "compare": None
    }  # fmt: skip


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".bmp"])
def test_formats_that_browsers_show(models, served, image_bgr, kind):
    data = cv2.imencode(kind, image_bgr)[1]
    with Detector(models / "int8", 0.05, throughput=True) as detector:
        found = detector(cv2.imdecode(data, cv2.IMREAD_COLOR))
    answer = served.ask("/detect?confidence=0.05", data.tobytes(), content_type="image/any").json
    assert [box["label"] for box in answer["detections"]] == found.class_names
    boxes_xyxy = [box["box_xyxy"] for box in answer["detections"]]
    assert np.allclose(boxes_xyxy, found.xyxy, atol=0.01) and len(found) > 5


def test_two_models_answer_in_one_object(models, tiny_dataset, image_bgr):
    words = ["--model", models / "int8", "--compare", models / "yolox.onnx"]
    with serving(*words) as server:
        answer = server.ask("/detect?confidence=0.05", picture(tiny_dataset)).json
        for name in ("int8", "yolox.onnx"):
            assert server.ask(f"/v2/models/{name}/ready").json == {"name": name, "ready": True}
    for name, own in (("int8", answer), ("yolox.onnx", answer["compare"])):
        with Detector(models / name, 0.05) as detector:
            found = detector(image_bgr)
        assert own["model"] == name
        assert [box["score"] for box in own["detections"]] == pytest.approx(
            found.confidence, abs=1e-3
        )


def test_the_confidence_is_that_of_the_model_unless_a_request_names_one(
    models, tiny_dataset, tmp_path
):
    model = with_point(tmp_path, models, "onnx", stored_point(0.2, 0.3, 0.05))
    with serving("--model", model) as server:
        for query, labels in (("", {"ü"}), ("?confidence=0.04", {"a b", "c", "ü"}), ("", {"ü"})):
            answer = server.ask(f"/detect{query}", picture(tiny_dataset)).json
            assert {box["label"] for box in answer["detections"]} == labels
            assert answer["confidence"] == 0.05


@pytest.mark.parametrize("binary", [False, True])
def test_tensors_by_the_real_client(models, served, image_bgr, binary):
    with Detector(models / "int8", 0.05, throughput=True) as detector:
        input_hw = detector.backend.input_hw
        canvas_bgr = letterbox(image_bgr, input_hw)
        expected, found = raw_output(detector.backend, canvas_bgr), detector(image_bgr)
    with triton.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("int8") and not client.is_model_ready("other")
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        described = client.get_model_metadata("int8")
        assert described["inputs"] == [
            {"name": "images", "datatype": "UINT8", "shape": [1, *input_hw, 3]}
        ]
        given = triton.InferInput("images", [1, *input_hw, 3], "UINT8")
        given.set_data_from_numpy(canvas_bgr[None], binary_data=binary)
        wanted = triton.InferRequestedOutput("output", binary_data=binary)
        for outputs in ([wanted], None):
            result = client.infer("int8", [given], outputs=outputs, request_id="7")
            output = result.as_numpy("output")
            assert result.get_response()["id"] == "7"
            assert output.dtype == np.float32 and np.array_equal(output[0], expected)
    assert list(output.shape) == described["outputs"][0]["shape"]
    parameters = described["parameters"]
    frame_hw = image_bgr.shape[:2]
    xyxy, scores, classes = postprocess(output[0], input_hw, frame_hw, 0.05, parameters["iou"])
    assert np.array_equal(xyxy, found.xyxy) and np.array_equal(scores, found.confidence)
    assert [parameters["labels"][index] for index in classes] == found.class_names


@pytest.mark.slow
def test_the_commands_of_the_document_run(models, tiny_dataset, tmp_path):
    """At the address that `detect --serve` has here, and with the tests' own models."""
    (tmp_path / "frame.jpg").write_bytes(picture(tiny_dataset))
    shutil.copytree(tiny_dataset / "dataset/images/default", tmp_path / "photos")
    commands = [line for block in blocks("sh", DOCUMENT) for line in block.splitlines()]
    assert commands[:2] == ["pip install '.[serve]'", "detect --serve --compare models/ir"]
    (program,) = blocks("python", DOCUMENT)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    with serving("--model", models / "int8", "--compare", models / "ir") as server:
        for *words, text in (*(["bash", "-c", line] for line in commands[2:]),
                             ["python", "-c", program]):  # fmt: skip
            there = text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
            done = subprocess.run(
                [*words, there.replace(" models/", f" {models}/")],
                cwd=tmp_path, env=environment, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert '"error"' not in done.stdout and re.search(r"[\[{|]", done.stdout), text


def test_the_interface_is_described_and_nothing_is_loaded_from_elsewhere(served):
    described = served.ask("/openapi.json").json
    assert {"/detect", "/metrics", "/v2", "/v2/models/{name}/infer"} <= set(described["paths"])
    assert "image/*" in described["paths"]["/detect"]["post"]["requestBody"]["content"]
    assert [served.ask(path).status for path in ("/docs", "/redoc")] == [404, 404]
    for path in ("/", "/page.css", "/page.js", "/icon.svg"):
        text = re.sub(r"http://www\.w3\.org/\S*", "", served.ask(path).body.decode())
        assert len(text) > 100 and "://" not in text, path


def test_metrics_count_requests_by_route_and_inferences(models, tiny_dataset):
    with serving("--model", models / "int8") as server:
        for _ in range(3):
            server.ask("/detect", picture(tiny_dataset))
        server.ask("/detect", b"no picture")
        for path in ("/a", "/b", "/v2/models/x", "/v2/models/y"):
            server.ask(path)
        counted = {
            'detect_requests_total{path="/detect",status="200"}': 3,
            'detect_requests_total{path="/detect",status="415"}': 1,
            'detect_requests_total{path="other",status="404"}': 2,
            'detect_requests_total{path="/v2/models/{name}",status="404"}': 2,
            'detect_request_seconds_count{path="/detect"}': 4,
            'detect_inferences_total{model="int8"}': 3,
            "detect_queue_length": 0,
        }
        assert {name: server.metric(name) for name in counted} == counted
        assert server.metric("process_resident_memory_bytes") > 1e7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_server_after_the_running_request(models, tiny_dataset, number):
    body = picture(tiny_dataset)
    with serving("--model", models / "int8") as server:
        running = server.connect(request_of("/detect", body[:100], len(body)))
        idle = server.connect()
        while not server.metric("detect_queue_length"):
            time.sleep(0.02)
        server.process.send_signal(number)
        time.sleep(1)
        with pytest.raises(ConnectionError):
            server.connect()
        running.sendall(body[100:])
        assert status_of(running) == 200 and idle.recv(1) == b""
        _, stderr = server.process.communicate(timeout=30)
        assert (server.process.returncode, stderr) == (128 + number, "")


def test_a_second_signal_ends_it_at_once(models):
    with serving("--model", models / "int8") as server:
        held = server.connect(request_of("/detect", b"1", 1000))
        while not server.metric("detect_queue_length"):
            time.sleep(0.02)
        server.process.terminate()
        time.sleep(0.5)
        assert server.process.poll() is None
        server.process.terminate()
        assert server.process.wait(10) == 143
        held.close()


def refused(*words: object, **options: str) -> tuple[int, str, str]:
    """The exit status and the output of a server that does not start."""
    process = start(*words, **options)
    try:
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, stdout, stderr


# name: (options, environment, exit status, what is said)
REFUSED = {
    "a source": (["a.png"], {}, 2, "leave the source out"),
    "an output": (["--save", "a.mp4"], {}, 2, "leave --save out"),
    "lines": (["--json", "-"], {}, 2, "leave --json out"),
    "sound": (["--keep-audio"], {}, 2, "leave --keep-audio out"),
    "every Nth": (["--every", "2"], {}, 2, "leave --every out"),
    "no port": (["--port", "70000"], {}, 2, "70000 is not a port from 0 to 65535"),
    "no address": (["--host", "no.such.invalid"], {}, 1, "choose another --host or --port"),
    "a foreign address": (["--host", "203.0.113.1"], {}, 1, "choose another --host or --port"),
    "no model": (["--model", "none"], {}, 1, "none does not exist"),
    "a short token": ([], {"DETECT_TOKEN": "12345"}, 1, "has 5 characters; expected 16 or more"),
    "a token of words": ([], {"DETECT_TOKEN": "a b" * 9}, 1, "without spaces"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_in_one_line(models, case):
    words, environment, status, said = REFUSED[case]
    returncode, stdout, stderr = refused("--model", models / "int8", *words, **environment)
    *usage, line = stderr.splitlines()
    assert (returncode, stdout) == (status, "")
    assert said in line and bool(usage) == (status == 2)


def test_a_port_that_is_taken_and_a_package_that_is_missing(models):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        returncode, _, said = refused("--model", models / "int8", "--port", port)
    assert returncode == 1 and "Address already in use" in said
    returncode, _, said = refused(
        "--model", models / "int8", change="sys.modules['fastapi'] = None"
    )
    assert returncode == 1 and said.count("\n") == 1
    assert "the server needs fastapi, which is not installed: pip install '.[serve]'" in said


def test_the_command_itself_needs_none_of_the_server_s_packages(models, tiny_dataset):
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['fastapi', 'uvicorn', 'PIL', 'pydantic']))\n"
        "from detector.video.cli import main; main()"
    )
    image = tiny_dataset / "dataset/images/default/5.png"
    words = [image, "--model", models / "int8", "--json", "-"]
    done = subprocess.run([sys.executable, "-c", program, *map(str, words)],
                          cwd=ROOT, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0 and json.loads(done.stdout)["source"] == str(image)
