"""Compare the requests per second of `detect --serve` with the frames per second of `detect`.

    python -m tools.serve_speed MODEL FOLDER

Interleaved: `detect`'s own pipeline on the pictures of the folder, then 1, 8 and 64 clients that
each post the next picture when they have the answer to the last. Every slice starts a server of its
own, since the time of processes counts as ours when they have ended; the clients are in this one,
and share the cores with it. Prints medians of rounds, and the median share of `detect` within a
round with the lowest and the highest.
"""

import argparse
import http.client
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from detector import Detector
from detector.video.pipeline import detections
from detector.video.sources import IMAGES, Folder
from stages.benchmark.interleave import interleave

SLICE_SECONDS, WARMUP_SECONDS, ROUNDS, CLIENTS = 4, 0.5, 5, (1, 8, 64)


def main() -> None:
    """Compare a server with the command on the same pictures."""
    parser = argparse.ArgumentParser(prog="python -m tools.serve_speed", description=main.__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    pictures = [path.read_bytes() for path in Folder(arguments.folder, 1).paths
                if path.suffix.lower() in IMAGES]  # fmt: skip
    latencies_ms: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    with Detector(arguments.model, throughput=True) as detector:
        measurements = {"`detect`": partial(command_fps, detector, arguments.folder)}
        for clients, own_ms in latencies_ms.items():
            measurements[named(clients)] = partial(
                served_fps, arguments.model, pictures, clients, own_ms
            )
        rounds = interleave(
            measurements, arguments.rounds * SLICE_SECONDS * len(measurements), SLICE_SECONDS,
            min_rounds=arguments.rounds,
        )  # fmt: skip
    print("| measured | pictures per second | share of `detect` | lowest to highest | p99, ms |")
    print("| --- | ---: | ---: | ---: | ---: |")
    p99_ms = {named(n): f"{np.percentile(own_ms, 99):.0f}" for n, own_ms in latencies_ms.items()}
    for name, fps in rounds.results.items():
        shares = 100 * np.array(fps) / rounds.results["`detect`"]
        ends = f"{shares.min():.0f} to {shares.max():.0f} %"
        figures = f"{np.median(fps):.1f} | {np.median(shares):.0f} % | {ends}"
        print(f"| {name} | {figures} | {p99_ms.get(name, '')} |")
    print(rounds.warning)


def named(clients: int) -> str:
    return f"{clients} client{'s' if clients > 1 else ''}"


def command_fps(detector: Detector, folder: Path, seconds: float) -> float:
    """Detect in the folder's pictures, again and again; return pictures per second."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        with detections([Folder(folder, 1)], [detector]) as (_, found):
            count += sum(1 for _ in found)
    return count / (time.perf_counter() - started)


def served_fps(
    model: Path, pictures: list[bytes], clients: int, latencies_ms: list[float], seconds: float
) -> float:
    """Post the pictures from several clients at once; return pictures per second."""
    with server(model) as port, ThreadPoolExecutor(clients) as threads:
        post(port, pictures, 0, time.perf_counter() + WARMUP_SECONDS)
        started = time.perf_counter()
        of_each = [
            threads.submit(post, port, pictures, number, started + seconds)
            for number in range(clients)
        ]
        own_ms = [ms for future in of_each for ms in future.result()]
        passed_s = time.perf_counter() - started
    latencies_ms += own_ms
    return len(own_ms) / passed_s


@contextmanager
def server(model: Path) -> Iterator[int]:
    """Serve a model on a free port; yield the port."""
    command = [sys.executable, "-m", "detector", "--serve", "--port", "0", "--model", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(re.search(r":(\d+)/", process.stdout.readline())[1])
        finally:
            process.terminate()


def post(port: int, pictures: list[bytes], first: int, until: float) -> list[float]:
    """Post picture after picture on one connection; return how long each answer took."""
    connection, own_ms = http.client.HTTPConnection("127.0.0.1", port), []
    for data in islice(cycle(pictures), first, None):
        asked = time.perf_counter()
        if asked >= until:
            break
        connection.request("POST", "/detect", data, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the server answered {answer.status}")
        own_ms.append((time.perf_counter() - asked) * 1e3)
    connection.close()
    return own_ms


if __name__ == "__main__":
    main()
