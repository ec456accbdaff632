"""Images of formats that stay out are named, with the way to convert them."""

import cv2
import numpy as np
import pytest
from test_ingest import HEIGHT, WIDTH, as_folder, files_of, ingested, plain, refused

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\0\0\0\x1cftypavif\0\0", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0", "HEIC"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0", "JPEG 2000"),
        (b"P6\n96 64\n255\n", "PPM"),
        (b"GIF89a\x60\0\x40\0", "GIF"),
        (b"\0\0\0\x18ftypmp42", "a video"),
    ],
)
def test_another_format_is_named(tmp_path, content, kind):
    files = {**files_of(plain()), "images/default/b.jpg": content}
    said = refused(tmp_path, as_folder(tmp_path / "in", files))
    assert f": {kind}" in said
    assert "cannot be decoded here; save it as PNG or JPEG" in said


@pytest.mark.parametrize(("highest", "warned"), [(2**12, True), (2**16, False)])
def test_twelve_bits_in_sixteen_are_named(tmp_path, highest, warned):
    pixels = np.random.default_rng(0).integers(0, highest, (HEIGHT, WIDTH), np.uint16)
    png = cv2.imencode(".png", pixels)[1].tobytes()
    _, report, _ = ingested(tmp_path, {**files_of(plain()), "images/default/b.jpg": png})
    notes = " ".join(note["what"] for note in report["warnings"])
    assert ("12 bits in 16" in notes) == warned
