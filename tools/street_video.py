"""Draw a video of a still camera at a street, and where the plates are in it.

    python -m tools.street_video OUT.mp4 TRUTH.jsonl [--seconds 60] [--fps 10] [--seed 0]

Vehicles pass in two lanes, with pauses. TRUTH has a line for each frame, as `detect --json` writes
them: the plates that one would label, each with the id of its vehicle.
"""

import argparse
import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from detector.video.video_writer import VideoWriter
from stages.common.run import progress
from stages.scenes.bodies import CARS, Pose
from stages.scenes.canvas import Canvas
from stages.scenes.plates import MIN_HEIGHT, MIN_WIDTH
from stages.scenes.scenery import LANE, Sky, backdrop, building, grain, road, tree
from stages.scenes.vehicles import draw_vehicle

HW = 720, 1280
NEAREST_M, FARTHEST_M = 6.5, 70.0
GAP_S = 2.5  # between two vehicles of a lane, at least
PAUSE_S = 9.0  # mean time until the next one
SEEN_PART = 0.55  # of a plate that one would label
NOISE = 2.0  # of a sensor, standard deviation of 255


@dataclass(frozen=True)
class Passage:
    """A vehicle that drives along a lane at a steady speed.

    Attributes:
        seed: decides how it looks.
        kind: of vehicle.
        x: the middle of the lane, metres to the right of the camera.
        begins_s: when it appears.
        speed: metres a second, towards the camera if below 0.
    """

    seed: int
    kind: str
    x: float
    begins_s: float
    speed: float

    def z(self, time_s: float) -> float:
        """Return its distance in metres."""
        start = NEAREST_M if self.speed > 0 else FARTHEST_M
        return start + self.speed * (time_s - self.begins_s)

    def is_there(self, time_s: float) -> bool:
        return time_s >= self.begins_s and NEAREST_M <= self.z(time_s) <= FARTHEST_M


def main() -> None:
    """Draw a video of a still camera at a street, and where the plates are in it."""
    parser = argparse.ArgumentParser(prog="python -m tools.street_video", description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    street, passages = empty_street(rng), [*traffic(rng, arguments.seconds)]
    with arguments.out.open("wb") as video, arguments.truth.open("w") as truth:
        writer = VideoWriter(video, arguments.out.suffix, HW[::-1], arguments.fps)
        for number in progress(range(round(arguments.seconds * arguments.fps)), "drawing frames"):
            time_s = number / arguments.fps
            image_bgr, plates = draw_frame(street, passages, time_s, rng)
            writer.write(image_bgr, time_s)
            line = {"source": arguments.out.name, "frame": number, "time_s": round(time_s, 3)}
            print(json.dumps({**line, "detections": plates}), file=truth)
        writer.close()


def empty_street(rng: np.random.Generator) -> Canvas:
    """Draw what does not move."""
    sky = Sky(1.0, False, False, (225, 165, 110), (235, 228, 220))
    canvas = Canvas(
        image=np.zeros((*HW, 3), np.uint8), marks=np.zeros(HW, np.uint8), focal=1.1 * HW[1],
        horizon=0.3 * HW[0], eye=3.0,
    )  # fmt: skip
    backdrop(canvas, rng, sky)
    road(canvas, rng)
    grain(canvas, rng)
    for side in (-1, 1):
        for z in (60.0, 38.0, 20.0):
            building(canvas, rng, sky, side, side * 11.0, z, 14.0)
            tree(canvas, rng, sky, side * 8.5, z - 4)
    return canvas


def traffic(rng: np.random.Generator, seconds: float) -> Iterator[Passage]:
    """Yield vehicles of two lanes: the left one comes, the right one goes."""
    kinds = sorted(CARS)
    for lane, sign in ((-0.5 * LANE, -1), (0.8 * LANE, 1)):
        # One speed for a lane, so that nobody drives through another one.
        time_s, speed = rng.uniform(0, 2), sign * rng.uniform(8, 11)
        while time_s < seconds:
            seed, kind = int(rng.integers(2**31)), str(rng.choice(kinds))
            yield Passage(seed, kind, lane + rng.normal(0, 0.2), time_s, speed)
            time_s += GAP_S + rng.exponential(PAUSE_S - GAP_S)


def draw_frame(
    street: Canvas, passages: list[Passage], time_s: float, rng: np.random.Generator
) -> tuple[np.ndarray, list[dict]]:
    """Draw the street at a time; return image_bgr and its plates as `--json` writes them."""
    canvas, drawn = deepcopy(street), []
    there = [(number, one) for number, one in enumerate(passages, 1) if one.is_there(time_s)]
    for number, one in sorted(there, key=lambda item: -item[1].z(time_s)):
        pose, own = Pose(one.x, one.z(time_s), 0.0), np.random.default_rng(one.seed)
        draw_vehicle(canvas, own, pose, one.kind, front=one.speed < 0, lit=False)
        drawn += [number] * (len(canvas.plates) - len(drawn))
    boxes = map(partial(visible_box, canvas), range(1, len(drawn) + 1))
    plates = [
        {"box_xyxy": [round(float(x), 2) for x in box], "score": 1.0, "label": "LP", "id": number}
        for number, box in zip(drawn, boxes, strict=True)
        if box is not None
    ]
    noisy = cv2.GaussianBlur(canvas.image, (0, 0), 0.8) + rng.normal(0, NOISE, (*HW, 1))
    return noisy.clip(0, 255).astype(np.uint8), plates


def visible_box(canvas: Canvas, mark: int) -> np.ndarray | None:
    """Return the box_xyxy of a plate; None if it is too small, or hidden."""
    quad, _ = canvas.plates[mark - 1]
    box = np.clip([*quad.min(axis=0), *quad.max(axis=0)], 0, (*HW[::-1],) * 2)
    wide, high = (box[2:] - box[:2]) / canvas.unit
    seen = np.count_nonzero(canvas.marks == mark)
    hidden = seen < SEEN_PART * cv2.contourArea(quad.astype(np.float32))
    return None if hidden or wide < MIN_WIDTH or high < MIN_HEIGHT else box


if __name__ == "__main__":
    main()
