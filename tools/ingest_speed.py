"""How fast `ingest` is, and how much memory it takes, against decoding alone.

    python -m tools.ingest_speed [--images 10000] [--repeats 2] [--zip]

Writes that many JPEG pictures of 1280x720 (about 150 KB each) as an export into a temporary folder
and runs, in turn and each as a process of its own: the stage, which decodes, hashes and copies
every picture; a loop that only decodes with cv2.imread; and the same loop on all cores. Prints
the median of each. Needs 4 MB of disk for ten pictures, and a quarter of an hour for 10,000 on
two cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
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
    parser = argparse.ArgumentParser(prog="python -m tools.ingest_speed", description=main.__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--zip", action="store_true", help="give the stage a zip, not a folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch, "export"), Path(scratch, "out")
        make = [sys.executable, "-m", "tools.pictures", str(folder), str(arguments.images)]
        subprocess.run(make, cwd=ROOT, check=True)
        export = as_zip(folder, Path(scratch, "export.zip")) if arguments.zip else folder
        stage = [sys.executable, "-m", "stages.ingest.__main__", str(export), str(out)]
        decode = [sys.executable, "-c", DECODE, str(folder)]
        commands = {
            "ingest": stage,
            "cv2.imread, one thread": [*decode, "1"],
            "cv2.imread, a thread a core": [*decode, str(os.cpu_count())],
        }
        runs = {name: [] for name in commands}
        for _ in range(arguments.repeats):
            for name, command in commands.items():
                runs[name].append(measured(command, Path(scratch)))
    print_table(runs, arguments.images)


def as_zip(folder: Path, path: Path) -> Path:
    """The folder as a zip without compression, as CVAT writes it."""
    with ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB (10**6 bytes) of a process.

    On Linux the peak is never below that of the process that starts it, which is why this module
    loads nothing large.

    Raises:
        RuntimeError: it failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begin = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise RuntimeError(f"{' '.join(command[:3])} ended with status {status}")
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit / 1e6


def print_table(runs: dict[str, list[tuple[float, float]]], images: int) -> None:
    """Images a second, their ratio to the decoding loop, and memory; medians of the repeats."""
    rates = {name: images / median(s for s, _ in values) for name, values in runs.items()}
    base = rates["cv2.imread, one thread"]
    print(f"{images} pictures, {os.cpu_count()} cores, {len(runs['ingest'])} repeats")
    print(f"{'':28}{'images/s':>10}{'ratio':>8}{'peak MB':>10}")
    for name, values in runs.items():
        peak_mb = max(peak for _, peak in values)
        print(f"{name:28}{rates[name]:10.0f}{rates[name] / base:8.2f}{peak_mb:10.0f}")


if __name__ == "__main__":
    main()
