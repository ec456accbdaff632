"""Check names and sizes from outside before anything is read or written under them.

The defaults of section `ingest` have room for real data: ten hours of 1280x720 video as PNG, one
frame a second, are about 40 GB, the JSON of COCO's 118,000 images is 450 MB, a 4K frame has 8
megapixels, and JSON deflates about 20:1 where a zip bomb reaches 1000:1.
"""

import re
import unicodedata
from dataclasses import dataclass

from stages.common.params import Ingest

# OpenCV, which reads the images in every later stage, refuses larger ones.
OPENCV_MAX_PIXELS = 2**30
# A file that is read in one go cannot be longer on any machine.
READ_MAX_BYTES = 2**62
# Linux, macOS and Windows all allow 255 bytes for one part of a path.
MAX_PART_BYTES = 255
# A quarter of Linux's limit for a whole path: room for the folder that the name is joined to.
MAX_NAME_BYTES = 1024


@dataclass(frozen=True)
class Limits:
    """The largest sizes that are accepted.

    Attributes:
        max_total_bytes: of all files of an export, unpacked, and of all originals beside it.
        max_file_bytes: of one of them.
        max_ratio: of a file in a zip, unpacked to packed.
        max_pixels: of an image.
    """

    max_total_bytes: int
    max_file_bytes: int
    max_ratio: float
    max_pixels: int

    @classmethod
    def from_params(cls, params: Ingest) -> "Limits":
        """A GB is 10**9 bytes, an MB 10**6 bytes and a megapixel 10**6 pixels."""
        return cls(
            max_total_bytes=round(min(params.max_total_gb * 10**9, READ_MAX_BYTES)),
            max_file_bytes=round(min(params.max_file_mb * 10**6, READ_MAX_BYTES)),
            max_ratio=params.max_ratio,
            max_pixels=round(min(params.max_megapixels * 10**6, OPENCV_MAX_PIXELS)),
        )


def name_fault(name: str) -> str | None:
    """Say why a relative file name must not become a path here.

    Args:
        name: as written in the JSON or the zip, with '/' between its parts.

    Returns:
        The reason, or None for a name that stays inside the folder it is joined to.
    """
    parts = name.split("/")
    if not name:
        return "is empty"
    if "\0" in name:
        return "holds a NUL character"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return "holds a control character or half of a surrogate pair"
    if re.match(r"[A-Za-z]:", name):
        return "starts with a drive letter"
    if "\\" in name:
        return "holds a backslash where '/' is expected"
    if name.startswith("/"):
        return "is an absolute path"
    if ".." in parts:
        return "leaves its folder by '..'"
    if "." in parts or "" in parts:
        return "is not a plain path to a file"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if max(len(part.encode()) for part in parts) > MAX_PART_BYTES:
        return f"has a part longer than {MAX_PART_BYTES} bytes"
    return None
