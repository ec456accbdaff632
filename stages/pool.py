"""Pool: frames without labels, which show how often a variant answers otherwise than PyTorch.

In:   `data.pool` of params.yaml      a zip or a folder of images and videos, or a video
      data/dataset/annotations.json   the labelled images
      data/split                      the lists of val and test
Out:  data/pool/annotations.json      the clean COCO of stages/common/coco.py, without boxes
      data/pool/images                the frames as JPEG, those of a video as in CVAT:
                                      <video>/frame_000123.jpg

A frame that nearly repeats a labelled image or an earlier frame is left out, which thins the video
of a dash camera to about a frame a second; so is one of a group of val or test (`split.group_by`).
What cannot be read is left out with a warning. The drawn pool says nothing about another export
than the drawn one, beside which the pool stays empty.

Run:  python -m stages.pool data/dataset/annotations.json data/split data/pool
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from PIL import Image

from detector.video.sources import (
    IMAGES,
    VIDEOS,
    Frame,
    Source,
    SourceError,
    open_source,
    printable,
)
from stages.admission.findings import MAX_NOTES_SHOWN, Findings, quote
from stages.admission.source import name_fault
from stages.admission.source import open_source as open_archive
from stages.common.coco import read_coco, series_of
from stages.common.files import atomic_path, write_json
from stages.common.groups import MAX_BITS, dhash, different_bits, group_keys, hashes_of
from stages.common.params import Ingest, Split, load_params
from stages.common.run import progress, run_stage

# Of params.yaml, before anybody's own data comes.
DRAWN_EXPORT, DRAWN_POOL = "data/synthetic.zip", "data/synthetic_pool.zip"
JPEG_QUALITY = 95
REPEATED, OF_VAL = "nearly repeat others", "are of a group of val or test"


def main(annotations: Path, split: Path, out: Path) -> None:
    """Take the frames of the pool that are new."""
    params, coco = load_params(), read_coco(annotations)
    judged = [image for name in ("val", "test") for image in images_of(split / f"{name}.json")]
    kept: list[dict] = []
    left_out: Counter[str] = Counter()
    with atomic_path(out) as tmp:
        if params.data.pool != DRAWN_POOL or params.data.export == DRAWN_EXPORT:
            known, groups = hashes_of(coco["images"]), groups_of(judged, params.split)
            with opened(Path(params.data.pool), params.ingest) as (source, root):
                frames = new_frames(source, root, known, groups, params.split, left_out)
                kept = store(frames, tmp / "images", params.pool.frames)
            tell(source.warnings)
        else:
            tell(
                [f"{DRAWN_POOL} belongs to the drawn export; name frames of your own by data.pool"]
            )
        listed = [{"id": number, **image} for number, image in enumerate(kept, 1)]
        write_json(tmp / "annotations.json", {**coco, "images": listed, "annotations": []})
    reasons = "".join(f"; {count} {reason}" for reason, count in left_out.items())
    print(f"{out}: {len(kept)} frames{reasons}")


def images_of(path: Path) -> list[dict]:
    """Read the images of a list; none where the split has no such list."""
    return read_coco(path)["images"] if path.exists() else []


def groups_of(images: list[dict], params: Split) -> set[str]:
    """Return the groups of images without folders: those of an export are CVAT's subsets.

    Without `split.group_by` a group is a set of near duplicates, and these are left out anyway.
    """
    if params.group_by == "none" or not images:
        return set()
    keys = group_keys(images, hashes_of(images), params.group_by, params.block)
    return {PurePosixPath(key).name for key in keys}


@contextmanager
def opened(path: Path, limits: Ingest) -> Iterator[tuple[Source, Path]]:
    """Open the pool; yield it and the folder that its names start from.

    Raises:
        UserError: a zip that is broken, unsafe or too large.
        SourceError: there is nothing to read.
    """
    if path.suffix.lower() != ".zip":
        yield open_source(str(path)), path if path.is_dir() else path.parent
        return
    with TemporaryDirectory() as scratch:
        with open_archive(path, limits, Findings()) as archive:
            for name in archive.files:
                if PurePosixPath(name).suffix.lower() in IMAGES | VIDEOS:
                    unpacked = Path(scratch, name)
                    unpacked.parent.mkdir(parents=True, exist_ok=True)
                    unpacked.write_bytes(archive.read(name))
        yield open_source(scratch), Path(scratch)


def new_frames(
    source: Source,
    root: Path,
    known: np.ndarray,
    judged: set[str],
    params: Split,
    left_out: Counter[str],
) -> Iterator[tuple[dict, bytes]]:
    """Yield frames that repeat nothing and are in no group of val or test.

    Args:
        source: the frames.
        root: what their names start from.
        known: hashes of the labelled images, uint64 [images, 4].
        judged: groups of val and test.
        params: how images are grouped.
        left_out: counts frames by why they are not taken.

    Yields:
        The entry for annotations.json, without an id; and the JPEG.
    """
    for frame in progress(source.frames(), "reading the pool"):
        name = frame_name(frame, root)
        if fault := name_fault(name):
            source.warnings.append(f"{quote(name)} {fault}; it was left out")
            continue
        height, width = frame.image_bgr.shape[:2]
        image = {"file_name": name, "width": width, "height": height}
        image["dhash"] = dhash(as_gray(frame.image_bgr))
        own = hashes_of([image])
        if (different_bits(own, known) <= MAX_BITS).any():
            left_out[REPEATED] += 1
            continue
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        jpeg = cv2.imencode(".jpg", frame.image_bgr, quality)[1].tobytes()
        image |= {"sha256": hashlib.sha256(jpeg).hexdigest(), "export": "", "subset": ""}
        image["group"] = series_of(name)[0]
        if judged & groups_of([image], params):
            left_out[OF_VAL] += 1
            continue
        known = np.concatenate([known, own])
        yield image, jpeg


def as_gray(image_bgr: np.ndarray) -> Image.Image:
    return Image.fromarray(cv2.cvtColor(image_bgr, cv2.COLOR_BGR2GRAY))


def frame_name(frame: Frame, root: Path) -> str:
    """Return the name of a frame as a JPEG; that of a video's ends as CVAT's."""
    path = frame.path.relative_to(root)
    if path.suffix.lower() not in IMAGES:
        return f"{path.as_posix()}/frame_{frame.number:06d}.jpg"
    return path.as_posix() if path.suffix == ".jpg" else f"{path.as_posix()}.jpg"


def store(frames: Iterable[tuple[dict, bytes]], folder: Path, limit: int) -> list[dict]:
    """Write frames, at most `limit` of them, evenly spread; return their entries."""
    kept: list[dict] = []
    step = 1
    for number, (image, jpeg) in enumerate(frames):
        if number % step:
            continue
        path = folder / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg)
        kept.append(image)
        if len(kept) == 2 * limit:
            kept, step = thinned(kept, limit, folder), 2 * step
    return thinned(kept, limit, folder)


def thinned(images: list[dict], limit: int, folder: Path) -> list[dict]:
    """Keep `limit` images, evenly spread, and delete the files of the others."""
    count = len(images)
    chosen = {number * count // limit for number in range(limit)} if count > limit else range(count)
    for number, image in enumerate(images):
        if number not in chosen:
            (folder / image["file_name"]).unlink()
    return [images[number] for number in sorted(chosen)]


def tell(warnings: list[str]) -> None:
    """Print warnings on stderr, at most ten."""
    for warning in warnings[:MAX_NOTES_SHOWN]:
        print(printable(warning), file=sys.stderr)
    if len(warnings) > MAX_NOTES_SHOWN:
        print(f"and {len(warnings) - MAX_NOTES_SHOWN} more", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main, SourceError)
