"""Our throughput as a share of what OpenVINO's own benchmark_app measures of the same file.

    python -m tools.vs_benchmark_app MODEL.xml VIDEO [--seconds 4] [--rounds 5]

benchmark_app runs for some seconds in a process of its own, then our inference alone, then ours
from decoding the video to drawn boxes; so in turns. Prints medians, and the median of the shares
within a round with the lowest and the highest.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import cv2

from detector.core.boxes import letterbox
from detector.runtime.detector import Detector
from stages.benchmark.modes import end_to_end_fps, throughput_fps

THROUGHPUT = re.compile(r"Throughput:\s+([\d.]+) FPS")
APP = "from openvino.tools.benchmark.main import main; main()"


def main() -> None:
    """Compare with benchmark_app."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.vs_benchmark_app", description=main.__doc__
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print_shares(measure(**vars(arguments)))


def measure(model: Path, video: Path, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Frames a second of each round, by what was measured."""
    measured: dict[str, list[float]] = {"benchmark_app": [], "inference": [], "end to end": []}
    image_bgr = cv2.VideoCapture(str(video)).read()[1]
    for _ in range(rounds):
        measured["benchmark_app"].append(benchmark_app_fps(model, seconds))
        with Detector(model, throughput=True) as detector:
            canvas_bgr = letterbox(image_bgr, detector.backend.input_hw)
            measured["inference"].append(throughput_fps(detector.backend, canvas_bgr, seconds))
            measured["end to end"].append(end_to_end_fps(detector, video, seconds))
    return measured


def benchmark_app_fps(model: Path, seconds: float) -> float:
    """What `benchmark_app -hint throughput` says, in a process of its own."""
    words = [
        "-m",
        str(model),
        "-d",
        "CPU",
        "-hint",
        "throughput",
        "-t",
        str(max(1, round(seconds))),
    ]
    done = subprocess.run(
        [sys.executable, "-c", APP, *words], capture_output=True, text=True, check=True
    )
    return float(THROUGHPUT.search(done.stdout)[1])


def print_shares(measured: dict[str, list[float]]) -> None:
    print("| measured | FPS | share of benchmark_app | lowest and highest |")
    print("| --- | ---: | ---: | ---: |")
    for name, fps in measured.items():
        shares = [100 * a / b for a, b in zip(fps, measured["benchmark_app"], strict=True)]
        ends = f"{min(shares):.0f} to {max(shares):.0f} %"
        print(f"| {name} | {median(fps):.1f} | {median(shares):.0f} % | {ends} |")


if __name__ == "__main__":
    main()
