"""Official weights: fetched once from the YOLOX release, checked, and kept for all projects.

They are trained on COCO, (c) Megvii, Apache-2.0: https://github.com/Megvii-BaseDetection/YOLOX.
"""

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from stages.common.run import UserError

RELEASE = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"
SHA256 = {
    "yolox_nano.pth": "cd28f55fbbc1829f99d9ac9b38a16d259a22889739c8728ea877610201feff7b",
    "yolox_tiny.pth": "9de513de589ac98bb92d3bca53b5af7b9acfa9b0bacb831f7999d0f7afaee8f0",
    "yolox_s.pth": "f55ded7181e1b0c13285c56e7790b8f0e8f8db590fe4edb37f0b7f345c913a30",
    "yolox_m.pth": "60076992b32da82951c90cfa7bd6ab70eba9eda243e08b940a396f60ac2d19b6",
    "yolox_l.pth": "1e6b7fa6240375370b2a8a8eab9066b3cdd43fd1d0bfa8d2027fd3a51def2917",
    "yolox_x.pth": "5652330b6ae860043f091b8f550a60c10e1129f416edfdb65c259be6caf355cf",
}
# No official file is larger than 800 MB; a server that sends more is not the one we meant.
MAX_BYTES = 2**30
CHUNK_BYTES = 2**18
TIMEOUT_S = 30


def official_weights(model_name: str) -> Path:
    """The COCO weights of a model, from the cache or from the release.

    Args:
        model_name: `model.name` of params.yaml, e.g. "yolox-nano".

    Raises:
        UserError: no connection, an unwilling server, or other bytes than the release has.
    """
    name = model_name.replace("-", "_") + ".pth"
    path = cache_folder() / name
    if path.is_file() and sha256_of(path) == SHA256[name]:
        return path
    part = path.with_suffix(".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        fetch(RELEASE + name, part)
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot download {RELEASE}{name} ({error}); the part that came is kept. Connect, or "
            f"put the file to {path}, or set train.pretrained to bundled, none or a path"
        ) from error
    if (found := sha256_of(part)) != SHA256[name]:
        part.unlink()
        raise UserError(
            f"{RELEASE}{name} has SHA-256 {found}, expected {SHA256[name]}; it was deleted. Try "
            "again, or set train.pretrained to bundled, none or a path"
        )
    part.replace(path)
    return path


def cache_folder() -> Path:
    """Where downloads of all projects of this user are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yolox"


def fetch(url: str, part: Path) -> None:
    """Downloads to a file, behind the bytes that are there already.

    Raises:
        OSError: the connection failed; what came is in the file.
        ValueError: the answer is longer than any official file.
    """
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send: the file is whole, or of another version
            return
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as out, bar() as progress:
        length = answer.headers.get("Content-Length")
        expected = out.tell() + int(length) if length else None
        task = progress.add_task(part.stem, total=expected, completed=out.tell())
        while chunk := answer.read(CHUNK_BYTES):
            out.write(chunk)
            progress.update(task, advance=len(chunk))
            if out.tell() > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
        if expected is not None and out.tell() < expected:
            raise OSError(f"the connection broke after {out.tell()} of {expected} bytes")


def bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
