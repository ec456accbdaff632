"""Compare our throughput with that of OpenVINO's benchmark_app on the same model file.

    python -m tools.vs_benchmark_app MODEL.xml VIDEO

Interleaved: benchmark_app in its own process, our inference alone, and ours from the video file to
drawn boxes. Prints median FPS, and the median share of benchmark_app within a round with the
lowest and the highest.
"""

import argparse
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from detector import Detector
from detector.core.boxes import letterbox
from stages.benchmark.interleave import interleave
from stages.benchmark.modes import end_to_end_fps, throughput_fps

SLICE_SECONDS, ROUNDS = 4, 5
BENCHMARK_APP = "from openvino.tools.benchmark.main import main; main()"


def main() -> None:
    """Compare with benchmark_app."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.vs_benchmark_app", description=main.__doc__
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    arguments = parser.parse_args()
    with Detector(arguments.model, throughput=True) as detector:
        image_bgr = cv2.VideoCapture(str(arguments.video)).read()[1]
        canvas_bgr = letterbox(image_bgr, detector.backend.input_hw)
        measurements = {
            "benchmark_app": partial(benchmark_app_fps, arguments.model),
            "inference": partial(throughput_fps, detector.backend, canvas_bgr),
            "end to end": partial(end_to_end_fps, detector, arguments.video),
        }
        rounds = interleave(
            measurements, ROUNDS * SLICE_SECONDS * len(measurements), SLICE_SECONDS,
            min_rounds=ROUNDS,
        )  # fmt: skip
    print("| measured | FPS | share of benchmark_app | lowest to highest |")
    print("| --- | ---: | ---: | ---: |")
    for name, fps in rounds.results.items():
        shares = 100 * np.array(fps) / rounds.results["benchmark_app"]
        ends = f"{shares.min():.0f} to {shares.max():.0f} %"
        print(f"| {name} | {np.median(fps):.1f} | {np.median(shares):.0f} % | {ends} |")
    print(rounds.warning)


def benchmark_app_fps(model: Path, seconds: float) -> float:
    """Run benchmark_app once."""
    options = ["-m", str(model), "-d", "CPU", "-hint", "throughput", "-t", f"{max(1, seconds):.0f}"]
    command = [sys.executable, "-c", BENCHMARK_APP, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(re.search(r"Throughput:\s+([\d.]+) FPS", done.stdout)[1])


if __name__ == "__main__":
    main()
