"""Generated road scenes: a random generator goes in, a picture and its licence plates come out.

They are the data set that the project works with until you bring your own. A scene is laid out in
metres, painted from far to near, then lit (day, dusk or night), rained on and seen by an imperfect
camera. Beside the plates it holds things that only resemble them: signs, shop names,
phone numbers, time stamps. No files are read and nothing outside `rng` decides anything.
"""

from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from stages.scenes.bodies import BOXES, SHAPES, Pose
from stages.scenes.canvas import SHINING, Canvas, tone
from stages.scenes.plates import MIN_HEIGHT, MIN_WIDTH, choose
from stages.scenes.scenery import Sky, backdrop, building, grain, person, post, road, tree
from stages.scenes.vehicles import KINDS, draw_motorbike, draw_vehicle

# How many vehicles are close enough for a plate, and how often.
NEAR = ((1, 0.15), (2, 0.25), (3, 0.25), (4, 0.17), (5, 0.1), (8, 0.08))


@dataclass(frozen=True)
class Plate:
    """A licence plate as one would label it.

    Attributes:
        box_xyxy: pixels, tight around the visible part and inside the picture.
        occluded: whether something, or the edge of the picture, hides a part of it.
    """

    box_xyxy: tuple[float, float, float, float]
    occluded: bool


def draw_scene(
    rng: np.random.Generator, image_hw: tuple[int, int]
) -> tuple[np.ndarray, list[Plate]]:
    """Draw one scene.

    Args:
        rng: decides everything; the same state gives the same scene.
        image_hw: height and width of the picture in pixels. Plates are 12 to 200 pixels wide in a
            960 pixels wide picture, and in proportion in others.

    Returns:
        The picture, BGR uint8 [H, W, 3], and every plate in it, usually 1 to 3.
    """
    sky = _sky(rng)
    canvas = _camera(rng, image_hw, sky)
    backdrop(canvas, rng, sky)
    lanes = road(canvas, rng)
    grain(canvas, rng)
    _surroundings(canvas, rng, sky, lanes)
    if rng.random() < 0.12:
        _bonnet(canvas, rng)
    plates = _visible_plates(canvas)
    image = _shine(canvas, rng, sky)
    if sky.rain:
        _rain(image, rng)
    image = _expose(image, rng)
    if rng.random() < 0.15:
        _time_stamp(image, rng)
    return image, plates


def _sky(rng: np.random.Generator) -> Sky:
    hour, rain = rng.choice(["day", "dusk", "night"], p=(0.55, 0.22, 0.23)), rng.random() < 0.22
    if hour == "night":
        bottom = tone((70, 55, 60), rng.uniform(0.4, 1.3), rng.normal(0, 8, 3))
        return Sky(rng.uniform(0.2, 0.4), True, rain, tone(bottom, 0.4), bottom)
    if hour == "dusk":
        bottom = tone((170, 165, 205), rng.uniform(0.6, 1.0), rng.normal(0, 15, 3))
        top = tone((160, 115, 95), rng.uniform(0.5, 1))
        return Sky(rng.uniform(0.4, 0.7), True, rain, top, bottom)
    grey = rng.uniform(150, 235)
    top = (grey, grey - 5, grey - 10) if rain or rng.random() < 0.5 else (225, 165, 110)
    lit = rng.random() < (0.8 if rain else 0.25)
    return Sky(rng.uniform(0.8, 1.1), lit, rain, top, (235, 228, 220))


def _camera(rng: np.random.Generator, image_hw: tuple[int, int], sky: Sky) -> Canvas:
    height, width = image_hw
    return Canvas(
        image=np.zeros((height, width, 3), np.uint8),
        marks=np.zeros((height, width), np.uint8),
        focal=width * rng.uniform(0.75, 1.35),
        horizon=height * rng.uniform(0.32, 0.52),
        eye=rng.uniform(1.1, 1.6) if rng.random() < 0.85 else rng.uniform(1.8, 3.2),
        roll=rng.normal(0, 0.012),
        bend=rng.normal(0, 0.0006),
        haze=sky.bottom,
        sight=rng.uniform(35, 90) if rng.random() < 0.12 else rng.uniform(150, 900),
    )


def _surroundings(canvas: Canvas, rng: np.random.Generator, sky: Sky, lanes: list[float]) -> None:
    """Everything that stands on the ground, painted from far to near."""
    town = rng.random()
    edges = {-1: lanes[0] - rng.uniform(3, 7), 1: lanes[-1] + rng.uniform(3, 7)}
    walls, things = [], []
    for side, edge in edges.items():
        z = rng.uniform(3, 25)
        while z < 110:
            long = rng.uniform(6, 26)
            if rng.random() < town:
                walls.append((z, partial(building, canvas, rng, sky, side, edge, z, long)))
            z += long + rng.exponential(3)
        for z in rng.uniform(5, 90, rng.integers(2, 12)):
            x = edge - side * rng.uniform(0.3, 2) + side * 12 * (rng.random() > town)
            draw = (tree, post, post, person)[rng.choice(4, p=(0.5, 0.2, 0.2, 0.1))]
            things.append((z, partial(draw, canvas, rng, sky, x, z)))
    things += _traffic(canvas, rng, sky, lanes)
    for pile in (walls, things):
        for _, draw in sorted(pile, key=lambda item: -item[0]):
            draw()


def _traffic(canvas: Canvas, rng: np.random.Generator, sky: Sky, lanes: list[float]) -> list:
    """Vehicles as (z, draw): some close enough for a plate, others far away."""
    taken, things = [], []
    near = 0 if rng.random() < 0.07 else int(choose(rng, NEAR)[0])
    swap = -1 if rng.random() < 0.25 else 1  # on which side one drives
    for number in range(near + rng.integers(0, 6)):
        spot = _free_spot(canvas, rng, lanes, taken, far=number >= near)
        if spot is None:
            continue
        x, z, kind = spot
        parked = min(abs(x - lanes[0]), abs(x - lanes[-1])) < 0.8
        front = bool(rng.random() < (0.5 if parked else 0.85 if swap * x < -2 else 0.08))
        turned = rng.normal(0, 0.4) if rng.random() < 0.08 else 0
        pose = Pose(x, z, rng.normal(0, 0.04) + turned)
        if rng.random() < 0.05 and z > 6:
            things.append((z, partial(draw_motorbike, canvas, rng, pose, front, sky.lit)))
        else:
            things.append((z, partial(draw_vehicle, canvas, rng, pose, kind, front, sky.lit)))
        if number < near and rng.random() < 0.07 and z > 5:
            closer = rng.uniform(0.7, 0.85)  # something on the line from the camera to the plate
            draw = person if closer * z > 7 and rng.random() < 0.6 else post
            aside = x * closer + rng.normal(0, 0.25)
            things.append((closer * z, partial(draw, canvas, rng, sky, aside, closer * z)))
    return things


def _free_spot(
    canvas: Canvas, rng: np.random.Generator, lanes: list[float], taken: list, far: bool
) -> tuple[float, float, str] | None:
    """Find a spot for the next vehicle: x, z and its kind. Taken are (x, half width, z, end)."""
    height, width = canvas.marks.shape
    # Closer than this, a plate half a metre above the road is below the picture.
    nearest = canvas.focal * (canvas.eye - 0.5) / (0.97 * height - canvas.horizon)
    for _ in range(6):
        kind = choose(rng, KINDS)[0]
        low, high = (4, 11) if far else (12, 26) if rng.random() < 0.08 else (26, 210)
        plate_px = np.exp(rng.uniform(np.log(low), np.log(high))) * canvas.unit
        z = max(0.52 * canvas.focal / plate_px, nearest * rng.uniform(1, 1.3))
        z = max(z, 5.5) if kind in BOXES else z  # any closer, a truck is only a wall
        wanted = rng.uniform(-0.42, 0.42) * width * z / canvas.focal
        x = min(lanes, key=lambda lane: abs(lane - wanted)) + rng.normal(0, 0.25)
        half, end = SHAPES[kind].width / 2 + 0.15, z + SHAPES[kind].length + 1
        free = all(abs(x - a) > half + b or z > d or end < c for a, b, c, d in taken)
        if free and abs(x) * canvas.focal / z < 0.5 * width:
            taken.append((x, half, z, end))
            return x, z, kind
    return None


def _bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """The front of one's own car at the bottom of the picture."""
    height, width = canvas.marks.shape
    middle = int(width * rng.uniform(0.4, 0.6)), int(height * 1.02)
    axes = int(width * rng.uniform(0.5, 0.8)), int(height * rng.uniform(0.05, 0.14))
    colour = tone((60, 58, 58), rng.uniform(0.4, 2.5))
    cv2.ellipse(canvas.image, middle, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)
    cv2.ellipse(canvas.marks, middle, axes, 0, 0, 360, 0, -1)


def _time_stamp(image: np.ndarray, rng: np.random.Generator) -> None:
    """Write the text that dash cameras put into the sky."""
    scale = image.shape[1] / 1700
    text = "20{}-0{}-{} {}:{}:{}".format(
        *(rng.integers((10, 1, 10, 10, 10, 10), (30, 10, 29, 24, 60, 60)))
    )
    place = int(rng.uniform(0.01, 0.7) * image.shape[1]), int(40 * scale)
    cv2.putText(image, text, place, 0, scale, (235, 240, 240), 1, cv2.LINE_AA)


def _visible_plates(canvas: Canvas) -> list[Plate]:
    """The plates that can be labelled; the remains of the others are painted over."""
    height, width = canvas.marks.shape
    found = []
    for number, (quad, behind) in enumerate(canvas.plates, start=1):
        pixels = canvas.marks == number
        rows, columns = np.nonzero(pixels)
        if not len(rows):
            continue
        outline = quad.astype(np.float32)
        area, seen = cv2.contourArea(outline), len(rows)
        shown = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        exact = np.clip([*quad.min(axis=0), *quad.max(axis=0)], 0, (width, height) * 2)
        # Marks are whole pixels: believe the exact outline where the two agree to a pixel.
        box = np.where(abs(exact - shown) <= 1.2, exact, shown)
        wide, high = (box[2:] - box[:2]) / canvas.unit
        if seen < 0.55 * area or wide < MIN_WIDTH or high < MIN_HEIGHT:
            rest = cv2.dilate(pixels.astype(np.uint8), np.ones((3, 3)))
            canvas.image[rest > 0] = behind
            continue
        # Whole pixels follow an outline only to about a quarter of a pixel.
        slack = 0.25 * cv2.arcLength(outline, True)
        found.append(Plate(tuple(box.tolist()), bool(seen < 0.95 * area - slack)))
    return found


def _shine(canvas: Canvas, rng: np.random.Generator, sky: Sky) -> np.ndarray:
    """Daylight or what is left of it, the beam of the headlights, and the glow of lamps."""
    height, width = canvas.marks.shape
    x = (np.arange(width, dtype=np.float32) - width / 2) / (0.45 * width)
    y = (np.arange(height, dtype=np.float32) - canvas.horizon - 0.16 * height) / (0.28 * height)
    beam = np.exp(-(x**2))[None, :] * np.exp(-(y**2))[:, None]
    gain = sky.ambient + (rng.uniform(0.15, 0.5) if sky.ambient < 0.7 else 0) * beam
    lamp = canvas.marks == SHINING
    plate = (canvas.marks > 0) & ~lamp
    # Plates throw headlight back and have a lamp of their own.
    least = min(sky.ambient + rng.uniform(0.25, 0.55), 1)
    gain[plate] = np.maximum(gain[plate] * rng.uniform(1.0, 1.5), least)
    gain[lamp] = 1.0
    image = canvas.image * np.minimum(gain, 1.15)[..., None]
    if not sky.lit:
        return image
    small = cv2.resize(
        canvas.image * lamp[..., None].astype(np.float32),
        (width // 4, height // 4),
        interpolation=cv2.INTER_AREA,
    )
    strength = (1.3 - sky.ambient) * rng.uniform(0.6, 1.5)
    glow = sum(
        weight * strength * cv2.GaussianBlur(small, (0, 0), sigma * width / 4)
        for sigma, weight in ((0.004, 0.9), (0.015, 1.1), (0.05, 1.2))
    )
    if sky.rain:
        drop = len(small) // 3  # a wet road smears every lamp towards the viewer
        smeared = cv2.blur(cv2.GaussianBlur(small, (0, 0), 1.5), (1, drop), anchor=(0, drop - 1))
        glow += 1.5 * smeared
    return image + cv2.resize(np.minimum(glow, 150), (width, height))


def _rain(image: np.ndarray, rng: np.random.Generator) -> None:
    """Streaks, brighter than what is behind them; painted onto the picture itself."""
    height, width = image.shape[:2]
    streaks = np.zeros((height, width), np.uint8)
    slant, long = rng.normal(0, 0.15), rng.uniform(0.02, 0.07) * height
    for x, y in rng.uniform(0, 1, (rng.integers(100, 500), 2)) * (width, height):
        end = int(x + slant * long), int(y + long * rng.uniform(0.5, 1.5))
        cv2.line(streaks, (int(x), int(y)), end, int(rng.integers(40, 200)), 1, cv2.LINE_AA)
    image += cv2.GaussianBlur(streaks, (0, 0), 0.7)[..., None] * rng.uniform(0.15, 0.45)


def _expose(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur, colour cast, exposure, noise and compression of an everyday camera."""
    height, width = image.shape[:2]
    image = cv2.GaussianBlur(image, (0, 0), max(0.35, rng.gamma(3, 0.25) * width / 960))
    if rng.random() < 0.15:
        taps = int(rng.integers(3, 8) * width / 960) | 1
        turn = cv2.getRotationMatrix2D((taps // 2, taps // 2), rng.normal(0, 40), 1)
        line = np.zeros((taps, taps), np.float32)
        line[taps // 2] = 1
        line = cv2.warpAffine(line, turn, (taps, taps))
        image = cv2.filter2D(image, -1, line / line.sum())
    cast = rng.normal(1, 0.05, 3)
    if rng.random() < 0.1:
        cast *= (1.12, 0.84, 1.12)  # the magenta of cameras without an infrared filter
    image *= (cast * rng.uniform(0.85, 1.15)).astype(np.float32)
    strength = min(rng.gamma(2, 2.0), 9)
    image += rng.standard_normal((height, width, 1), np.float32) * strength
    colour = rng.standard_normal((height // 3 + 1, width // 3 + 1, 3), np.float32) * strength
    image += cv2.resize(colour, (width, height))
    gamma = 255 * np.linspace(0, 1, 256) ** rng.uniform(0.75, 1.15)
    image = cv2.LUT(np.clip(image, 0, 255).astype(np.uint8), gamma.astype(np.uint8))
    quality = int(rng.integers(35, 95))
    coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)
