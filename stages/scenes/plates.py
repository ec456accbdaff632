"""Licence plates: how they look, and how one gets onto a `Canvas`.

In: a canvas, a random generator and a place. Out: paint on the canvas; every plate that is painted
is listed in `canvas.plates`, and its pixels carry its number (1, 2, ...) in `canvas.marks`.
"""

from collections.abc import Callable

import cv2
import numpy as np

from stages.scenes.canvas import Canvas, Colour, disc, lettering, rectangle

MIN_WIDTH, MIN_HEIGHT = 12, 3  # pixels of a 960 pixels wide picture
PAINTS = (  # paper, ink, share
    ((238, 238, 236), (25, 22, 22), 0.66),
    ((60, 200, 240), (20, 20, 20), 0.12),
    ((236, 236, 232), (40, 30, 150), 0.05),
    ((236, 236, 232), (130, 60, 20), 0.05),
    ((215, 240, 215), (45, 70, 30), 0.02),
    ((28, 26, 26), (225, 225, 225), 0.06),
    ((130, 60, 25), (235, 235, 235), 0.04),
)
BRIGHT_PAINTS = PAINTS[:5]
DARK_MIN_WIDTH = 40  # pixels again; nobody would find a smaller dark plate on a dark car
SIZES = (((0.52, 0.115), 0.68), ((0.50, 0.13), 0.2), ((0.33, 0.165), 0.12))  # metres, share
MOTORBIKE_SIZE = (0.24, 0.16)


def choose(rng: np.random.Generator, table: tuple) -> tuple:
    """A row of a table whose last column holds shares that add up to about 1."""
    shares = np.array([row[-1] for row in table])
    return table[rng.choice(len(table), p=shares / shares.sum())]


def number_text(rng: np.random.Generator) -> str:
    """Something that reads like a registration number."""
    letters = "".join(rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ"), 5))
    digits = "".join(map(str, rng.integers(0, 10, 4)))
    patterns = (
        f"{letters[:1]} {digits[:3]} {letters[1:4]}",
        f"{letters[:2]} {digits[:2]} {letters[2:5]}",
        f"{letters[:2]}-{digits[:3]}-{letters[2:4]}",
        f"{letters[:3]} {digits}",
        f"{letters[:2]} {letters[2:4]} {digits[:3]}",
        f"{digits[:1]}{letters[:3]} {digits[1:]}",
    )
    return patterns[rng.integers(len(patterns))]


def _texture(rng: np.random.Generator, width: float, height: float, paints: tuple) -> np.ndarray:
    """A licence plate as BGRA, 72 pixels high."""
    tall, wide = 72, round(72 * width / height)
    paper, ink, _ = choose(rng, paints)
    text = number_text(rng)
    lines = (
        [text]
        if width / height > 3
        else [text[: len(text) // 2].strip(" -"), text[len(text) // 2 :].strip(" -")]
    )
    band = round(0.5 * tall) if width / height > 3 and rng.random() < 0.6 else 0
    texture = np.full((tall, wide, 4), (*paper, 255), np.uint8)
    texture[:, band:] = lettering(lines, (tall, wide - band), ink, paper, int(rng.integers(2, 6)))
    if band:
        texture[:, :band, :3] = (150, 60, 15)
        cv2.circle(texture, (band // 2, tall // 3), tall // 8, (60, 200, 230, 255), 2, cv2.LINE_AA)
    if rng.random() < 0.7:
        cv2.rectangle(texture, (1, 1), (wide - 2, tall - 2), (*ink, 255), 2)
    for _ in range(rng.integers(0, 8) if rng.random() < 0.35 else 0):
        centre = int(rng.integers(wide)), int(rng.integers(tall))
        cv2.circle(texture, centre, int(rng.integers(2, 12)), (70, 85, 95, 255), -1, cv2.LINE_AA)
    light = np.linspace(*rng.uniform(0.72, 1.0, 2), wide)[None, :, None]
    texture[..., :3] = texture[..., :3] * light
    return texture


def paint_plate(
    canvas: Canvas,
    rng: np.random.Generator,
    place: Callable[[np.ndarray], np.ndarray],
    size: tuple[float, float],
    behind: Colour,
) -> None:
    """Paint one plate, unless it comes out too small to be recognised as one.

    Args:
        canvas: what to paint on.
        rng: decides everything else about the plate.
        place: takes points [N, 3] around the middle of the plate, x right and y up, in metres, to
            the metres of the canvas.
        size: width and height in metres.
        behind: the colour that takes its place where it turns out to be hidden.
    """
    width, height = size
    tilt = rng.normal(0, 0.015)
    turn = np.array([[np.cos(tilt), np.sin(tilt), 0], [-np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    own = rectangle(-width / 2, -height / 2, width / 2, height / 2) @ turn
    quad = place(own)
    pixels = canvas.project(quad)
    wide, high = np.ptp(pixels, axis=0) / canvas.unit
    across, upright = np.linalg.norm(pixels[[1, 3]] - pixels[0], axis=1)
    if wide < MIN_WIDTH + 1 or high < MIN_HEIGHT + 0.5 or across < upright:
        return
    if rng.random() < 0.6:
        canvas.fill(place(own * (1.05, 1.18, 1)), (30, 30, 30))
    canvas.plates.append((pixels, behind))
    paints = BRIGHT_PAINTS if wide < DARK_MIN_WIDTH else PAINTS
    canvas.decal(_texture(rng, width, height, paints), quad, mark=len(canvas.plates))
    if rng.random() < 0.06:  # a tow ball
        canvas.fill(place(disc(0, -0.4 * height, -0.12, 0.035)), (45, 45, 48))
