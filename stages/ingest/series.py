"""Which pictures resemble each other, by name and by look: what a fair split needs to know."""

from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from stages.common.coco import LAST_NUMBER

# One column more than bits, since each bit compares two neighbours.
GRID_WH = (17, 16)


def group_of(path: str) -> str:
    """The series of a picture: its path without the suffix, `#` for the last number of its name.

    Args:
        path: `<subset>/<folders>/<name>`.
    """
    name = PurePosixPath(path)
    return str(name.with_name(LAST_NUMBER.sub("#", name.stem)))


def dhash(grey: Image.Image) -> str:
    """A difference hash of 256 bits, 64 hex digits, first bit first.

    Each bit says whether a cell of a grid of 17 x 16 mean values is darker than the next one
    to its right.
    """
    cells = np.asarray(grey.resize(GRID_WH, Image.Resampling.BOX))
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes().hex()
