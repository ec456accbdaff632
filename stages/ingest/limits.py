"""What `ingest` admits at most: section `ingest` of params.yaml in whole bytes and pixels.

The defaults have room for what is genuine: ten hours of 1280x720 video as PNG, one frame a
second, are about 40 GB, the JSON of COCO's 118,000 images is 450 MB, a 4K frame has 8
megapixels, and JSON deflates about 20:1 where a bomb reaches 1000:1.
"""

from dataclasses import dataclass

from stages.common.params import Ingest

# OpenCV, which reads the pictures in every later stage, refuses larger ones.
OPENCV_MAX_PIXELS = 2**30
# A file that is read in one go cannot be longer on any machine.
READ_MAX_BYTES = 2**62


@dataclass(frozen=True)
class Limits:
    """The largest values that are admitted.

    Attributes:
        max_total_bytes: of all files of an export, unpacked, and of all originals beside it.
        max_file_bytes: of one of them.
        max_ratio: of a file in a zip, unpacked to packed.
        max_pixels: of a picture.
    """

    max_total_bytes: int
    max_file_bytes: int
    max_ratio: float
    max_pixels: int


def limits_of(params: Ingest) -> Limits:
    """A GB is 10**9 bytes, an MB 10**6 bytes and a megapixel 10**6 pixels."""
    return Limits(
        max_total_bytes=round(min(params.max_total_gb * 10**9, READ_MAX_BYTES)),
        max_file_bytes=round(min(params.max_file_mb * 10**6, READ_MAX_BYTES)),
        max_ratio=params.max_ratio,
        max_pixels=round(min(params.max_megapixels * 10**6, OPENCV_MAX_PIXELS)),
    )
