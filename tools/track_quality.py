"""Tell what it costs to detect in fewer frames of a camera.

    python -m tools.track_quality VIDEO TRUTH.jsonl MODEL [--crowd 24]

VIDEO and TRUTH are those of tools/street_video.py; MODEL is one that finds plates. Runs `detect`
with several ways to choose frames and compares what it writes with TRUTH, frame by frame. For
`--every auto`, VIDEO is CROWD sources at once, more than the machine keeps pace with.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from stages.evaluation.matching import match

WAYS = {
    "every frame": [],
    "`--when-moving`": ["--when-moving"],
    "`--every 2`": ["--every", "2"],
    "`--every 5`": ["--every", "5"],
}


def main() -> None:
    """Tell what it costs to detect in fewer frames of a camera."""
    parser = argparse.ArgumentParser(prog="python -m tools.track_quality", description=main.__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--crowd", type=int, default=24)
    arguments = parser.parse_args()
    truth = read(arguments.truth)
    ways = {way: (options, 1) for way, options in WAYS.items()}
    ways[f"`--every auto`, {arguments.crowd} at once"] = ["--every", "auto"], arguments.crowd
    print("| frames | detected in | vehicles seen | of their frames | wrong boxes | ids a vehicle "
          "| delay, s |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |")  # fmt: skip
    for way, (options, sources) in ways.items():
        found, detected = run(arguments.video, sources, arguments.model, options)
        print(f"| {way} | {detected} | {' | '.join(compare(truth, found))} |")


def read(path: Path) -> dict[int, dict]:
    """Read lines of `--json` by the number of their frame."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["frame"]: row for row in rows}


def run(video: Path, sources: int, model: Path, options: list[str]) -> tuple[dict[int, dict], int]:
    """Run `detect --track` on a video, several times at once; return what it writes of the first,
    and in how many of its frames it detected."""
    with TemporaryDirectory() as folder:
        names = [Path(folder) / f"{number}{video.suffix}" for number in range(sources)]
        for name in names:
            name.symlink_to(video.resolve())
        command = [sys.executable, "-m", "detector", *map(str, names), "--model", str(model)]
        done = subprocess.run(
            [*command, "--track", "--json", "-", *options], check=True, capture_output=True,
            text=True,
        )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = {row["frame"]: row for row in rows if row["source"] == str(names[0])}
    table = re.search(r"^0 +\d+ +\S+ +\d+ +(\d+)|(\d+) of them went through", done.stderr, re.M)
    return found, int(table[1] or table[2]) if table else len(found)


def compare(truth: dict[int, dict], found: dict[int, dict]) -> list[str]:
    """Return the cells of a row. A frame that was left out stands for what was found before it."""
    appeared_s: dict[int, float] = {}
    seen_s: dict[int, float] = {}
    ids: dict[int, list[int]] = {}
    frames = hits = wrong = 0
    latest: list[dict] = []
    for number, row in truth.items():
        latest = found[number]["detections"] if number in found else latest
        own, others = (as_rows(side) for side in (latest, row["detections"]))
        pairs = [index for index, _ in match(own, others)]
        wrong += pairs.count(None)
        frames += len(others)
        for vehicle in row["detections"]:
            appeared_s.setdefault(vehicle["id"], row["time_s"])
        for box, index in zip(latest, pairs, strict=True):
            if index is None:
                continue
            vehicle = row["detections"][index]["id"]
            hits += 1
            seen_s.setdefault(vehicle, row["time_s"])
            if box["id"] is not None and box["id"] not in ids.setdefault(vehicle, []):
                ids[vehicle].append(box["id"])
    delays_s = [seen_s[vehicle] - appeared_s[vehicle] for vehicle in seen_s]
    each = sum(map(len, ids.values())) / max(1, len(ids))
    return [
        f"{len(seen_s)} of {len(appeared_s)}", f"{100 * hits / frames:.0f} %",
        f"{wrong} in {len(truth)} frames", f"{each:.2f}", f"{median(delays_s):.1f}",
    ]  # fmt: skip


def as_rows(boxes: list[dict]) -> list[dict]:
    """Turn boxes of a line into rows that can be matched."""
    return [
        {"bbox": [x0, y0, x1 - x0, y1 - y0], "category_id": 1}
        for x0, y0, x1, y1 in (box["box_xyxy"] for box in boxes)
    ]


if __name__ == "__main__":
    main()
