"""Video files: times, damage, shapes of pixels, and what is saved."""

import base64
import os
import resource
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from browser import console, find_chromium
from conftest import ROOT
from test_detect import detect, lines

from detector.video.sinks import SAVED_VIDEOS
from detector.video.sources import SourceError, open_source

TICKS = Fraction(1, 90_000)
TIMES = [n / 25 for n in range(10)]
UNEVEN = [0.0, 0.04, 0.5, 0.54, 2.0, 2.04, 2.08, 3.9, 4.0, 4.04]


def scene(number: int, width: int = 160, height: int = 96) -> np.ndarray:
    """A bright bar on a ground whose gray is 20 * number."""
    image_bgr = np.full((height, width, 3), 20 * number % 200, np.uint8)
    image_bgr[:, 8 * number % width : 8 * number % width + 6] = 255
    return image_bgr


def encode(
    path: Path,
    times: list[float] = TIMES,
    codec: str = "libx264",
    size_wh: tuple[int, int] = (160, 96),
    sound_s: float = 0.0,
    images: list[np.ndarray] | None = None,
    container: dict | None = None,
    stream: dict | None = None,
    **options: str,
) -> Path:
    """Write a video of scenes at these times, and silence."""
    container_options = container or {}
    with av.open(str(path), "w", options=container_options) as out:
        video = out.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = *size_wh, "yuv420p"
        video.time_base = video.codec_context.time_base = TICKS
        for name, value in (stream or {}).items():
            setattr(video.codec_context, name, value)
        sound = out.add_stream("aac", rate=8000) if sound_s else None
        for number, time_s in enumerate(times):
            image_bgr = images[number] if images else scene(number, *size_wh)
            frame = av.VideoFrame.from_ndarray(image_bgr, format="bgr24")
            frame.pts, frame.time_base = round(time_s / TICKS), TICKS
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sound:
            for start in range(0, round(8000 * sound_s), 1024):
                samples = np.zeros((1, 1024), np.float32)
                frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
                frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
    return path


def read(path: Path, every: int = 1) -> tuple[list, list[str]]:
    source = open_source(str(path), every)
    return list(source.frames()), source.warnings


# name: (file, how it is written, expected times)
TIMED = {
    "even": ("a.mp4", {}, TIMES),
    "variable": ("a.mp4", {"times": UNEVEN}, UNEVEN),
    "variable, B-frames": ("a.mkv", {"times": UNEVEN, "bf": "2"}, UNEVEN),
    "not from 0": ("a.ts", {"times": [t + 36_000 for t in UNEVEN]}, UNEVEN),
    "begins after the sound": (
        "a.mp4", {"times": [t + 1 for t in UNEVEN], "sound_s": 5.0}, [t + 1 for t in UNEVEN]),
    "cut by an edit list": (
        "a.mp4", {"times": [t - 0.2 for t in TIMES], "bf": "0",
                  "container": {"avoid_negative_ts": "disabled"}}, TIMES[:5]),
    "sound that is longer": ("a.mp4", {"sound_s": 3.0}, TIMES),
    "AV1": ("a.mkv", {"codec": "libsvtav1", "preset": "12"}, TIMES),
    "VP9": ("a.webm", {"codec": "libvpx-vp9"}, TIMES),
    "no times at all": ("a.h264", {"bf": "0"}, TIMES),
}  # fmt: skip


@pytest.mark.parametrize("case", TIMED)
def test_frames_have_the_times_at_which_a_player_shows_them(tmp_path, case):
    name, how, expected = TIMED[case]
    frames, warnings = read(encode(tmp_path / name, **how))
    assert [frame.time_s for frame in frames] == pytest.approx(expected, abs=0.002)
    assert [frame.number for frame in frames] == list(range(len(expected)))
    assert warnings == []


def test_every_other_frame_keeps_its_time(tmp_path):
    frames, _ = read(encode(tmp_path / "a.mp4", UNEVEN), every=3)
    assert [frame.number for frame in frames] == [0, 3, 6, 9]
    assert [frame.time_s for frame in frames] == pytest.approx(UNEVEN[::3], abs=0.001)


def test_reading_goes_on_after_damage(tmp_path):
    path = encode(tmp_path / "a.mp4", [n / 25 for n in range(40)], g="10")
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    start, size = places[13]
    content[start : start + size] = bytes([255]) * size
    path.write_bytes(content)
    frames, (warning,) = read(path)
    assert 36 <= len(frames) < 40
    assert frames[-1].time_s == pytest.approx(39 / 25, abs=0.001)
    assert "damaged or cut: 1 of its packets" in warning


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(1, 2), Fraction(64, 45)])
def test_pixels_that_are_not_square(tmp_path, aspect):
    images = [np.zeros((96, 160, 3), np.uint8) for _ in TIMES]
    for image_bgr in images:
        image_bgr[20:60, 40:80] = 255
    path = encode(tmp_path / "a.mkv", images=images, stream={"sample_aspect_ratio": aspect})
    frame = read(path)[0][0]
    height, width = frame.image_bgr.shape[:2]
    assert width / height == pytest.approx(float(160 * aspect / 96), abs=0.01)
    assert min(height, width) >= 96
    # A box that is found in the picture, in the pixels that are stored.
    rows, columns = np.nonzero(frame.image_bgr[..., 0] > 128)
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert box / [*frame.stretch, *frame.stretch] == pytest.approx([40, 20, 80, 60], abs=1)


@pytest.mark.skipif(not hasattr(av.VideoStream, "set_display_rotation"), reason="an older PyAV")
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_phone(tmp_path, degrees):
    path = tmp_path / "a.mp4"
    image_bgr = np.zeros((96, 160, 3), np.uint8)
    image_bgr[:40, :60] = 255  # above, left
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        video.set_display_rotation(degrees)
        for _ in range(3):
            out.mux(video.encode(av.VideoFrame.from_ndarray(image_bgr, format="bgr24")))
        out.mux(video.encode(None))
    decoded, expected = cv2.VideoCapture(str(path)).read()
    found = read(path)[0][0].image_bgr
    assert decoded and found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 5


def test_interlaced_frames_lose_their_combs(tmp_path):
    moving = []
    for number in range(8):
        image_bgr = np.zeros((96, 160, 3), np.uint8)
        for field in (0, 1):  # the second field shows the bar 8 pixels further
            left = 20 + 16 * number % 100 + 8 * field
            image_bgr[field::2, left : left + 20] = 255
        moving.append(image_bgr)
    times = [n / 25 for n in range(8)]
    options = {"images": moving, "x264-params": "interlaced=1:tff=1", "crf": "5"}
    frames, _ = read(encode(tmp_path / "a.mkv", times, **options))

    def comb(image_bgr: np.ndarray) -> float:
        return np.abs(np.diff(image_bgr[..., 0].astype(int), axis=0)).mean()

    assert len(frames) == 8
    shown = np.mean([comb(frame.image_bgr) for frame in frames[2:-2]])
    assert shown < 0.5 * np.mean([comb(image_bgr) for image_bgr in moving[2:-2]])


@pytest.mark.parametrize("name", ["2026-01-31T12:30:00.mp4", os.fsdecode(b"caf\xe9.mp4")])
def test_names_that_look_like_addresses_or_are_not_utf8(models, tmp_path, name):
    encode(tmp_path / "a.mp4").rename(tmp_path / name)
    words = ["--model", models / "int8", "--save", f"out {name}", "--json", f"{name}.json"]
    done = detect(name, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {line["source"] for line in lines(tmp_path / f"{name}.json")} == {name}
    assert len(read(tmp_path / f"out {name}")[0]) == len(TIMES)


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        sound = out.add_stream("aac", rate=8000)
        for start in range(0, 8192, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 8000, start
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    with pytest.raises(SourceError, match="holds no video"):
        open_source(str(tmp_path / "a.mp4"))


@pytest.mark.parametrize("suffix", SAVED_VIDEOS)
@pytest.mark.parametrize("size_wh", [(160, 96), (161, 97)])
def test_a_saved_video_keeps_times_and_every_line(models, tmp_path, suffix, size_wh):
    images = [scene(number, *size_wh) for number in range(len(UNEVEN))]
    encode(tmp_path / "a.mkv", UNEVEN, "ffv1", size_wh, images=images)
    words = ["--model", models / "int8", "--confidence", 1, "--save", f"o{suffix}"]
    done = detect("a.mkv", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / f"o{suffix}")) as saved:
        frames = list(saved.decode(video=0))
        stream = saved.streams.video[0]
        assert stream.codec_context.name == ("vp9" if suffix == ".webm" else "h264")
        assert stream.pix_fmt == "yuv420p"
    assert [frame.time for frame in frames] == pytest.approx(UNEVEN, abs=0.002)
    assert (frames[0].width, frames[0].height) == tuple(side + side % 2 for side in size_wh)
    for image_bgr, frame in zip(images, frames, strict=True):
        found = frame.to_ndarray(format="bgr24")[: size_wh[1], : size_wh[0]]
        apart = np.abs(found.astype(int) - image_bgr)  # the model's name is drawn above, left
        assert np.median(apart) < 8 and apart[-1, -20:].mean() < 12


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_is_copied(models, tmp_path, suffix):
    encode(tmp_path / "a.mp4", UNEVEN, sound_s=4.5)
    words = ["--model", models / "int8", "--save", f"o{suffix}", "--keep-audio"]
    done = detect("a.mp4", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / f"o{suffix}")) as saved:
        sound = saved.streams.audio[0]
        times = [float(p.pts * p.time_base) for p in saved.demux(sound) if p.pts is not None]
    assert times[0] == pytest.approx(0, abs=0.15) and times[-1] == pytest.approx(4.2, abs=0.5)


def test_sound_that_the_file_cannot_hold(models, tmp_path):
    encode(tmp_path / "a.mp4", sound_s=1.0)
    words = ["--model", models / "int8", "--save", "o.webm", "--keep-audio"]
    done = detect("a.mp4", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "o.webm cannot hold the sound of a.mp4; use .mkv" in done.stderr


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_full_disk_is_an_error_and_the_older_file_stays(models, tmp_path, suffix):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (480, 640, 3), np.uint8) for _ in range(12)]
    encode(tmp_path / "a.mkv", [n / 25 for n in range(12)], "ffv1", (640, 480), images=noise)
    (tmp_path / f"o{suffix}").write_bytes(b"older")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [sys.executable, "-m", "detector", "a.mkv", "--model", models / "int8",
         "--save", f"o{suffix}"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": "/nowhere"},
        preexec_fn=limit, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "File too large" in done.stderr
    assert (tmp_path / f"o{suffix}").read_bytes() == b"older"
    assert not list(tmp_path.glob(".*"))


PAGE = """<!doctype html><video id=v src="{source}" muted preload=auto></video>
<script>
v.onloadeddata = () => {{ v.currentTime = 0.21; }};
v.onseeked = () => {{
  const c = document.createElement('canvas'); c.width = v.videoWidth; c.height = v.videoHeight;
  const d = c.getContext('2d'); d.drawImage(v, 0, 0);
  let gray = -1;
  try {{ gray = d.getImageData(150, 90, 1, 1).data[0]; }} catch (e) {{}}
  console.log("RESULT " + JSON.stringify([v.videoWidth, v.videoHeight, v.duration, gray]));
}};
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium here to play it")
@pytest.mark.parametrize("name", ["o.mp4", "o.webm"])
def test_a_browser_plays_what_was_saved(models, tmp_path, name):
    encode(tmp_path / "a.mp4", TIMES)
    words = ["--model", models / "int8", "--save", name]
    assert detect("a.mp4", *words, cwd=tmp_path).returncode == 0
    video = base64.b64encode((tmp_path / name).read_bytes()).decode()
    kind = name.rsplit(".")[-1]
    (tmp_path / "page.html").write_text(PAGE.format(source=f"data:video/{kind};base64,{video}"))
    width, height, seconds, gray = console(tmp_path, tmp_path / "page.html")
    assert (width, height) == (160, 96) and seconds == pytest.approx(0.4, abs=0.1)
    assert gray == pytest.approx(100, abs=6)  # the sixth frame, in its very colors
