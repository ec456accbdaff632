"""Tell how many cameras one machine carries.

    python -m tools.camera_speed VIDEO MODEL [MODEL ...] [--fps 10] [--seconds 10]

Sends VIDEO again and again, as a camera sends it, to a `detect` that watches more and more of these
cameras, until it handles less than HANDLED of what one of them sends.
"""

import argparse
import io
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av

HANDLED = 0.98
START_S = 8.0  # until all cameras are open and have sent what waited
CLOSE = 1.1  # ratio of what is not carried to what is, where the search ends
WAYS = {
    "": [],
    ", `--when-moving`": ["--when-moving"],
    ", `--track`": ["--track"],
    ", both": ["--when-moving", "--track"],
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
        print(f"| model | {' | '.join(f'cameras{way}' for way in WAYS)} |")
        print(f"| --- |{' ---: |' * len(WAYS)}")
        for model in arguments.models:
            watch = partial(handled, address, model, arguments.fps, arguments.seconds)
            carried = [most(partial(watch, options)) for options in WAYS.values()]
            print(f"| {model} | {' | '.join(map(str, carried))} |", flush=True)
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
            frame.pts, frame.time_base = number, 1 / track.rate
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


def most(handles: Callable[[int], float]) -> int:
    """Return the largest number of cameras of which enough is handled, by halving."""
    good, bad = 0, 0
    while not bad or bad > max(good + 1, CLOSE * good):
        cameras = (good + bad) // 2 if bad else max(1, 2 * good)
        if handles(cameras) >= HANDLED:
            good = cameras
        else:
            bad = cameras
    return good


def handled(
    address: str, model: Path, fps: float, seconds: float, options: list[str], cameras: int
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
