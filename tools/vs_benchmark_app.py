"""Compare our throughput with that of OpenVINO's benchmark_app on the same model file.

    python -m tools.vs_benchmark_app MODEL.xml VIDEO [--seconds 4] [--rounds 5]

In every round benchmark_app runs for some seconds in its own process, then our inference alone,
then ours from the video file to drawn boxes. Prints median FPS, and the median share of
benchmark_app within a round with the lowest and the highest.
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

BENCHMARK_APP = "from openvino.tools.benchmark.main import main; main()"


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
    rounds = [
        measure(arguments.model, arguments.video, arguments.seconds)
        for _ in range(arguments.rounds)
    ]
    print("| measured | FPS | share of benchmark_app | lowest to highest |")
    print("| --- | ---: | ---: | ---: |")
    for name in rounds[0]:
        shares = [100 * fps[name] / fps["benchmark_app"] for fps in rounds]
        ends = f"{min(shares):.0f} to {max(shares):.0f} %"
        fps = median(fps[name] for fps in rounds)
        print(f"| {name} | {fps:.1f} | {median(shares):.0f} % | {ends} |")


def measure(model: Path, video: Path, seconds: float) -> dict[str, float]:
    """Run one round; return frames per second."""
    options = ["-m", str(model), "-d", "CPU", "-hint", "throughput", "-t", f"{max(1, seconds):.0f}"]
    command = [sys.executable, "-c", BENCHMARK_APP, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    app_fps = float(re.search(r"Throughput:\s+([\d.]+) FPS", done.stdout)[1])
    image_bgr = cv2.VideoCapture(str(video)).read()[1]
    with Detector(model, throughput=True) as detector:
        canvas_bgr = letterbox(image_bgr, detector.backend.input_hw)
        return {
            "benchmark_app": app_fps,
            "inference": throughput_fps(detector.backend, canvas_bgr, seconds),
            "end to end": end_to_end_fps(detector, video, seconds),
        }


if __name__ == "__main__":
    main()
