"""Tell how many cameras one machine carries.

    python -m tools.camera_speed VIDEO MODEL [MODEL ...] [--fps 10] [--seconds 10]

Runs `detect` on VIDEO from FILES files at once, as fast as it can, with several options. From each
speed follows a number of cameras, which is then tried: VIDEO is sent to so many sources, or fewer,
as cameras send it, until at least HANDLED of what each sends is handled. Prints both.
"""

import argparse
import io
import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import av

FILES = 4
HANDLED = 0.98
START_S = 8.0  # until all cameras are open and have sent what waited
WAYS = {
    "plain": [],
    "`--when-moving`": ["--when-moving"],
    "`--track`": ["--track"],
    "both": ["--when-moving", "--track"],
}


def main() -> None:
    """Tell how many cameras one machine carries."""
    parser = argparse.ArgumentParser(prog="python -m tools.camera_speed", description=main.__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    sent = pieces_of(arguments.video, arguments.fps)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Camera, sent, arguments.fps)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        print(f"| model | {' | '.join(WAYS)} |")
        print(f"| --- |{' ---: |' * len(WAYS)}")
        for model in arguments.models:
            print(f"| {model} |", end="", flush=True)
            for options in WAYS.values():
                speed = files_fps(arguments.video, model, options)
                watch = partial(handled, address, model, options, arguments.fps, arguments.seconds)
                cameras = most(watch, int(0.9 * speed / arguments.fps))
                print(f" {speed:.0f} FPS, {cameras} |", end="", flush=True)
            print()
        server.shutdown()


def pieces_of(video: Path, fps: float) -> list[bytes]:
    """Encode a video as H.264, and return a piece of an MPEG transport stream for each frame.

    All cameras send the same pieces, so that sending costs next to nothing.
    """
    stream, pieces = io.BytesIO(), []
    with av.open(str(video)) as source, av.open(stream, "w", format="mpegts") as out:
        shown = source.streams.video[0]
        options = {"preset": "veryfast", "tune": "zerolatency", "g": str(round(2 * fps))}
        track = out.add_stream("libx264", rate=round(fps), options=options)
        track.width, track.height, track.pix_fmt = shown.width, shown.height, "yuv420p"
        for number, frame in enumerate(source.decode(shown)):
            frame.pts, frame.time_base = number, Fraction(1, round(fps))
            out.mux(track.encode(frame))
            pieces.append(stream.getvalue())
            stream.seek(0)
            stream.truncate()
    return [piece for piece in pieces if piece]


class Camera(BaseHTTPRequestHandler):
    """Sends a video for ever, a frame at a time."""

    def __init__(self, pieces: list[bytes], fps: float, *words: object):
        self.pieces, self.fps = pieces, fps
        super().__init__(*words)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        began, number = time.monotonic(), 0
        try:
            while True:
                self.wfile.write(self.pieces[number % len(self.pieces)])
                number += 1
                time.sleep(max(0.0, began + number / self.fps - time.monotonic()))
        except OSError:  # it was watched long enough
            return

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def files_fps(video: Path, model: Path, options: list[str]) -> float:
    """Run `detect` on several files at once; return the frames of all together per second."""
    with TemporaryDirectory() as folder:
        names = [Path(folder) / f"{number}{video.suffix}" for number in range(FILES)]
        for name in names:
            name.symlink_to(video.resolve())
        command = [sys.executable, "-m", "detector", *map(str, names), "--model", str(model)]
        done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    return sum(float(fps) for fps in re.findall(r"^\d +\d+ +(\S+)", done.stdout, re.M))


def most(handles: Callable[[int], float], first: int) -> int:
    """Return a number of cameras of which enough is handled, from the first one down in tenths."""
    fewer = range(first, 0, -max(1, first // 10))
    return next((cameras for cameras in fewer if handles(cameras) >= HANDLED), 0)


def handled(
    address: str, model: Path, options: list[str], fps: float, seconds: float, cameras: int
) -> float:
    """Watch cameras; return the part of what they send that is handled, of the worst of them."""
    sources = [f"{address}/{number}" for number in range(cameras)]
    words = [*sources, "--model", str(model), "--allow-network", "--json", "-", *options]
    command = [sys.executable, "-m", "detector", *words]
    counts: Counter[str] = Counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        until = None
        for line in process.stdout:
            now = time.monotonic()
            until = until or now + START_S + seconds
            if now > until:
                process.terminate()
                break
            if now > until - seconds:
                counts[json.loads(line)["source"]] += 1
        process.stdout.close()
    return min(counts[source] for source in sources) / (fps * seconds)


if __name__ == "__main__":
    main()
