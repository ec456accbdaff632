"""Images and figures as text for HTML pages that load no other file."""

import base64
import io

import cv2
import matplotlib
import numpy as np

matplotlib.use("Agg")
# Fixed ids and no text outlines: the same curves give the same bytes, and small ones.
matplotlib.rcParams.update({"svg.hashsalt": "report", "svg.fonttype": "none"})
from matplotlib import pyplot  # noqa: E402  the backend must be chosen before

__all__ = ["jpeg_uri", "pyplot", "svg"]


def jpeg_uri(image_bgr: np.ndarray) -> str:
    """Encode an image, BGR uint8 [height, width, 3], as a JPEG data URI."""
    _, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def svg(figure: pyplot.Figure) -> str:
    """Return the figure as an <svg> element, and close the figure."""
    buffer = io.StringIO()
    figure.tight_layout()
    figure.savefig(
        buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    pyplot.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
