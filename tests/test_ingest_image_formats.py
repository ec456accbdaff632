"""Images of formats that stay out are named, with the way to convert them."""

import pytest
from test_ingest import as_folder, files_of, plain, refused

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
