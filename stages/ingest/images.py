"""Check all images on all cores and write those that are whole.

Written are <folder>/<subset>/<file_name>, byte for byte as given. An image with an EXIF rotation is
rotated once and written as <file_name>.png, since every later reader ignores EXIF.

The bytes that were checked are the bytes that are written, never a hard link to the original:
DVC would make the user's own file read-only and one with its cache (measured, cache.type hardlink).
"""

import errno
import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from stages.admission.findings import Findings, quote
from stages.common.groups import GRID_WH, dhash
from stages.common.run import UserError, progress
from stages.ingest.boxes import Image

# The endings of names by format, which is decided by content. GIF, JPEG 2000, EXR and the like stay
# out: their decoders have a record of vulnerabilities, and cameras do not write them.
SUFFIXES = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif"),
    "MPO": ("jpg", "jpeg", "mpo"),  # JPEG with more frames
    "PNG": ("png",),
    "BMP": ("bmp", "dib"),
    "WEBP": ("webp",),
    "TIFF": ("tif", "tiff"),
}
# Of 255: what the high byte of 12 bits in 16 stays below.
DARKEST = 16
# Whole images of formats that stay out, by their first bytes.
OTHER_FORMATS = {
    "AVIF": rb"(?s)....ftypavi[fs]",
    "HEIC": rb"(?s)....ftyp(hei|hev|mif1|msf1)",
    "JPEG 2000": rb"(?s)....jP  \r\n|\xff\x4f\xff\x51",
    "PPM, PGM or PBM": rb"P[1-6]\s",
    "GIF": rb"GIF8[79]a",
    "a video": rb"(?s)....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI ",
}
# Read by any OpenCV; rarer ones are tried on it here rather than in the middle of training.
SURE_MODES = {"RGB", "RGBA", "L", "LA", "P", "1"}
ORIENTATION_TAG = 0x0112
# Decoded at once on any number of cores: 300 MB in color.
PIXELS_AT_ONCE = 100_000_000
# Answers of a file system to a name that it cannot hold, for example one that differs from another
# in case only; anything else, like a full disk, is not the image's fault.
NAME_ERRORS = {errno.EEXIST, errno.EISDIR, errno.ENOTDIR}
NAME_ERRORS |= {errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG}


def store_images(images: list[Image], folder: Path, findings: Findings) -> None:
    """Check and write all images below a folder, and set their `file_name`, `sha256` and `dhash`.

    An image that is refused becomes a fault.

    Raises:
        OSError: the disk is full or the like.
    """
    largest = max((image.width * image.height for image in images), default=1)
    threads = min(32, (os.cpu_count() or 1) + 4, PIXELS_AT_ONCE // largest)
    # Pillow, zlib and hashlib release the GIL while they work.
    pool = ThreadPoolExecutor(max(1, threads))
    try:
        with quiet_decoders():
            futures = [pool.submit(store_image, image, folder) for image in images]
            for future in progress(futures, "checking images"):
                findings.extend(future.result())
    finally:
        # Wait for what runs: nothing may be written into a folder that is being deleted.
        pool.shutdown(cancel_futures=True)


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence the decoders: their messages name no file, and check_image reports what matters."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Pillow's own limit would override a higher one in params.yaml.
    pillow_max_pixels, PilImage.MAX_IMAGE_PIXELS = PilImage.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        cv2.utils.logging.setLogLevel(level)
        PilImage.MAX_IMAGE_PIXELS = pillow_max_pixels


def store_image(image: Image, folder: Path) -> Findings:
    """Check one image and write it.

    Returns:
        A fault if it is refused, its repairs and warnings.

    Raises:
        OSError: the disk is full or the like.
    """
    findings = Findings()
    with findings.collect(image.file, image=image.source_id):
        try:
            data = check_image(image.read(), image, findings)
            write_image(folder / image.file_name, data)
            image.sha256 = hashlib.sha256(data).hexdigest()
        except UserError as error:
            raise UserError(f"{quote(image.name)} {error}") from error
    return findings


def write_image(target: Path, data: bytes) -> None:
    """Write a new file.

    Raises:
        UserError: the file system cannot hold its name.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # "x": if the file system ignores case, two names may turn out to be one file.
        with target.open("xb") as out:
            out.write(data)
    except OSError as error:
        if error.errno not in NAME_ERRORS:
            raise
        raise UserError(f"cannot be written: {error.strerror}; rename it") from error


def check_image(data: bytes, image: Image, findings: Findings) -> bytes:
    """Decode an image whole, compare it with the JSON, and set its `file_name` and `dhash`.

    Returns:
        The bytes to store: as given, or a PNG if EXIF asks for a rotation.

    Raises:
        UserError: it is of another format, damaged, too large, or of another size; the message
            continues the name of the file.
    """
    try:
        formats = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
        with PilImage.open(io.BytesIO(data), formats=formats) as opened:
            check_size(opened, image)
            warn_unusual(opened, data, image, findings)
            image.file_name = image.target
            if orientation_of(opened) not in range(2, 9):
                gray = decode_gray(opened, data)
                if opened.mode.startswith("I") and gray.getextrema()[1] < DARKEST:
                    what = (
                        f"{quote(image.name)}: nearly black, as 12 bits in 16; stretch the values"
                    )
                    findings.warn(image.file, what, image=image.source_id)
                image.dhash = dhash(gray)
                return data
            upright = rotate_upright(opened)
            what = f"{quote(image.name)}: rotated upright by its EXIF tag, stored as PNG"
            findings.repair(image.file, what, image=image.source_id)
            image.file_name += ".png"
            image.dhash = dhash(to_gray(upright))
            png = io.BytesIO()
            upright.save(png, format="PNG")
            return png.getvalue()
    except UserError:
        raise
    except UnidentifiedImageError as error:
        kind = next((kind for kind, magic in OTHER_FORMATS.items() if re.match(magic, data)), None)
        what = "is in none of the formats JPEG, PNG, BMP, WebP, TIFF" if data else "has 0 bytes"
        remedy = (
            f": {kind} cannot be decoded here; save it as PNG or JPEG" if kind else "; replace it"
        )
        raise UserError(f"{what}{remedy}") from error
    # Pillow's decoders answer damaged files with OSError, SyntaxError, struct.error and others.
    except Exception as error:
        raise UserError(
            f"cannot be decoded, truncated or damaged ({error}); copy it again"
        ) from error


def check_size(opened: PilImage.Image, image: Image) -> None:
    """Compare the size in the image's header, as displayed, with the JSON's, which is limited."""
    size, expected = opened.size, (image.width, image.height)
    # Pillow shows TIFF upright, and decodes a PNG to find its EXIF tag: only at a plausible size.
    if sorted(size) == sorted(expected) and opened.format != "TIFF":
        size = size[::-1] if orientation_of(opened) in range(5, 9) else size
    if size != expected:
        rotated = "" if size == opened.size else " when rotated upright by its EXIF tag"
        raise UserError(
            f"has {size[0]}x{size[1]} pixels{rotated}, the JSON says "
            f"{expected[0]}x{expected[1]}; was it resized or rotated after labeling?"
        )


def orientation_of(opened: PilImage.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8."""
    return opened.getexif().get(ORIENTATION_TAG, 1)


def warn_unusual(opened: PilImage.Image, data: bytes, image: Image, findings: Findings) -> None:
    """Add warnings for what is unusual about a file but no reason to refuse it."""
    notes = []
    suffix = image.name.rpartition(".")[2].lower()
    if suffix not in SUFFIXES[opened.format]:
        notes.append(f"content is {opened.format} under a name that ends in {suffix[:20]!r}")
    if opened.format != "MPO" and getattr(opened, "n_frames", 1) > 1:
        notes.append(f"holds {opened.n_frames} pages or frames; only the first is used")
    deep_png = opened.format == "PNG" and data[24] == 16
    if deep_png or opened.mode.startswith(("I", "F")):
        notes.append("more than 8 bits a channel; only the high byte is used")
    for note in notes:
        findings.warn(image.file, f"{quote(image.name)}: {note}", image=image.source_id)


def rotate_upright(opened: PilImage.Image) -> PilImage.Image:
    """Rotate as the EXIF tag asks, into a mode that PNG has."""
    upright = ImageOps.exif_transpose(opened)
    if upright.mode not in SURE_MODES | {"I;16"}:
        upright = upright.convert("RGB")
    # A fresh info dictionary: neither EXIF nor XMP may ask for the rotation a second time.
    upright.info = {}
    return upright


def decode_gray(opened: PilImage.Image, data: bytes) -> PilImage.Image:
    """Decode to the last row, so that truncated data raises.

    Returns:
        The image in 8-bit gray, a JPEG at down to an eighth of its size.
    """
    if opened.format == "PNG":
        # Pillow stops at the last row; libpng reads on, and takes 4 GB for a chunk that claims it.
        with PilImage.open(io.BytesIO(data)) as chunks:
            chunks.verify()
    sure = opened.mode in SURE_MODES and opened.format in ("JPEG", "MPO", "PNG")
    width, height = opened.size
    if opened.format in ("JPEG", "MPO"):
        # An eighth of the size: libjpeg reads every coefficient but skips most of the arithmetic.
        opened.draft("L", GRID_WH)
    opened.load()
    if sure:
        return to_gray(opened)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels_bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels_bgr is None or pixels_bgr.shape[:2] != (height, width):
        raise UserError("cannot be read by OpenCV; save it as JPEG or 8-bit PNG")
    return PilImage.fromarray(cv2.cvtColor(pixels_bgr, cv2.COLOR_BGR2GRAY))


def to_gray(decoded: PilImage.Image) -> PilImage.Image:
    """Convert to 8-bit gray; of 16 bits the high byte counts, as for every later reader."""
    if decoded.mode == "I;16":
        return PilImage.fromarray((np.asarray(decoded) >> 8).astype(np.uint8))
    return decoded.convert("L")
