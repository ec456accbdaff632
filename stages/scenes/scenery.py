"""Scenery around the traffic: sky, road, houses, trees, signs, people.

In: a `Canvas`, a random generator and the `Sky`. Out: paint on the canvas.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from stages.scenes.canvas import SHINING, Canvas, Colour, disc, lettering, rectangle, rounded, tone

LANE = 3.3  # metres
BARRIERS = ((0.0, 1.0, (120, 125, 128)), (0.0, 1.6, (45, 75, 60)), (0.45, 0.78, (150, 150, 148)))
WALLS = ((165, 170, 172), (70, 85, 140), (140, 175, 195), (215, 220, 222), (115, 120, 125))
NAMES = ("PHARMACY", "BAKERY", "OPEN 24", "HOTEL", "CAFE 63", "BANK", "MARKET", "SALE -50", "TYRES")


@dataclass(frozen=True)
class Sky:
    """Effects of the hour and the weather on a scene."""

    ambient: float  # what is left of daylight, 0..1
    lit: bool  # lamps are on
    rain: bool
    top: Colour
    bottom: Colour


def backdrop(canvas: Canvas, rng: np.random.Generator, sky: Sky) -> None:
    """Sky, clouds and what stands on the horizon."""
    height, width = canvas.marks.shape
    rows = min(height, math.ceil(canvas.horizon + 0.05 * width))  # a rolled horizon is not level
    share = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None]
    gradient = np.float32(sky.top) * (1 - share) + np.float32(sky.bottom) * share
    small = rng.standard_normal((6, 5), np.float32)
    clouds = cv2.resize(small, (width, rows), interpolation=cv2.INTER_CUBIC)
    canvas.image[:rows] = np.clip(gradient * (1 + 0.05 * clouds[..., None]), 0, 255)
    dark = tone((105, 110, 105), rng.uniform(0.6, 1.1), rng.normal(0, 8, 3))
    for x in rng.uniform(-220, 220, rng.integers(8, 40)):
        wide, tall = rng.uniform(6, 40), rng.uniform(3, 22)
        shape = rectangle(x - wide, -1, x + wide, tall, 180)
        if rng.random() < 0.5:
            shape = disc(x, 0, 180, 0.6 * tall, 3)
        canvas.fill(shape, tone(dark, rng.uniform(0.8, 1.2)))


def _pave(canvas: Canvas, x0: float, x1: float, z0: float, z1: float, colour: Colour) -> None:
    """Fill a strip of ground, piece by piece, so that it bends and fades with the distance."""
    ends = np.geomspace(z0, z1, max(2, int(5 * np.log(z1 / z0))))
    for near, far in pairwise(ends):
        corners = [(x0, 0, near), (x0, 0, far), (x1, 0, far), (x1, 0, near)]
        canvas.fill(np.array(corners), colour)


def road(canvas: Canvas, rng: np.random.Generator) -> list[float]:
    """Ground, asphalt and markings. Returns the middle of every lane, in metres."""
    verge = ((90, 100, 105), (70, 110, 95), (60, 95, 70), (120, 125, 128))[rng.integers(4)]
    _pave(canvas, -400, 400, 0.6, 900, tone(verge, rng.uniform(0.7, 1.1)))
    lanes = int(rng.integers(2, 6))
    first = -LANE * (0.5 + rng.integers(0, lanes)) + rng.normal(0, 0.3)
    last = first + lanes * LANE
    kerb = rng.uniform(2.2, 4)
    if rng.random() < 0.6:
        _pave(canvas, first - 2 * kerb, last + 2 * kerb, 0.6, 300, tone((150, 152, 152), 0.9))
    asphalt = tone((98, 96, 95), rng.uniform(0.55, 1.25), rng.normal(0, 4, 3))
    _pave(canvas, first - 2.3, last + 2.3, 0.6, 400, asphalt)
    for x in rng.uniform(first, last, 5):  # worn tracks and patches
        z = rng.uniform(2, 30)
        _pave(
            canvas,
            x,
            x + rng.uniform(0.3, 2),
            z,
            z * rng.uniform(1.3, 4),
            tone(asphalt, rng.uniform(0.88, 1.08)),
        )
    white = tone((225, 228, 228), rng.uniform(0.65, 1.0))
    line, dash = rng.uniform(0.1, 0.18), rng.uniform(2, 4)
    for x in (first, last):
        _pave(canvas, x - line / 2, x + line / 2, 1.2, 120, white)
    for x in first + LANE * np.arange(1, lanes):
        for z in np.arange(rng.uniform(1.2, 6), 70, dash * 2.5):
            _pave(canvas, x - line / 2, x + line / 2, z, z + dash, white)
    centres = first + LANE * (np.arange(lanes) + 0.5)
    if rng.random() < 0.3:
        arrow = [(-0.1, 0), (-0.1, 2), (-0.4, 2), (0, 3.4), (0.4, 2), (0.1, 2), (0.1, 0)]
        x, z = rng.choice(centres), rng.uniform(3.5, 12)
        canvas.fill(np.array([(x + dx, 0, z + dz) for dx, dz in arrow]), white)
    if rng.random() < 0.2:
        z = rng.uniform(4, 20)
        for x in np.arange(first, last, 1.1):
            _pave(canvas, x, x + 0.55, z, z + 3, white)
    if rng.random() < 0.35:
        _barrier(canvas, rng, rng.choice([first - 2.5, last + 2.5]))
    return [first - 1.2, *centres, last + 1.2]


def _barrier(canvas: Canvas, rng: np.random.Generator, x: float) -> None:
    """A wall, a hedge or a crash barrier along the road."""
    low, high, colour = BARRIERS[rng.integers(len(BARRIERS))]
    z = np.geomspace(1, 150, 40)
    bottom, top = (
        np.stack([z * 0 + x, z * 0 + low, z], 1),
        np.stack([z * 0 + x, z * 0 + high, z], 1),
    )
    for start in range(0, 39):
        piece = np.stack([bottom[start], top[start], top[start + 1], bottom[start + 1]])
        canvas.fill(piece, tone(colour, rng.uniform(0.9, 1.05)))


def grain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Dirt and texture at several scales, since nothing outdoors has one flat colour."""
    height, width = canvas.marks.shape
    noise = np.zeros((height, width), np.float32)
    for cells, strength in ((6, 0.06), (40, 0.018), (260, 0.04)):
        small = rng.standard_normal((cells, cells), np.float32) * strength
        noise += cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    noise[: int(canvas.horizon)] *= 0.4
    canvas.image[:] = np.clip(canvas.image * (1 + noise[..., None]), 0, 255)


def building(
    canvas: Canvas, rng: np.random.Generator, sky: Sky, side: int, x: float, z: float, long: float
) -> None:
    """A house along the road: its gable, its long front, windows, and perhaps a shop."""
    storeys, storey = int(rng.integers(1, 7)), rng.uniform(2.7, 3.4)
    top, far, deep = storeys * storey + rng.uniform(0.3, 1.5), z + long, side * rng.uniform(8, 14)
    wall = tone(WALLS[rng.integers(len(WALLS))], rng.uniform(0.6, 1.1), rng.normal(0, 6, 3))
    canvas.fill(rectangle(min(x, x + deep), 0, max(x, x + deep), top, z), tone(wall, 0.8))

    def front(z0: float, y0: float, z1: float, y1: float) -> np.ndarray:
        """On the long front, from top left as one reads it from the road."""
        left, right = (z0, z1) if side > 0 else (z1, z0)
        near_first = [(right, y1), (left, y1), (left, y0), (right, y0)]
        return np.array([(x, y, z) for z, y in near_first])

    canvas.fill(front(z, 0, far, top), wall)
    canvas.shade(front(z, 0, far, top), 1.08, 0.8)
    wide, gap = rng.uniform(0.9, 2.0), rng.uniform(0.8, 2.0)
    columns = np.arange(z + gap, far - wide, wide + gap)
    rows = np.arange(rng.random() < 0.5, storeys) * storey + 1.0
    panes = [front(a, y, a + wide, y + 1.5) for y in rows for a in columns]
    panes += [
        rectangle(a, y, a + wide, y + 1.5, z)
        for y in rows
        for a in min(x, x + deep) + np.arange(gap, abs(deep) - wide, wide + gap)
    ]
    glow = rng.random(len(panes)) < (rng.uniform(0.1, 0.5) if sky.lit else 0)
    for on, colour, mark in (
        (False, tone((75, 70, 65), rng.uniform(0.6, 1.5)), 0),
        (True, tone((120, 190, 230), rng.uniform(0.5, 1)), SHINING),
    ):
        chosen = [pane for pane, lit in zip(panes, glow, strict=True) if lit == on]
        if chosen:
            canvas.fill(np.stack(chosen), colour, mark)
    if rng.random() < 0.6:
        start = rng.uniform(z, max(z, far - 6))
        board = _board(rng, [str(rng.choice(NAMES))], (48, 260))
        canvas.decal(board, front(start, 2.8, start + 5, 3.6), SHINING if sky.lit else 0)


def _board(rng: np.random.Generator, lines: list[str], hw: tuple[int, int]) -> np.ndarray:
    """Letters on a board, light on dark or dark on light."""
    strong, pale = rng.integers(0, 150, 3), rng.integers(195, 256, 3)
    ink, paper = (strong, pale) if rng.random() < 0.5 else (pale, strong)
    return lettering(lines, hw, tuple(ink.tolist()), tuple(paper.tolist()), int(rng.integers(2, 6)))


def tree(canvas: Canvas, rng: np.random.Generator, sky: Sky, x: float, z: float) -> None:
    """A tree, in leaf or bare."""
    tall = rng.uniform(3.5, 10)
    bark = tone((55, 62, 70), rng.uniform(0.6, 1.2))
    canvas.fill(rectangle(x - 0.13, 0, x + 0.13, 0.6 * tall, z), bark)
    if rng.random() < 0.4:
        for _ in range(45):
            y, lean = rng.uniform(0.3, 0.7) * tall, rng.normal(0, 0.28) * tall
            tip = rng.uniform(0.1, 0.35) * tall
            twig = [(x - 0.03, y, z), (x + lean, y + tip, z), (x + 0.05, y, z)]
            canvas.fill(np.array(twig), bark)
        return
    leaf = tone((45, 75, 60), rng.uniform(0.5, 1.3), rng.normal(0, 8, 3))
    for number in range(60 if z < 30 else 35):
        dx, dy = rng.normal(0, 0.1, 2) * tall
        low, high, light = (0.08, 0.13, 0.6) if number < 15 else (0.02, 0.06, 0.95)
        blob = disc(x + dx, 0.68 * tall + dy, z, rng.uniform(low, high) * tall)
        canvas.fill(blob, tone(leaf, light * rng.uniform(0.75, 1.2) + 1.5 * dy / tall))


def post(canvas: Canvas, rng: np.random.Generator, sky: Sky, x: float, z: float) -> None:
    """A pole that carries a lamp, a traffic light, a road sign or a billboard."""
    kind = rng.choice(
        ["lamp", "lights", "round", "direction", "billboard"], p=(0.4, 0.1, 0.22, 0.2, 0.08)
    )
    tall = {"lamp": 7.5, "lights": 3.6, "billboard": 4.2}.get(kind, rng.uniform(2.2, 3.2))
    grey = tone((110, 110, 110), rng.uniform(0.5, 1.2))
    canvas.fill(rectangle(x - 0.06, 0, x + 0.06, tall, z), grey)
    if kind == "lamp":
        arm = -np.sign(x) * rng.uniform(0.5, 2)
        canvas.fill(rectangle(min(x, x + arm), tall - 0.08, max(x, x + arm), tall, z), grey)
        colour = (190, 225, 255) if rng.random() < 0.5 else (120, 195, 255)
        bulb = disc(x + arm, tall - 0.12, z, 0.16, 2)
        canvas.fill(bulb, colour if sky.lit else (150, 150, 150), SHINING if sky.lit else 0)
    elif kind == "lights":
        canvas.fill(rectangle(x - 0.17, tall - 1.0, x + 0.17, tall, z), (25, 25, 25))
        colour = ((60, 50, 250), (60, 190, 250), (150, 240, 60))[rng.integers(3)]
        canvas.fill(disc(x, tall - rng.choice([0.2, 0.5, 0.8]), z, 0.11), colour, SHINING)
    elif kind == "round":
        canvas.fill(disc(x, tall, z, 0.36), (45, 40, 190))
        canvas.fill(disc(x, tall, z, 0.28), (235, 235, 235))
        board = lettering(
            [str(rng.choice([30, 40, 50, 70]))], (60, 60), (25, 25, 25), (235, 235, 235)
        )
        canvas.decal(board, rectangle(x - 0.17, tall - 0.17, x + 0.17, tall + 0.17, z))
    elif kind == "direction":
        paper = ((150, 70, 20), (80, 110, 20), (235, 235, 235), (30, 200, 245))[rng.integers(4)]
        ink = (240, 240, 240) if sum(paper) < 400 else (20, 20, 20)
        lines = [f"{rng.choice(['CENTRE', 'A7', 'E81 NORD', 'PORT'])} {rng.integers(1, 99)}"]
        board = lettering(lines * int(rng.integers(1, 3)), (90, 240), ink, paper)
        canvas.decal(board, rectangle(x - 0.9, tall - 0.4, x + 0.9, tall + 0.4, z))
    else:
        lines = [str(name) for name in rng.choice(NAMES, 2)]
        board = _board(rng, lines, (140, 240))
        canvas.decal(
            board, rectangle(x - 2.2, tall - 1, x + 2.2, tall + 1.6, z), SHINING if sky.lit else 0
        )


def person(canvas: Canvas, rng: np.random.Generator, sky: Sky, x: float, z: float) -> None:
    """Somebody on foot."""
    coat, trousers = rng.integers(20, 190, 3), rng.integers(20, 90, 3)
    step = rng.uniform(0.02, 0.2)
    for dx in (-step, step):
        leg = [(x - 0.1, 0.9, z), (x + 0.1, 0.9, z), (x + dx + 0.08, 0, z), (x + dx - 0.08, 0, z)]
        canvas.fill(np.array(leg), tuple(trousers.tolist()))
    body = rounded(rectangle(x - 0.22, 0.8, x + 0.22, 1.5, z), 0.1)
    canvas.fill(body, tuple(coat.tolist()))
    canvas.shade(body, 1.2, 0.7)
    canvas.fill(disc(x, 1.62, z, 0.12, 0.8), tone((100, 125, 170), rng.uniform(0.4, 1)))
    canvas.fill(
        rounded(rectangle(x - 0.1, 1.64, x + 0.1, 1.76, z)),
        tone((40, 45, 60), rng.uniform(0.3, 1.5)),
    )
