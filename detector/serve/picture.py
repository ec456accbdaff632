"""Pictures from anybody: their size is known before they are decoded."""

from io import BytesIO

import numpy as np
from fastapi import HTTPException
from PIL import Image

from detector.video.sources import SourceError, decode_image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # those that browsers show and OpenCV decodes
MAX_PIXELS = 50 * 10**6  # 150 MB decoded; the largest camera of a usual phone
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit, which only warns in between


def decode_upload(data: bytes) -> np.ndarray:
    """Decode a picture as `detect` does, uint8 [height, width, 3].

    Raises:
        HTTPException: it is no picture, or a larger one than is served.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as header:
            width, height = header.size
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise HTTPException(415, f"this is no {', '.join(FORMATS)}, or it is broken") from error
    if width * height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 10**6} megapixels"
        raise HTTPException(413, f"the picture is {width}x{height}; at most {limit} are served")
    try:
        return decode_image(data, "the picture")
    except SourceError as error:
        raise HTTPException(415, str(error)) from error
