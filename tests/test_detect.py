"""The command `detect`: every kind of source and output, interruptions, and refusals."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
from conftest import FRAMES, ROOT, SHARED, write_video
from test_models import stored_point, with_point

from detector import Detector
from detector.video.pipeline import detections
from detector.video.sources import masked, open_source


def start(*words: object, cwd: Path, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "detector", *map(str, words)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def detect(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    process = start(*words, cwd=cwd, **environment)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def count_frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    return sum(1 for _ in iter(capture.grab, False))


def test_a_video_with_all_outputs(models, video, tmp_path):
    words = ["--confidence", 0.01, "--save", "out.mp4", "--json", "out.jsonl"]
    done = detect(video, "--model", models / "int8", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"out.mp4", "out.jsonl"}
    found = lines(tmp_path / "out.jsonl")
    assert [line["frame"] for line in found] == list(range(FRAMES))
    assert found[5]["source"] == str(video) and found[5]["time_s"] == pytest.approx(0.2)
    assert count_frames(tmp_path / "out.mp4") == FRAMES
    boxes = [box for line in found for box in line["detections"]]
    assert len(boxes) > FRAMES
    for box in boxes:
        assert set(box) == {"box_xyxy", "score", "label"}
        x0, y0, x1, y1 = box["box_xyxy"]
        assert 0 <= x0 <= x1 <= 160 and 0 <= y0 <= y1 <= 96
        assert box["score"] >= 0.01 and box["label"] in {"a b", "c", "ü"}
    for word in (f"{FRAMES} frames", "FPS end to end", "decode", "encode", "p50", "p99"):
        assert word in done.stdout


def test_json_on_stdout_is_nothing_but_json_and_frames_become_images(models, video, tmp_path):
    words = ["--json", "-", "--every", 10, "--save", "out"]
    done = detect(video, "--model", models / "ir", *words, cwd=tmp_path)
    numbers = [json.loads(line)["frame"] for line in done.stdout.splitlines()]
    assert numbers == [0, 10, 20] and "FPS" in done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"video_{number:06}.jpg" for number in numbers}


def test_a_folder_keeps_names_and_leaves_out_what_is_broken(models, tiny_dataset, tmp_path):
    shutil.copytree(tiny_dataset / "dataset/images/default", tmp_path / "in")
    (tmp_path / "in/3.png").write_bytes(b"no image")
    (tmp_path / "in/7\x1b[2J\u202e.png").write_bytes(b"no image")
    (tmp_path / "in/notes.txt").write_text("no image either")
    words = ["--model", models / "int8", "--save", "out", "--json", "o", "--every", 2]
    done = detect("in", *words, cwd=tmp_path)
    assert done.returncode == 0
    assert (
        "3.png cannot be decoded; it is empty, broken or no image; it was left out" in done.stderr
    )
    assert r"7\x1b[2J\u202e.png cannot be decoded" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"1.png", "5.png"}
    assert cv2.imread(str(tmp_path / "out/1.png")).shape == (90, 160, 3)
    assert [line["frame"] for line in lines(tmp_path / "o")] == [0, 4]


def test_two_models_stand_side_by_side(models, video, tmp_path):
    words = ["--compare", models / "yolox.onnx", "--save", "o.mkv"]
    done = detect(video, "--model", models / "int8", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    decoded, image_bgr = cv2.VideoCapture(str(tmp_path / "o.mkv")).read()
    assert decoded and image_bgr.shape == (96, 320, 3)


def png_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims a size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    tail = struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT" + b"0000"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + tail


def test_the_confidence_is_that_of_the_model_unless_it_is_given(models, tiny_dataset, tmp_path):
    model = with_point(tmp_path, models, "onnx", stored_point(0.2, 0.3, 0.05))
    image = tiny_dataset / "dataset/images/default/5.png"
    for words, labels in (([], {"ü"}), (["--confidence", 0.04], {"a b", "c", "ü"})):
        detect(image, "--model", model, "--json", "out", *words, cwd=tmp_path)
        (line,) = lines(tmp_path / "out")
        assert {box["label"] for box in line["detections"]} == labels


def make_refused(folder: Path, video: Path) -> None:
    """Write files that no run may use, and copy the video, which it may."""
    (folder / "video.mp4").write_bytes(video.read_bytes())
    contents = {
        "empty.mp4": "", "empty.png": "", "a.avif": "x", "text.mp4": "no video",
        "o.mp4": "of an earlier run",
        "list.m3u8": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "list.mp4": "ffconcat version 1.0\nfile video.mp4\n",
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_text(content)
    (folder / "bomb.png").write_bytes(png_of(30_000, 30_000))
    # mp4 keeps its index at the end, without which nothing can be decoded.
    (folder / "cut.mp4").write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    for name in ("nothing", "mixed"):
        (folder / name).mkdir()
    for name, side in (("a.png", 20), ("b.png", 30)):
        cv2.imwrite(str(folder / "mixed" / name), np.zeros((side, 20, 3), np.uint8))


# name: (arguments, exit status, what is said)
REFUSED = {
    "no such file": (["nowhere.mp4"], 1, "does not exist"),
    "an empty video": (["empty.mp4"], 1, "empty.mp4 cannot be opened"),
    "text for a video": (["text.mp4"], 1, "text.mp4 cannot be opened"),
    "a video without its index": (["cut.mp4"], 1, "cut.mp4 cannot be opened"),
    "a playlist": (["list.m3u8"], 1, "list.m3u8 cannot be opened"),
    "a list of other files": (["list.mp4"], 1, "list.mp4 cannot be opened"),
    "a folder without images": (["nothing"], 1, "holds no images"),
    "an empty image": (["empty.png"], 1, "empty.png cannot be decoded"),
    "an address": (["http://127.0.0.1:9/x"], 1, "add --allow-network"),
    "an address that nobody serves": (
        ["http://127.0.0.1:9/x", "--allow-network"], 1, "cannot be opened"),
    "another scheme": (["ftp://127.0.0.1/x"], 1, "unknown scheme"),
    "a camera that is not there": (["77"], 1, "77 cannot be opened"),
    "the source as output": (["video.mp4", "--save", "video.mp4"], 1, "is a source"),
    "the source's folder as output": (["mixed", "--save", "mixed"], 1, "is a source"),
    "sizes that differ in one video": (["mixed", "--save", "o.mp4"], 1, "20x30"),
    "no folder for the output": (["video.mp4", "--save", "no/o.mp4"], 1, "its folder is missing"),
    "one file for two outputs": (
        ["video.mp4", "--save", "a.mp4", "--json", "./a.mp4"], 1, "both --save and --json"),
    "a video that no browser plays": (
        ["video.mp4", "--save", "o.avi"], 1, "expected .mp4, .m4v, .mov, .mkv, .webm, or a folder"),
    "an image as output": (["a.png", "--save", "o.jpg"], 1, "or a folder for images"),
    "sound of images": (["mixed", "--save", "p.mp4", "--keep-audio"], 1, "needs a video file"),
    "an image of another format": (["a.avif"], 1, "cannot be decoded here; convert it to .png"),
    "a bomb": (["bomb.png"], 1, "too large; at most 268 megapixels"),
    "a password in an address": (
        ["rtsp://me:secret@127.0.0.1:9/x?token=secret"], 1,
        "rtsp://***@127.0.0.1:9/x?token=*** is an address"),
    "a folder as JSON": (["video.mp4", "--json", "mixed"], 1, "it is a folder"),
    "no screen": (["video.mp4", "--show"], 1, "no screen"),
    "no model": (["video.mp4", "--model", "models/none"], 1, "models/none does not exist"),
    "no source": ([], 2, "required: source"),
    "a large fraction": (["a", "--confidence", "2"], 2, "2 is not a number from 0 to 1"),
    "nan": (["a", "--confidence", "nan"], 2, "nan is not a number from 0 to 1"),
    "no number": (["a", "--iou", "x"], 2, "invalid fraction value: 'x'"),
    "every 0th frame": (["a", "--every", "0"], 2, "0 is not 1 or more"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line_and_leaves_files_alone(
    models, video, tmp_path, case
):
    words, status, said = REFUSED[case]
    make_refused(tmp_path, video)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = detect("--model", models / "int8", *words, cwd=tmp_path, DISPLAY="", WAYLAND_DISPLAY="")
    assert done.returncode == status
    *usage, line = done.stderr.splitlines()
    assert line.startswith("detect: ") and said in line and bool(usage) == (status == 2)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_video_that_was_cut_ends_with_a_warning(models, tmp_path):
    write_video(tmp_path / "whole.avi", "MJPG")
    content = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 2 // 3])
    done = detect("cut.avi", "--model", models / "int8", "--json", "o", cwd=tmp_path)
    assert done.returncode == 0
    assert 0 < len(lines(tmp_path / "o")) < FRAMES
    assert "cut.avi is damaged or cut: 1 of its packets" in done.stderr


@pytest.mark.parametrize(
    ("name", "highest", "warned"),
    [("a.png", 4095, True), ("a.tif", 4095, True), ("a.png", 65535, False), ("a.png", 9, False)],
)
def test_twelve_bits_in_sixteen_are_named(tmp_path, name, highest, warned):
    kind = np.uint8 if highest < 256 else np.uint16
    cv2.imwrite(str(tmp_path / name), np.linspace(0, highest, 3 * 80).astype(kind).reshape(8, 30))
    source = open_source(str(tmp_path))
    assert len(list(source.frames())) == 1
    assert [f"{name} is nearly black, as 12 bits in 16" in w for w in source.warnings] == (
        [True] if warned else []
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_files_that_can_be_read(models, tmp_path, number):
    write_video(tmp_path / "long.avi", "MJPG", frames=6_000)
    words = ["--model", models / "int8", "--save", "o.mp4", "--json", "o.jsonl"]
    process = start("long.avi", *words, cwd=tmp_path)
    partial = tmp_path / ".o.part.jsonl"
    while not (partial.exists() and partial.stat().st_size > 20_000) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number, stderr
    assert "Traceback" not in stderr
    assert {path.name for path in tmp_path.iterdir()} == {"long.avi", "o.mp4", "o.jsonl"}
    written = count_frames(tmp_path / "o.mp4")
    assert 0 < written < 6_000
    assert abs(len(lines(tmp_path / "o.jsonl")) - written) <= 1


class Stream(BaseHTTPRequestHandler):
    """Motion JPEG that breaks after some frames, and ends for good after three connections."""

    connections = 0

    def do_GET(self):
        Stream.connections += 1
        if Stream.connections > 3:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(20):
            image_bgr = np.full((96, 160, 3), 10 * number, np.uint8)
            data = cv2.imencode(".jpg", image_bgr)[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
            time.sleep(0.02)

    def log_message(self, *words):
        """Says nothing."""


@pytest.fixture
def stream() -> str:
    Stream.connections = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Stream) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/stream.mjpg"
        server.shutdown()


def test_a_stream_that_breaks_is_opened_again(models, stream):
    source = open_source(stream, allow_network=True)
    source.waits_s = (0.05, 0.1)
    with (
        Detector(models / "int8") as detector,
        detections([source], [detector]) as (turns, found),
    ):
        numbers = [frame.number for frame, _ in found]
    (frames,) = turns.parts
    assert numbers == sorted(set(numbers)) and len(numbers) + frames.dropped == numbers[-1] + 1
    assert numbers[-1] > 40  # frames of all three connections
    *again, failed = source.warnings
    assert len(again) == 2 and all("was opened again" in warning for warning in again)
    assert "2 attempts within 0.15 s failed" in failed


def test_a_folder_of_images_and_videos(models, video, tmp_path):
    for name in ("in/10.png", "in/2.png", "in/b/2.png", "in/.hidden.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((96, 160, 3), np.uint8))
    for name in ("in/1.mp4", "in/b/1.mp4"):
        shutil.copy(video, tmp_path / name)
    (tmp_path / "in/broken.mp4").write_bytes(b"")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in", target_is_directory=True)
    words = ["--model", models / "int8", "--json", "o", "--save", "out", "--every", 15]
    done = detect("in", *words, cwd=tmp_path)
    assert done.returncode == 0
    assert "in/broken.mp4 cannot be opened" in done.stderr and "left out" in done.stderr
    found = [(line["source"], line["frame"]) for line in lines(tmp_path / "o")]
    assert found == [("in/1.mp4", 0), ("in/1.mp4", 15), ("in/2.png", 0),
                     ("in/b/1.mp4", 0), ("in/b/1.mp4", 15)]  # fmt: skip
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert written == {
        "1_000000.jpg", "1_000015.jpg", "2.png", "b/1_000000.jpg", "b/1_000015.jpg"
    }  # fmt: skip
    again = detect("in", "--model", models / "int8", "--json", "-", cwd=tmp_path)
    order = list(dict.fromkeys(json.loads(line)["source"] for line in again.stdout.splitlines()))
    assert order == ["in/1.mp4", "in/2.png", "in/10.png", "in/b/1.mp4", "in/b/2.png"]


@pytest.mark.parametrize("output", [["--json", "o"], ["--save", "o.mp4"], ["--save", "folder"]])
def test_two_runs_do_not_write_the_same_file(models, tmp_path, output):
    write_video(tmp_path / "long.avi", "MJPG", frames=3_000)
    words = ["long.avi", "--model", models / "int8", *output]
    first = start(*words, cwd=tmp_path)
    while not [p for p in tmp_path.iterdir() if p.name != "long.avi"] and first.poll() is None:
        time.sleep(0.02)
    time.sleep(0.1)
    second = detect(*words, cwd=tmp_path)
    assert (second.returncode, second.stderr.count("\n")) == (1, 1)
    assert f"another run writes to {output[1]}" in second.stderr
    first.terminate()
    assert first.wait(30) == 143
    assert (tmp_path / output[1]).exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://me:secret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://cam/1?user=me&password=secret&x=1", "rtsp://cam/1?user=***&password=***&x=1"),
        ("http://cam/v?access_token=secret#t", "http://cam/v?access_token=***#t"),
        ("http://cam/cgi?loginuse=me&loginpas=secret", "http://cam/cgi?loginuse=***&loginpas=***"),
        ("http://cam:8080/v.jpg?channel=1", "http://cam:8080/v.jpg?channel=1"),
        ("drive@home.mp4", "drive@home.mp4"),
    ],
)
def test_passwords_are_masked(address, shown):
    assert masked(address) == shown


def test_no_output_names_a_password(models, stream, tmp_path):
    address = stream.replace("://", "://me:secret@") + "?token=secret"
    words = ["--model", models / "int8", "--allow-network", "--json", "o.jsonl", "--save", "out"]
    process = start(address, *words, cwd=tmp_path)
    time.sleep(3)
    process.terminate()
    stdout, stderr = process.communicate(timeout=20)
    written = (tmp_path / "o.jsonl").read_text()
    assert "/stream.mjpg?token=***" in written and "secret" not in stdout + stderr + written
    assert all(path.name.startswith("frame_") for path in (tmp_path / "out").iterdir())


@pytest.fixture
def silent():
    """A server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/x"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_silent_stream_ends_at_once(models, silent, tmp_path, number):
    words = ["--model", models / "int8", "--allow-network", "--reconnect"]
    process = start(silent, *words, cwd=tmp_path)
    time.sleep(1.5)
    asked = time.monotonic()
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert time.monotonic() - asked < 1.5


def test_a_watch_waits_for_a_camera_for_ever(models, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    source = open_source(f"http://127.0.0.1:{port}/x", allow_network=True, reconnect=True)
    source.waits_s = (0.05,)
    Stream.connections = 2  # one more is served
    with (
        mock.patch("detector.video.stream.LONGEST_WAIT_S", 0.05),
        ThreadingHTTPServer(("127.0.0.1", port), Stream) as server,
        Detector(models / "int8") as detector,
        detections([source], [detector]) as (_, found),
    ):
        time.sleep(0.5)
        threading.Thread(target=server.serve_forever).start()
        next(found)
        server.shutdown()
    assert any("cannot be opened; nobody serves it" in warning for warning in source.warnings)
    assert any("was off and was opened again" in warning for warning in source.warnings)


@pytest.mark.slow
def test_memory_does_not_grow_with_frames(models, tmp_path):
    peaks_mb = []
    for frames in (500, 10_000):
        write_video(tmp_path / f"{frames}.avi", "MJPG", frames)
        words = [f"{frames}.avi", "--model", models / "int8", "--json", "o"]
        process = start(*words, cwd=tmp_path)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0 and len(lines(tmp_path / "o")) == frames
        peaks_mb.append(usage.ru_maxrss / 1024)
    assert peaks_mb[1] < peaks_mb[0] + 10


@pytest.mark.slow
def test_the_detector_is_installable_alone(models, video, tmp_path):
    """Without PyTorch, ONNX Runtime, the pipeline and this folder."""
    for name in ("detector", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / "source" / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "source")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    local = ["--no-deps", "--no-build-isolation", "--no-index", "--target", "alone", "./source"]
    subprocess.run([*pip, *local], cwd=tmp_path, check=True)
    assert "detector.video.cli" in (tmp_path / "alone/bin/detect").read_text()
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'onnxruntime', 'stages']))\n"
        "from detector.video import cli; print(cli.__file__); cli.main()"
    )
    for model, returncode in (("int8", 0), ("yolox.onnx", 1)):
        done = subprocess.run(
            [sys.executable, "-c", program, str(video), "--model", str(models / model)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": "alone"}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == returncode
        assert done.stdout.startswith(str(tmp_path / "alone"))
    assert "needs ONNX Runtime" in done.stderr


@pytest.mark.skipif(SHARED is None, reason="../shared/data is not here")
def test_plates_in_a_real_drive(tmp_path):
    words = ["--model", SHARED / "plates_nano.onnx", "--every", 20, "--json", "o"]
    done = detect(SHARED / "drive.mp4", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "o")
    boxes = [box for line in found for box in line["detections"]]
    assert len(found) == 10 and len(boxes) >= 8
    assert {box["label"] for box in boxes} == {"LP"}
