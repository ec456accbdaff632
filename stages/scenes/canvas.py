"""A picture seen through a pinhole camera: 3-D polygons and flat textures go in, pixels come out.

Points are (x, y, z) in metres: x to the right of the camera, y up from the road, z ahead. What is
painted later hides what was painted before. Beside the picture the canvas keeps a map of marks, so
that afterwards one can tell which pixels of a licence plate are still visible, and which pixels
shine.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

Colour = tuple[float, float, float]

SHINING = 255  # the mark of lamps and lit windows; plates carry 1, 2, 3, ...
NEAREST_M = 0.4
SUBPIXEL_BITS = 4


@dataclass
class Canvas:
    """The picture painted so far, and the camera that looks at it."""

    image: np.ndarray  # uint8 [H, W, 3], BGR
    marks: np.ndarray  # uint8 [H, W]
    focal: float  # pixels
    horizon: float  # row, in pixels
    eye: float  # height of the camera above the road, in metres
    roll: float = 0.0  # radians
    bend: float = 0.0  # the road drifts sideways by bend * z**2 metres
    haze: Colour = (200, 200, 200)
    sight: float = 1000.0  # metres after which haze has swallowed 63 % of a colour
    plates: list[tuple[np.ndarray, Colour]] = field(default_factory=list)  # quad, what is behind

    @property
    def unit(self) -> float:
        """One pixel of a 960 pixels wide picture, in pixels of this picture."""
        return self.image.shape[1] / 960

    def project(self, points: np.ndarray) -> np.ndarray:
        """[..., 3] metres -> [..., 2] pixels, where pixel (0, 0) reaches from 0.0 to 1.0."""
        points = np.asarray(points, float)
        z = np.maximum(points[..., 2], NEAREST_M)
        scale = self.focal / z
        u = (points[..., 0] + self.bend * z**2) * scale
        v = (self.eye - points[..., 1]) * scale
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        pixels = np.empty((*z.shape, 2))
        pixels[..., 0] = u * cos - v * sin + self.image.shape[1] / 2
        pixels[..., 1] = u * sin + v * cos + self.horizon
        return pixels

    def fill(self, points: np.ndarray, colour: Colour, mark: int = 0) -> None:
        """Fill one polygon [N, 3] or many [K, N, 3] with a colour that fades into the haze."""
        polygons = np.asarray(points, float)
        polygons = polygons[None] if polygons.ndim == 2 else polygons
        if polygons[..., 2].max() <= NEAREST_M:
            return
        fixed = (self.project(polygons) - 0.5) * 2**SUBPIXEL_BITS
        fixed = fixed.round().astype(np.int32)
        colour = self._hazy(colour, polygons[..., 2].mean()).tolist()
        cv2.fillPoly(self.image, list(fixed), colour, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.fillPoly(self.marks, list(fixed), mark, cv2.LINE_8, SUBPIXEL_BITS)

    def shade(self, points: np.ndarray, top: float, bottom: float) -> None:
        """Multiply what is inside the polygon by a gain that runs from its top to its bottom."""
        pixels = self.project(points)
        (x0, y0), (x1, y1) = self._clip(pixels.min(axis=0), pixels.max(axis=0))
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(inside, [(pixels - (x0, y0)).round().astype(np.int32)], 1)
        gain = np.interp(np.arange(y0, y1), [pixels[:, 1].min(), pixels[:, 1].max()], [top, bottom])
        gains = np.where(inside, gain[:, None], 1.0).astype(np.float32)
        region = self.image[y0:y1, x0:x1]
        region[:] = np.clip(region * gains[..., None], 0, 255)

    def decal(self, texture: np.ndarray, quad: np.ndarray, mark: int = 0) -> None:
        """Lay a texture, BGRA uint8 [h, w, 4], onto a quad [4, 3] from top left, clockwise."""
        pixels = self.project(quad)
        (x0, y0), (x1, y1) = self._clip(pixels.min(axis=0) - 1, pixels.max(axis=0) + 1)
        longest = np.ptp(pixels, axis=0).max()
        if x1 <= x0 or y1 <= y0 or longest < 2 or quad[:, 2].min() < NEAREST_M:
            return
        # Bilinear warping of a much larger texture aliases, so it is averaged down first.
        shrink = min(1.0, 2 * longest / max(texture.shape[:2]))
        small = [max(1, round(shrink * side)) for side in texture.shape[1::-1]]
        texture = cv2.resize(texture, small, interpolation=cv2.INTER_AREA)
        texture = self._hazy(texture, quad[:, 2].mean())
        texture[..., :3] *= texture[..., 3:] / 255
        height, width = texture.shape[:2]
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
        target = pixels - (x0, y0) - 0.5
        matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target.astype(np.float32))
        warped = cv2.warpPerspective(texture, matrix, (x1 - x0, y1 - y0))
        cover = warped[..., 3:] / 255
        region = self.image[y0:y1, x0:x1]
        region[:] = region * (1 - cover) + warped[..., :3]
        self.marks[y0:y1, x0:x1][cover[..., 0] > 0.5] = mark

    def _clip(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whole pixels inside the picture that contain a box."""
        edge = np.array(self.marks.shape[::-1])
        return (
            np.clip(np.floor(low), 0, edge).astype(int),
            np.clip(np.ceil(high), 0, edge).astype(int),
        )

    def _hazy(self, colour: Colour | np.ndarray, z: float) -> np.ndarray:
        """A colour [..., 3], or with alpha [..., 4], as seen over a distance of z metres."""
        share = 1 - math.exp(-max(z, 0.0) / self.sight)
        faded = np.array(colour, np.float32)
        faded[..., :3] += share * (np.array(self.haze, np.float32) - faded[..., :3])
        return faded


def rectangle(x0: float, y0: float, x1: float, y1: float, z: float = 0.0) -> np.ndarray:
    """An upright rectangle that faces the camera: [4, 3] from top left, clockwise."""
    return np.array([[x0, y1, z], [x1, y1, z], [x1, y0, z], [x0, y0, z]])


def disc(x: float, y: float, z: float, radius: float, squeeze: float = 1.0) -> np.ndarray:
    """A disc that faces the camera, as a polygon [20, 3]; squeeze is its width over its height."""
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return np.stack(
        [x + squeeze * radius * np.cos(angle), y + radius * np.sin(angle), np.full(20, z)], axis=1
    )


def rounded(polygon: np.ndarray, radius: float = 0.06) -> np.ndarray:
    """Cut the corners of a polygon [N, 3] twice (Chaikin); radius is in metres."""
    for reach in (radius, radius / 3):
        after = np.roll(polygon, -1, axis=0)
        length = np.linalg.norm(after - polygon, axis=1, keepdims=True)
        share = np.minimum(0.3, reach / np.maximum(length, 1e-6))
        ends = [polygon + share * (after - polygon), after + share * (polygon - after)]
        polygon = np.stack(ends, axis=1).reshape(-1, 3)
    return polygon


def lettering(
    lines: list[str], hw: tuple[int, int], ink: Colour, paper: Colour, weight: int = 3
) -> np.ndarray:
    """Lines of text that fill a board: a texture for `Canvas.decal`, BGRA uint8 [h, w, 4]."""
    height, width = hw
    texture = np.full((height, width, 4), (*paper, 255), np.uint8)
    row = height / len(lines)
    for number, line in enumerate(lines):
        glyphs = np.zeros((80, 60 * len(line) + 60), np.uint8)
        cv2.putText(glyphs, line, (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 255, weight, cv2.LINE_AA)
        x, y, w, h = cv2.boundingRect(glyphs)
        tall = max(2, round(0.68 * row))
        wide = max(2, min(round(0.88 * width), round(1.15 * tall * w / max(h, 1))))
        glyphs = cv2.resize(
            glyphs[y : y + h, x : x + w], (wide, tall), interpolation=cv2.INTER_AREA
        )
        top, left = round((number + 0.5) * row - tall / 2), (width - wide) // 2
        spot = texture[top : top + tall, left : left + wide, :3]
        cover = glyphs[..., None] / 255
        spot[:] = spot * (1 - cover) + np.array(ink) * cover
    return texture


def tone(colour: Colour, gain: float, shift: Colour = (0, 0, 0)) -> Colour:
    """A colour made lighter or darker, and shifted."""
    pairs = zip(colour, shift, strict=True)
    return tuple(min(255.0, max(0.0, float(c * gain + s))) for c, s in pairs)
