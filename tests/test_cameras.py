"""Several sources in one run, and frames that do not go through the model."""

import json
import re
import threading
import time
from contextlib import closing
from http.server import ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import FRAMES, write_video
from test_detect import Stream, count_frames, detect, lines, start

from detector import Detector
from detector.video import gates, video_file
from detector.video.channel import labels_of
from detector.video.gates import AHEAD_S, REFRESH_S, OnTime, WhenMoving
from detector.video.pipeline import SIZE, Turns, detections
from detector.video.sources import Frame, Source, SourceError
from detector.video.stats import Progress, RunStats


class Numbers(Source):
    """Frames without a picture; it may break before one of them, or be slow."""

    def __init__(self, name: str, count: int, breaks: bool = False, pause_s: float = 0.0):
        super().__init__()
        self.name, self.count, self.breaks, self.pause_s = name, count, breaks, pause_s

    def frames(self):
        for number in range(self.count):
            time.sleep(self.pause_s)
            yield Frame(self.name, number, number / 10, np.zeros((8, 8, 3), np.uint8), 0.0, 0.0)
        if self.breaks:
            raise SourceError(f"{self.name} broke")


def taken(turns: Turns) -> list[tuple[int, int]]:
    frames = iter(lambda: turns.take(wait=True), None)
    return [(frame.channel, frame.number) for frame in frames]


def test_sources_take_turns():
    turns = Turns([Numbers("a", 200), Numbers("b", 200), Numbers("c", 20)])
    while any(part.waiting.qsize() < SIZE for part in turns.parts):
        time.sleep(0.01)
    assert [turns.take(wait=True).channel for _ in range(3 * SIZE)] == [0, 1, 2] * SIZE
    found = taken(turns)
    for channel, count in ((0, 200), (1, 200), (2, 20)):
        assert [number for own, number in found if own == channel] == list(range(SIZE, count))


def test_a_source_that_waits_for_its_frames_holds_up_no_other():
    turns = Turns([Numbers("slow", 3, pause_s=0.2), Numbers("fast", 50)])
    found = taken(turns)
    assert [own for own, _ in found[:50]].count(1) >= 49
    assert [number for own, number in found if own == 0] == [0, 1, 2]


def test_a_source_that_breaks_does_not_end_the_others():
    turns = Turns([Numbers("a", 3, breaks=True), Numbers("b", 30)])
    assert len(taken(turns)) == 33
    assert str(turns.errors[0]) == "a broke" and len(turns.errors) == 1


@pytest.fixture
def two(video, tmp_path) -> list[Path]:
    write_video(tmp_path / "other.avi", "MJPG", 12)
    return [video, tmp_path / "other.avi"]


def by_source(path: Path) -> dict[str, list[dict]]:
    grouped: dict[str, list[dict]] = {}
    for line in lines(path):
        grouped.setdefault(line["source"], []).append(line)
    return grouped


def test_two_sources_give_what_each_gives_alone(models, two, tmp_path):
    words = ["--model", models / "int8", "--confidence", 0.01]
    done = detect(*two, *words, "--json", "both", "--save", "out-{source}.mp4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    both = by_source(tmp_path / "both")
    for path, count in zip(two, (FRAMES, 12), strict=True):
        detect(path, *words, "--json", "alone", cwd=tmp_path)
        assert both[str(path)] == lines(tmp_path / "alone")
        assert count_frames(tmp_path / f"out-{path.stem}.mp4") == count
        row = next(row for row in done.stdout.splitlines() if row.startswith(f"{path.stem} "))
        frames, fps, dropped, inferred, boxes, p50, p99 = row.split()[-7:]
        assert (int(frames), int(dropped), int(inferred)) == (count, 0, count)
        assert int(boxes) == sum(len(line["detections"]) for line in both[str(path)])
        assert float(fps) > 0 and 0 < float(p50) <= float(p99)


def test_a_broken_source_is_named_and_the_other_one_is_complete(models, two, tmp_path):
    data = two[0].read_bytes()
    whole = two[1].read_bytes()
    (tmp_path / "gone.avi").write_bytes(whole[: whole.index(b"movi") + 60])  # no whole frame
    (tmp_path / "video.mp4").write_bytes(data)
    words = ["--model", models / "int8", "--json", "o"]
    done = detect("gone.avi", "video.mp4", *words, cwd=tmp_path)
    assert len(by_source(tmp_path / "o")["video.mp4"]) == FRAMES
    assert done.returncode == 1 and "gone.avi" in done.stderr and "Traceback" not in done.stderr
    assert "the other sources went on" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--save", "out.mp4"], "out.mp4 is one place for 2 sources; write {source}"),
        (["--zone", "zones.json"], "zones.json holds no lines and zones; expected"),
        (["--count-line", "1,2,3"], "1,2,3 is not X0,Y0,X1,Y1"),
        (["--count-line", "1,2,1,2"], "[[1.0, 2.0], [1.0, 2.0]] are not two different points"),
        (["--count-line", "1,2,1e9,2"], "are not points of a picture"),
        (["--count-line", "1,2,nan,2"], "are not points of a picture"),
        (["--zone", "others.json"], "a is for 'c.mp4'; expected one of"),
        (["--every", "often"], "often is not 1 or more, nor auto"),
        (["--json", "other.avi"], "other.avi is a source; write to another file"),
    ],
)
def test_refusals(models, two, tmp_path, words, message):
    (tmp_path / "zones.json").write_text("nothing")
    other = [{"name": "a", "points_xy": [[1, 2], [3, 4]], "source": "c.mp4"}]
    (tmp_path / "others.json").write_text(json.dumps(other))
    before = two[1].read_bytes()
    done = detect(two[0], "other.avi", "--model", models / "int8", *words, cwd=tmp_path)
    assert done.returncode in (1, 2) and message in done.stderr.splitlines()[-1]
    assert two[1].read_bytes() == before and not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/x.mp4", "b/x.mp4", "y.mp4"], ["x", "x-2", "y"]),
        (["0", "1"], ["camera 0", "camera 1"]),
        (["rtsp://me:secret@10.0.0.7:554/s?token=x"], ["10.0.0.7_554"]),
        (["http://a/1", "http://a/2", "http://a/3"], ["a", "a-2", "a-3"]),
        (["x-2.mp4", "x.mp4", "b/x.mp4"], ["x-2", "x", "x-3"]),
        (["..", "a/../.."], ["source", "source-2"]),
        (["a<b>.mp4"], ["a_b"]),
    ],
)
def test_labels_of_sources(names, expected):
    assert labels_of(names) == expected


def test_streams_share_a_model_until_the_last_one_ends(models, tmp_path):
    Stream.connections = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Stream) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        words = ["--model", models / "int8", "--allow-network", "--json", "o"]
        process = start(f"{address}/a", f"{address}/b", *words, cwd=tmp_path)
        time.sleep(6)
        process.terminate()
        stdout, stderr = process.communicate(timeout=20)
        server.shutdown()
    assert process.returncode == 143, stderr
    assert {source.rsplit("/", 1)[1] for source in by_source(tmp_path / "o")} == {"a", "b"}
    assert re.search(r"^127.0.0.1_\d+-2 ", stdout, re.M)


def street(seconds: float, moves: range) -> list[np.ndarray]:
    """A noisy still picture, through which a square moves in some frames."""
    rng = np.random.default_rng(0)
    still = cv2.resize(rng.integers(60, 200, (9, 16), np.uint8), (640, 360))
    frames = []
    for number in range(round(seconds * 10)):
        image = still + rng.normal(0, 3, still.shape)
        if number in moves:
            x = 20 + 15 * (number - moves.start)
            image[150:190, x : x + 40] = 20
        frames.append(cv2.cvtColor(image.clip(0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR))
    return frames


def test_frames_with_motion_pass_and_others_once_in_a_while():
    gate, moves = WhenMoving(), range(60, 90)
    passed = [
        number
        for number, image_bgr in enumerate(street(20, moves))
        if gate(Frame("a", number, number / 10, image_bgr, 0.0, 0.0))
    ]
    assert set(passed) >= set(moves)
    still = [number for number in passed if number not in moves]
    assert 0 in still and len(still) <= 25  # the background forgets the square within seconds
    gaps = np.diff([*passed, 200])
    assert max(gaps) <= REFRESH_S * 10 + 1


def test_what_does_not_go_through_the_model_keeps_its_boxes(models, tmp_path):
    """Of a still picture some frames in five seconds are detected in."""
    image_bgr = cv2.resize(
        np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8), (160, 96)
    )
    writer = cv2.VideoWriter(
        str(tmp_path / "still.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 96)
    )
    for _ in range(70):
        writer.write(image_bgr)
    writer.release()
    words = ["--model", models / "int8", "--confidence", 0.01, "--when-moving", "--json", "o"]
    done = detect("still.avi", *words, cwd=tmp_path)
    detected = re.search(r"70 frames .*, (\d+) of them went through the model", done.stdout)
    assert 2 <= int(detected[1]) <= 15
    found = lines(tmp_path / "o")
    assert len(found) == 70 and found[0]["detections"]
    assert all(line["detections"] == found[0]["detections"] for line in found[:50])


@pytest.mark.parametrize(
    ("live", "frames", "expected"),
    [
        # Of a file, (playing time, clock): a frame passes if it is not late.
        (False, [(0.0, 5.0), (0.1, 5.1), (0.2, 5.4), (0.5, 5.5)], [True, True, False, True]),
        # The next file of a folder begins at 0 again.
        (False, [(0.0, 5.0), (0.1, 6.0), (0.0, 6.1), (0.1, 6.2)], [True, False, True, True]),
        # Of a camera, (arrival, clock): it passes if the next one cannot have come yet.
        (True, [(1.0, 1.01), (1.1, 1.15), (1.2, 1.35), (1.3, 1.31)], [True, True, False, True]),
    ],
)
def test_as_many_frames_as_keep_pace(monkeypatch, live, frames, expected):
    gate, passed = OnTime(live), []
    for at_s, now_s in frames:
        monkeypatch.setattr(gates.time, "perf_counter", lambda now_s=now_s: now_s)
        frame = Frame("a", 0, at_s, None, 0.0, read_at=at_s)
        passed.append(gate(frame))
    assert passed == expected and AHEAD_S < 0.2


def test_every_auto_writes_all_frames_and_detects_in_some(models, video, tmp_path):
    """With a model that is too slow for the video."""

    class Slow:
        num_requests = 1

        def start(self, image_bgr):
            time.sleep(0.15)
            return real.start(image_bgr)

    class File(Numbers):
        def frames(self):
            for frame in super().frames():
                frame.image_bgr = np.zeros((96, 160, 3), np.uint8)
                yield frame

    source = File("a", 30)
    with (
        Detector(models / "int8") as real,
        detections([source], [Slow()], [[OnTime(False)]]) as (_, running),
    ):
        found = [(frame.number, per_model is not None) for frame, per_model in running]
    assert [number for number, _ in found] == list(range(30))
    detected = sum(one for _, one in found)
    assert found[0][1] and 3 <= detected <= 25


def test_ids_in_json_and_on_the_command_line(models, video, tmp_path):
    words = ["--model", models / "int8", "--confidence", 0.01, "--track", "--json", "o"]
    done = detect(video, *words, "--count-line", "80,0,80,96", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    boxes = [box for line in lines(tmp_path / "o") for box in line["detections"]]
    assert boxes and all(set(box) == {"box_xyxy", "score", "label", "id"} for box in boxes)
    assert any(isinstance(box["id"], int) for box in boxes)
    assert re.search(r"\d+ objects, line 1 left \d+, line 1 right \d+", done.stdout)


def test_without_the_package_one_line_says_what_is_missing(models, video, tmp_path):
    (tmp_path / "trackers.py").write_text("raise ModuleNotFoundError('trackers')")
    done = detect(
        video, "--model", models / "int8", "--track", cwd=tmp_path,
        PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[1]}",
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.splitlines() == [
        "detect: objects are followed by the package trackers, which is not installed: pip "
        "install trackers"
    ]


def test_decoders_keep_to_the_quota_of_cpus(monkeypatch, video):
    monkeypatch.setattr(video_file, "usable_cores", lambda: 1)
    with closing(video_file.open_container(video)) as container:
        assert video_file.video_stream(container, video).codec_context.thread_count == 1


def test_the_live_lines_are_one_for_each_source(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    stats = {"a": RunStats(10), "b": RunStats()}
    for one in stats.values():
        one.add({"infer": 1.0}, 1.0, 0)
    stats["a"].dropped = 3
    progress = Progress(stats)
    progress.show()
    progress.shown_at -= 1
    progress.show()
    progress.end()
    shown = capsys.readouterr().err
    assert shown.count("a: [##") == 2 and shown.count("b: 1 frames") == 2
    assert re.search(r"a: .*, \d+\.\d FPS, 3 dropped, p50 1\.0 ms, p99 1\.0 ms", shown)
    assert shown.count("\033[1A") == 1 and json.dumps(shown).count("\\n") == 3
