"""Bodies of vehicles: sizes, positions, and all faces but the near one.

In: a `Vehicle`, which knows the canvas and what it looks like. Out: paint on the canvas.
"""

import math
from dataclasses import dataclass

import numpy as np

from stages.scenes.canvas import SHINING, Canvas, Colour, disc, rectangle, rounded, tone
from stages.scenes.plates import paint_plate

REAR_LAMP, HEADLAMP = (45, 35, 175), (215, 215, 205)


@dataclass(frozen=True)
class Shape:
    """Metres. The cabin's outline from the rear: foot, roof edge, roof edge, foot."""

    width: float
    length: float
    belt: float
    roof: float
    cabin: tuple[float, float, float, float]
    tyre: float = 0.31


CARS = {
    "saloon": Shape(1.80, 4.6, 0.98, 1.43, (0.70, 1.35, 2.60, 3.40)),
    "hatchback": Shape(1.74, 4.0, 0.96, 1.49, (0.05, 0.50, 2.20, 3.10)),
    "estate": Shape(1.80, 4.7, 0.98, 1.48, (0.06, 0.40, 2.80, 3.50)),
    "off-roader": Shape(1.92, 4.7, 1.10, 1.74, (0.06, 0.35, 2.80, 3.50), 0.37),
    "people carrier": Shape(1.88, 4.7, 1.08, 1.78, (0.04, 0.30, 2.90, 3.90)),
    "van": Shape(1.98, 5.4, 1.25, 2.25, (0.01, 0.06, 3.90, 4.70), 0.35),
}
BOXES = {
    "truck": Shape(2.48, 8.5, 3.40, 3.40, (0, 0, 8.5, 8.5), 0.48),
    "small truck": Shape(2.15, 6.0, 2.80, 2.80, (0, 0, 6.0, 6.0), 0.38),
    "bus": Shape(2.50, 11.0, 3.05, 3.05, (0, 0, 11.0, 11.0), 0.48),
}
SHAPES = CARS | BOXES


@dataclass(frozen=True)
class Pose:
    """Position of a vehicle: the foot of the middle of the face that it turns to the camera."""

    x: float
    z: float
    yaw: float  # radians

    def at(self, points: np.ndarray) -> np.ndarray:
        """The vehicle's own metres [..., 3] -> the canvas's metres."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
        return np.asarray(points, float) @ turn + (self.x, 0, self.z)


@dataclass(frozen=True)
class Vehicle:
    """One vehicle about to be painted, and how to paint in its own metres.

    x runs to the right from its middle, y up from the road, z along it from its near face.
    """

    canvas: Canvas
    rng: np.random.Generator
    pose: Pose
    shape: Shape
    paint: Colour
    front: bool  # the near face is the front
    lit: bool

    @property
    def half(self) -> float:
        return self.shape.width / 2

    def fill(self, points: np.ndarray, colour: Colour, mark: int = 0) -> None:
        self.canvas.fill(self.pose.at(points), colour, mark)

    def shade(self, points: np.ndarray, top: float, bottom: float) -> None:
        self.canvas.shade(self.pose.at(points), top, bottom)

    def panel(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill a rounded rectangle on the near face."""
        self.fill(rounded(rectangle(x0, y0, x1, y1, -0.01)), colour)

    def board(self, x0: float, y0: float, x1: float, y1: float, texture: np.ndarray) -> None:
        """Lay a texture onto the near face."""
        self.canvas.decal(texture, self.pose.at(rectangle(x0, y0, x1, y1, -0.02)))

    def plate(self, x: float, y: float, size: tuple[float, float], behind: Colour) -> None:
        def place(points: np.ndarray) -> np.ndarray:
            return self.pose.at(points + np.array([x, y, -0.03]))

        paint_plate(self.canvas, self.rng, place, size, behind)

    def seen_side(self) -> int:
        """-1 or 1 for the side that the camera sees, 0 when it sees neither."""
        pose = self.pose
        own_x = -pose.x * np.cos(pose.yaw) + pose.z * np.sin(pose.yaw)
        return int(np.sign(own_x)) if abs(own_x) > self.half else 0

    def side(self, points_zy: list[tuple[float, float]]) -> np.ndarray:
        """Points on the side that the camera sees."""
        return np.array([(self.seen_side() * self.half, y, z) for z, y in points_zy])


def underneath(vehicle: Vehicle) -> None:
    """The shadow on the road, the tyres below the near face, and the deck on top."""
    half, shape = vehicle.half, vehicle.shape
    for grow, gain in ((0.35, 0.75), (0.1, 0.35)):
        wide, long = half + grow, shape.length + grow
        ground = np.array([(-wide, 0, -grow), (wide, 0, -grow), (wide, 0, long), (-wide, 0, long)])
        vehicle.shade(rounded(ground, 0.3), gain, gain)
    vehicle.fill(rectangle(-0.92 * half, 0.14, 0.92 * half, 2.1 * shape.tyre, 0.3), (18, 18, 18))
    for x in (-0.97 * half, 0.97 * half - 0.22):
        vehicle.fill(rounded(rectangle(x, 0, x + 0.22, 2 * shape.tyre, 0.2)), (24, 24, 24))
    if vehicle.canvas.eye > shape.belt:
        z, long, y = 0.06, shape.length, shape.belt
        half *= 0.96
        deck = np.array([(-half, y, z), (half, y, z), (half, y, long), (-half, y, long)])
        vehicle.fill(deck, tone(vehicle.paint, 1.05))


def flank(vehicle: Vehicle) -> None:
    """The side: body, wheels, and the doors of a car or the windows of a bus."""
    shape, sill, paint = vehicle.shape, 0.8 * vehicle.shape.tyre, vehicle.paint
    long, belt = shape.length, shape.belt
    panel = vehicle.side([(0.05, sill), (0, 0.6 * belt), (0.06, belt), (long, belt), (long, sill)])
    vehicle.fill(panel, tone(paint, 0.72))
    vehicle.shade(panel, 1.2, 0.7)
    for z in (0.19 * long, 0.81 * long):
        for size, colour in ((1.18, (14, 14, 14)), (1.0, (28, 28, 28)), (0.6, (120, 120, 122))):
            wheel = disc(z, shape.tyre, 0, size * shape.tyre)
            vehicle.fill(vehicle.side([(z, max(y, 0)) for z, y, _ in wheel]), colour)
    if shape.roof > belt:
        for z in (0.3 * long, 0.5 * long, 0.72 * long):
            seam = [(z, sill), (z, belt), (z + 0.03, belt), (z + 0.03, sill)]
            vehicle.fill(vehicle.side(seam), tone(paint, 0.45))
    elif long > 10:
        for z in np.linspace(0.4, long - 1.5, 8):
            pane = vehicle.side([(z, 1.5), (z, 2.5), (z + 1.15, 2.5), (z + 1.15, 1.5)])
            vehicle.fill(pane, (60, 52, 46))


def cabin(vehicle: Vehicle) -> None:
    """Pillars, roof, glass and mirrors of a car, above its belt."""
    half, shape, rng, paint = vehicle.half, vehicle.shape, vehicle.rng, vehicle.paint
    belt, roof, side = shape.belt, shape.roof, vehicle.seen_side()
    outline = list(shape.cabin)
    if vehicle.front:
        outline = [shape.length - z for z in reversed(outline)]
    foot, edge, far_edge, far_foot = outline
    low, high = 0.94 * half, half - (0.22 if roof < 2 else 0.1)
    for x in (-half - 0.17, half + 0.02) if vehicle.front or rng.random() < 0.6 else ():
        z = foot + 0.2 if vehicle.front else far_foot - 0.3
        vehicle.fill(rounded(rectangle(x, belt, x + 0.17, belt + 0.14, z)), tone(paint, 0.6))
    if side:
        corners = [
            (low, belt, foot),
            (high, roof, edge),
            (high, roof, far_edge),
            (low, belt, far_foot),
        ]
        pillar = np.array(corners) * (side, 1, 1)
        vehicle.fill(pillar, tone(paint, 0.66))
        centre = pillar.mean(axis=0)
        if roof < 2 or vehicle.front:
            vehicle.fill(centre + (pillar - centre) * (1, 0.74, 0.86), (42, 36, 32))
            posts = np.array([(low, belt, 0), (high, roof, 0), (high, roof, 0.1), (low, belt, 0.1)])
            vehicle.fill(posts * (side, 1, 1) + (0, 0, centre[2]), tone(paint, 0.4))
    if vehicle.canvas.eye > roof:
        lid = [
            (-high, roof, edge),
            (high, roof, edge),
            (high, roof, far_edge),
            (-high, roof, far_edge),
        ]
        vehicle.fill(np.array(lid), tone(paint, 1.1))
    screen = np.array(
        [(-high, roof, edge), (high, roof, edge), (low, belt, foot), (-low, belt, foot)]
    )
    vehicle.fill(screen, tone(paint, 0.9))
    centre = screen.mean(axis=0)
    glass(vehicle, rounded(centre + (screen - centre) * (0.88, 0.78, 0.78), 0.1))
    if not vehicle.front and rng.random() < 0.6:
        y = roof - 0.07
        lamp = rectangle(-0.13, y, 0.13, y + 0.025, edge - 0.02)
        vehicle.fill(lamp, (60, 50, 210), SHINING if vehicle.lit and rng.random() < 0.4 else 0)


def glass(vehicle: Vehicle, pane: np.ndarray) -> None:
    """A window that mirrors the sky, with seats and passengers behind it."""
    rng, dark = vehicle.rng, tone((46, 42, 38), vehicle.rng.uniform(0.6, 1.7))
    vehicle.fill(pane, dark)
    (x0, y0, _), (x1, y1, _) = pane.min(axis=0), pane.max(axis=0)
    for share in (0.26, 0.5, 0.74):
        if rng.random() < 0.6:
            x, y, z = (
                x0 + share * (x1 - x0),
                y0 + rng.uniform(0.2, 0.45) * (y1 - y0),
                pane[:, 2].mean(),
            )
            seat = rectangle(x - 0.13, y0 + 0.02, x + 0.13, y, z)
            vehicle.fill(rounded(seat), tone(dark, rng.uniform(0.65, 0.85)))
    vehicle.shade(pane, rng.uniform(1.2, 2.8), rng.uniform(0.7, 1.1))


def lamps(
    vehicle: Vehicle, box: tuple[float, float, float, float], colour: Colour, on: bool
) -> None:
    """A pair of lamps; `box` is the distance from the edge, the height, and the size of one."""
    inset, y, width, height = box
    for sign in (-1, 1):
        x = sign * (vehicle.half - inset - width / 2)
        for grow, gain, boost in ((1.0, 0.75, 40), (0.6, 1.15, 110)):
            wide, tall = width * grow / 2, height * grow / 2
            lamp = rounded(rectangle(x - wide, y - tall, x + wide, y + tall, -0.01))
            if on:
                vehicle.fill(lamp, tone(colour, 1.1, (boost,) * 3), SHINING)
            else:
                vehicle.fill(lamp, tone(colour, gain))
