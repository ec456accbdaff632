"""Measure speed and memory of the stage `ingest` against plain decoding.

    python -m tools.ingest_speed

Writes 10,000 JPEG images of 1280x720 (about 150 KB each) as a CVAT export and runs, one after the
other and each in a process of its own: the stage, which decodes, hashes and copies every image; a
loop of cv2.imread; and the same loop with a thread per core. Prints medians. Needs 4 GB of disk,
and a quarter of an hour on two cores.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tools.params_file import ROOT, write_params

IMAGES, REPEATS = 10_000, 2
WIDTH, HEIGHT = 1280, 720
CONTENTS = 24  # different images; the others repeat them with another comment
DECODE = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import cv2
paths = [str(path) for path in Path(sys.argv[1]).rglob("*.jpg")]
with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    assert all(pool.map(lambda path: cv2.imread(path) is not None, paths))
"""


def main() -> None:
    """Measure the stage `ingest`."""
    with tempfile.TemporaryDirectory() as scratch:
        export = Path(scratch, "export")
        # In a process of its own: see `measure`.
        spawn = multiprocessing.get_context("spawn")
        writer = spawn.Process(target=write_export, args=(export, IMAGES))
        writer.start()
        writer.join()
        write_params(Path(scratch), {"data.export": str(export)})
        commands = {
            "ingest": ["-m", "stages.ingest", "dataset"],
            "cv2.imread, one thread": ["-c", DECODE, str(export), "1"],
            "cv2.imread, a thread per core": ["-c", DECODE, str(export), str(os.cpu_count())],
        }
        runs = {name: [] for name in commands}
        for _ in range(REPEATS):
            for name, command in commands.items():
                runs[name].append(measure(command, Path(scratch)))
    print_table(runs)


def write_export(folder: Path, count: int) -> None:
    """Write a CVAT export of JPEG images that differ in their bytes, with one box each."""
    import cv2
    import numpy as np

    def jpeg(seed: int) -> bytes:
        """Draw soft shapes under the noise of a camera."""
        rng = np.random.default_rng(seed)
        soft = cv2.resize(rng.integers(0, 256, (18, 32, 3), np.uint8), (WIDTH, HEIGHT))
        noise = cv2.GaussianBlur(rng.normal(0, 14, soft.shape).astype(np.float32), (0, 0), 0.8)
        image_bgr = np.clip(soft + noise, 0, 255).astype(np.uint8)
        return cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 83])[1].tobytes()

    coco = {"categories": [{"id": 1, "name": "plate"}], "images": [], "annotations": []}
    (folder / "annotations").mkdir(parents=True)
    (folder / "images/default").mkdir(parents=True)
    contents = [jpeg(seed) for seed in range(min(CONTENTS, count))]
    for number in range(1, count + 1):
        data, name = contents[number % len(contents)], f"frame_{number:06d}.jpg"
        # A comment behind the start marker makes the bytes unique.
        comment = b"\xff\xfe" + (len(name) + 2).to_bytes(2, "big") + name.encode()
        (folder / "images/default" / name).write_bytes(data[:2] + comment + data[2:])
        coco["images"].append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        box = {"id": number, "image_id": number, "category_id": 1, "bbox": [100, 200, 80, 24]}
        coco["annotations"].append(box)
    (folder / "annotations/instances_default.json").write_text(json.dumps(coco))


def measure(arguments: list[str], folder: Path) -> tuple[float, float]:
    """Run Python in a folder; return seconds and peak memory in MB (10**6 bytes).

    On Linux the peak is never below that of the process that starts it, which is why this module
    imports nothing large.

    Raises:
        CalledProcessError: it failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command, begin = [sys.executable, *arguments], time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command[:3])
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return seconds, usage.ru_maxrss * unit / 1e6


def print_table(runs: dict[str, list[tuple[float, float]]]) -> None:
    """Print images per second, their ratio to the decoding loop, and memory."""
    rates = {name: IMAGES / median(s for s, _ in values) for name, values in runs.items()}
    base = rates["cv2.imread, one thread"]
    print(f"{IMAGES} images, {os.cpu_count()} cores, {REPEATS} repeats")
    print(f"{'':30}{'images/s':>10}{'ratio':>8}{'peak MB':>10}")
    for name, values in runs.items():
        peak_mb = max(peak for _, peak in values)
        print(f"{name:30}{rates[name]:10.0f}{rates[name] / base:8.2f}{peak_mb:10.0f}")


if __name__ == "__main__":
    main()
