"""Decides by content whether a file is a picture that every later stage can read.

In:   the bytes of one file and what the JSON says about it
Out:  the bytes to store, upright, with a hash of how it looks and notes; or a refusal
"""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.common.run import UserError
from stages.ingest.series import GRID_WH, dhash
from stages.ingest.types import Picture

# Decided by content, whatever the name says. GIF, JPEG 2000, EXR and the like stay out: their
# decoders have a record of holes, and cameras do not write them.
SUFFIXES = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif"),
    "MPO": ("jpg", "jpeg", "mpo"),
    "PNG": ("png",),
    "BMP": ("bmp", "dib"),
    "WEBP": ("webp",),
    "TIFF": ("tif", "tiff"),
}
# Read by any OpenCV; what is rarer is tried on it here rather than in the middle of training.
SURE_MODES = {"RGB", "RGBA", "L", "LA", "P", "1"}
ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Checked:
    """A picture that was decoded whole.

    Attributes:
        data: the bytes to store: as given, or a PNG where EXIF asked for a rotation.
        turned: whether they are that PNG.
        dhash: of the upright picture.
        warnings: what a person should know about it.
    """

    data: bytes
    turned: bool
    dhash: str
    warnings: list[str]


def check_picture(data: bytes, picture: Picture, max_pixels: int) -> Checked:
    """Decodes a picture and compares it with the JSON.

    Raises:
        UserError: it is of another format, damaged, too large, or of another size; the message
            goes behind the name of the file.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "BMP", "WEBP", "TIFF")) as image:
            refuse_size(image, picture, max_pixels)
            warnings = oddities(image, data, picture)
            if image.getexif().get(ORIENTATION_TAG, 1) in range(2, 9):
                upright = turned_upright(image)
                return Checked(as_png(upright), True, dhash(grey(upright)), warnings)
            return Checked(data, False, dhash(decoded_grey(image, data)), warnings)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        what = "is in none of the formats JPEG, PNG, BMP, WebP, TIFF" if data else "has 0 bytes"
        raise UserError(f"{what}; replace it") from error
    # Pillow's decoders answer damaged files with OSError, SyntaxError, struct.error and others.
    except Exception as error:
        raise UserError(
            f"cannot be decoded, truncated or damaged ({error}); copy it again"
        ) from error


def refuse_size(image: Image.Image, picture: Picture, max_pixels: int) -> None:
    """Compares the size in the picture's header, as displayed, with the JSON's."""
    if image.width * image.height > max_pixels:
        limit = f"the limit is {max_pixels} (ingest.max_megapixels)"
        raise UserError(f"has {image.width}x{image.height} pixels, {limit}")
    size = image.size
    # Pillow shows TIFF upright already.
    if image.format != "TIFF" and image.getexif().get(ORIENTATION_TAG, 1) in range(5, 9):
        size = image.size[::-1]
    if size != (picture.width, picture.height):
        turned = "" if size == image.size else " when turned upright by its EXIF tag"
        raise UserError(
            f"has {size[0]}x{size[1]} pixels{turned}, the JSON says "
            f"{picture.width}x{picture.height}; was it resized or rotated after labelling?"
        )


def turned_upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF tag asks, without that tag and in a mode that PNG has."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode not in SURE_MODES | {"I;16"}:
        upright = upright.convert("RGB")
    # A fresh info dictionary: neither EXIF nor XMP may ask for the rotation a second time.
    upright.info = {}
    return upright


def as_png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def grey(image: Image.Image) -> Image.Image:
    """A picture in 8-bit grey; of 16 bits the high byte counts, as for every later reader."""
    if image.mode == "I;16":
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L")


def decoded_grey(image: Image.Image, data: bytes) -> Image.Image:
    """Reads the picture to its last row: truncated data raises.

    Returns:
        The picture in 8-bit grey, a JPEG at down to an eighth of its size.
    """
    if image.format == "PNG":
        # Pillow stops at the last row; libpng reads on, and takes 4 GB for a chunk that claims it.
        with Image.open(io.BytesIO(data)) as chunks:
            chunks.verify()
    sure = image.mode in SURE_MODES and image.format in ("JPEG", "MPO", "PNG")
    width, height = image.size
    if image.format in ("JPEG", "MPO"):
        # An eighth of the size: libjpeg reads every coefficient but skips most of the arithmetic.
        image.draft("L", GRID_WH)
    image.load()
    if sure:
        return grey(image)
    pixels = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if pixels is None or pixels.shape[:2] != (height, width):
        raise UserError("cannot be read by OpenCV; save it as JPEG or 8-bit PNG")
    return Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))


def oddities(image: Image.Image, data: bytes, picture: Picture) -> list[str]:
    """What is unusual about a picture but no reason to refuse it."""
    notes = []
    suffix = picture.name.rpartition(".")[2].lower()
    if suffix not in SUFFIXES[image.format]:
        notes.append(f"content is {image.format} under a name that ends in {suffix[:20]!r}")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        notes.append(f"holds {image.n_frames} pages or frames; only the first is used")
    deep_png = image.format == "PNG" and data[24] == 16
    if deep_png or image.mode.startswith(("I", "F")):
        notes.append("more than 8 bits a channel; only the high byte is used")
    return notes
