"""Vehicles of several kinds, painted onto a `Canvas` with their licence plates.

In: a canvas, a random generator, and where a vehicle stands. Out: paint on the canvas, and plates
in `canvas.plates`.
"""

import numpy as np

from stages.scenes.bodies import (
    CARS,
    HEADLAMP,
    REAR_LAMP,
    SHAPES,
    Pose,
    Shape,
    Vehicle,
    cabin,
    flank,
    glass,
    lamps,
    underneath,
)
from stages.scenes.canvas import SHINING, Canvas, Colour, disc, lettering, rectangle, rounded, tone
from stages.scenes.plates import MOTORBIKE_SIZE, SIZES, choose

KINDS = tuple(zip(SHAPES, (0.2, 0.23, 0.14, 0.16, 0.07, 0.09, 0.045, 0.025, 0.04), strict=True))
PAINTS = (  # colour, share
    ((225, 228, 230), 0.2),
    ((170, 172, 172), 0.18),
    ((95, 95, 92), 0.15),
    ((38, 36, 36), 0.2),
    ((105, 55, 32), 0.09),
    ((35, 30, 140), 0.09),
    ((130, 165, 185), 0.03),
    ((60, 90, 52), 0.03),
    ((40, 165, 210), 0.03),
)


def draw_vehicle(
    canvas: Canvas, rng: np.random.Generator, pose: Pose, kind: str, front: bool, lit: bool
) -> None:
    """Paint a vehicle.

    Args:
        canvas: what to paint on.
        rng: decides paint, lamps, plate and decoration.
        pose: where it stands; its near face is the front or the rear.
        kind: a key of `SHAPES`.
        front: whether the near face is the front.
        lit: whether its lamps are on.
    """
    paint = tone(choose(rng, PAINTS)[0], rng.uniform(0.75, 1.08), rng.normal(0, 6, 3))
    vehicle = Vehicle(canvas, rng, pose, SHAPES[kind], paint, front, lit)
    underneath(vehicle)
    if vehicle.seen_side():
        flank(vehicle)
    if kind in CARS:
        cabin(vehicle)
        _car_face(vehicle)
        _car_lettering(vehicle)
    else:
        _box_face(vehicle, kind == "bus")


def _car_face(vehicle: Vehicle) -> None:
    """The near face of a car: body, bumper, badge and what differs between front and rear."""
    half, rng, paint, put = vehicle.half, vehicle.rng, vehicle.paint, vehicle.panel
    top, sill = vehicle.shape.belt + 0.02, 0.75 * vehicle.shape.tyre
    right = [(0.97, top), (1, 0.7 * top), (0.99, 0.45), (0.9, sill)]
    contour = right + [(-x, y) for x, y in reversed(right)]
    body = rounded(np.array([(x * half, y, 0) for x, y in contour]), 0.1)
    vehicle.fill(body, tone(paint, 0.92))
    vehicle.shade(body, rng.uniform(1.05, 1.35), rng.uniform(0.4, 0.75))
    bumper = rng.uniform(0.44, 0.58)
    put(-0.97 * half, bumper, 0.97 * half, bumper + 0.025, tone(paint, 0.5))
    trim = tone(paint, 0.75) if rng.random() < 0.6 else (45, 45, 45)
    put(-0.97 * half, sill + 0.08, 0.97 * half, bumper, trim)
    put(-0.8 * half, sill - 0.03, 0.8 * half, sill + rng.uniform(0.06, 0.2), (26, 26, 26))
    plate_y, behind = (_front if vehicle.front else _rear)(vehicle, bumper, trim)
    badge = top - 0.1
    vehicle.fill(disc(0, badge, -0.02, rng.uniform(0.03, 0.06)), (175, 175, 175))
    vehicle.fill(disc(0, badge, -0.02, 0.022), tone(paint, 0.6))
    put(-0.36, plate_y - 0.1, 0.36, plate_y + 0.1, behind)
    vehicle.plate(rng.normal(0, 0.02), plate_y, choose(rng, SIZES)[0], behind)


def _front(vehicle: Vehicle, bumper: float, trim: Colour) -> tuple[float, Colour]:
    """Grille and headlamps. Returns the height of the plate and the colour behind it."""
    half, rng, belt = vehicle.half, vehicle.rng, vehicle.shape.belt
    grille = rng.uniform(0.35, 0.62) * half
    vehicle.panel(-grille, bumper + 0.05, grille, belt - rng.uniform(0.08, 0.16), (28, 28, 28))
    for y in np.linspace(bumper + 0.1, belt - 0.2, int(rng.integers(0, 5))):
        vehicle.panel(-0.95 * grille, y, 0.95 * grille, y + 0.02, (130, 130, 130))
    size = rng.uniform(0.25, 0.5), rng.uniform(0.1, 0.2)
    lamps(vehicle, (0.04, belt - rng.uniform(0.12, 0.22), *size), HEADLAMP, vehicle.lit)
    if rng.random() < 0.4:
        lamps(vehicle, (0.12, bumper - 0.1, 0.16, 0.08), (120, 120, 120), False)
    return rng.uniform(0.38, bumper), trim


def _rear(vehicle: Vehicle, bumper: float, trim: Colour) -> tuple[float, Colour]:
    """Boot and rear lamps. Returns the height of the plate and the colour behind it."""
    half, rng, belt, sill = vehicle.half, vehicle.rng, vehicle.shape.belt, 0.75 * vehicle.shape.tyre
    for x in (-0.68 * half, 0.68 * half):
        vehicle.panel(x - 0.008, bumper, x + 0.008, belt, tone(vehicle.paint, 0.5))
    tall, wide, y = rng.uniform(0.1, 0.22), rng.uniform(0.25, 0.5), belt - rng.uniform(0.12, 0.22)
    style = rng.random()
    if style < 0.35:
        tall, wide, y = rng.uniform(0.3, 0.5), rng.uniform(0.13, 0.2), belt - 0.2
    elif style < 0.5:
        vehicle.panel(-0.9 * half, y - 0.03, 0.9 * half, y + 0.03, (40, 30, 120))
    on = vehicle.lit or rng.random() < 0.25
    lamps(vehicle, (0.02, y, wide, tall), REAR_LAMP, on)
    if rng.random() < 0.5 and not on:
        lamps(vehicle, (0.02, y - 0.25 * tall, wide, 0.3 * tall), (170, 180, 200), False)
    if rng.random() < 0.5:
        lamps(vehicle, (0.12, sill + 0.16, 0.16, 0.05), (40, 40, 130), False)
    if rng.random() < 0.5:
        vehicle.panel(-0.6 * half, sill, -0.6 * half + 0.12, sill + 0.06, (120, 120, 120))
    if rng.random() < 0.3:
        return bumper - 0.06, trim
    return rng.uniform(bumper + 0.1, belt - 0.2), tone(vehicle.paint, rng.uniform(0.4, 0.9))


def _car_lettering(vehicle: Vehicle) -> None:
    """Model names, stickers and company names: letters alone do not make a plate."""
    half, belt, rng, paint = vehicle.half, vehicle.shape.belt, vehicle.rng, vehicle.paint
    if rng.random() < 0.6:
        word = str(rng.choice(["TDI", "HYBRID", "2.0i", "SPORT", "4x4", "D4", "GLX 1600"]))
        ink = (200, 200, 200) if sum(paint) < 380 else (60, 60, 60)
        x = rng.choice([-1, 1]) * 0.5 * half
        word_board = lettering([word], (24, 96), ink, tone(paint, 0.92))
        vehicle.board(x - 0.1, belt - 0.09, x + 0.1, belt - 0.04, word_board)
    if rng.random() < 0.12:
        paper = tone(tuple(rng.integers(20, 240, 3)), 0.7)
        x = rng.uniform(-0.6, 0.3) * half
        sticker = lettering(["BABY", "ON BOARD"], (60, 80), (240, 240, 240), paper)
        vehicle.board(x, belt + 0.08, x + 0.2, belt + 0.22, sticker)
    if vehicle.shape.roof > 2 and not vehicle.front and rng.random() < 0.7:
        lines = [str(rng.choice(["EXPRESS", "PLUMBER", "FLOWERS", "CITY LOGISTIC"]))]
        lines += [f"0{rng.integers(10**8, 10**9)}"] * int(rng.integers(0, 2))
        ink = tuple(rng.integers(20, 200, 3).tolist())
        y = rng.uniform(belt + 0.05, 1.5)
        name = lettering(lines, (90, 240), ink, tone(paint, 0.95))
        vehicle.board(-0.75 * half, y, 0.75 * half, y + 0.4, name)


def _box_face(vehicle: Vehicle, bus: bool) -> None:
    """The near face of a truck or a bus."""
    half, rng, paint, top = vehicle.half, vehicle.rng, vehicle.paint, vehicle.shape.roof
    sill, glazed = 0.9 * vehicle.shape.tyre, vehicle.front or bus
    floor = sill if glazed else sill + 0.55
    wall = rectangle(-half, floor, half, top)
    vehicle.fill(rectangle(-0.9 * half, sill, 0.9 * half, floor + 0.05, 0.1), (20, 20, 20))
    vehicle.fill(wall, tone(paint, 0.95))
    vehicle.shade(wall, 1.15, rng.uniform(0.55, 0.85))
    vehicle.fill(rectangle(-half, sill, half, sill + 0.28, -0.01), (42, 42, 42))
    if glazed:
        low = rng.uniform(1.3, 1.6)
        pane = rectangle(-0.92 * half, low, 0.92 * half, min(low + 1.2, top - 0.4), -0.01)
        glass(vehicle, rounded(pane, 0.1))
        text = f"{rng.integers(1, 400)} {rng.choice(['CENTRAL', 'AIRPORT', 'NORTH'])}"
        display = lettering([text], (40, 200), (60, 190, 250), (15, 15, 15))
        vehicle.board(-0.6 * half, top - 0.3, 0.6 * half, top - 0.08, display)
    else:
        for x in (-0.012, -half + 0.02, half - 0.045):
            vehicle.fill(rectangle(x, floor, x + 0.025, top, -0.01), tone(paint, 0.55))
        if rng.random() < 0.6:
            lines = [str(rng.choice(["TRANS", "CARGO", "FRESH FOOD"])), f"{rng.integers(10**6)}"]
            ink = tuple(rng.integers(20, 180, 3).tolist())
            name = lettering(lines, (90, 180), ink, tone(paint, 1.0))
            vehicle.board(-0.7 * half, 0.55 * top, 0.7 * half, 0.8 * top, name)
        for x in (-0.85 * half, 0.45 * half) if rng.random() < 0.4 else ():
            vehicle.panel(x, floor + 0.05, x + 0.4 * half, floor + 0.2, (40, 190, 235))
    lamp_y = sill + (0.45 if glazed else 0.14)
    colour = HEADLAMP if vehicle.front else REAR_LAMP
    lamps(vehicle, (0.08, lamp_y, 0.3, 0.16), colour, vehicle.lit)
    x, y = rng.choice([0, 0, -0.4]), sill + rng.uniform(0.1, 0.2)
    vehicle.plate(x, y, choose(rng, SIZES)[0], (42, 42, 42))


def draw_motorbike(
    canvas: Canvas, rng: np.random.Generator, pose: Pose, front: bool, lit: bool
) -> None:
    """Paint a motorbike and its rider; the arguments are those of `draw_vehicle`."""
    jacket = tuple(rng.integers(20, 130, 3).tolist())
    bike = Vehicle(canvas, rng, pose, Shape(0.8, 2.0, 0.9, 1.7, (0, 0, 0, 0)), jacket, front, lit)
    bike.shade(np.array([(-0.4, 0, -0.2), (0.4, 0, -0.2), (0.4, 0, 2), (-0.4, 0, 2)]), 0.5, 0.5)
    bike.fill(disc(0, 0.33, 0, 0.33, 0.25), (20, 20, 20))
    for x in (-0.27, 0.12):
        bike.panel(x, 0.3, x + 0.15, 0.95, tone(jacket, 0.5))
    bike.panel(-0.2, 0.55, 0.2, 0.95, tone(jacket, 1.3))
    torso = rounded(rectangle(-0.27, 0.85, 0.27, 1.45, -0.01), 0.2)
    bike.fill(torso, jacket)
    bike.shade(torso, 1.2, 0.7)
    for x in (-0.34, 0.22):
        bike.panel(x, 0.95, x + 0.12, 1.4, tone(jacket, 0.8))
    bike.fill(disc(0, 1.58, -0.02, 0.15), tuple(rng.integers(20, 230, 3).tolist()))
    colour = tone(HEADLAMP if front else REAR_LAMP, 1.1)
    bike.fill(disc(0, 0.86, -0.03, 0.06, 1.4), colour, SHINING if lit else 0)
    if not front:
        bike.plate(0.0, 0.66, MOTORBIKE_SIZE, (35, 35, 35))
