"""Opens an export, zip or folder, for reading file by file.

In:   the path that the user gave
Out:  Export: the safe relative names of its files, and a function that reads one of them

Nothing is extracted: files are read into memory one at a time, so that no name from a zip
ever becomes a path.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import Refusal
from stages.intake.findings import Findings
from stages.intake.names import shown
from stages.intake.zips import MAX_FILE_BYTES, checked_members, open_zip, read_member

WANTED = (
    'expected a CVAT "COCO 1.0" export: annotations/instances_default.json (or another subset) '
    "and images/"
)
INSTANCES = re.compile(r"(?P<top>|.*/)annotations/instances_[^/]*\.json", re.DOTALL)
JUNK = re.compile(r"(.*/)?(__MACOSX/.*|\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)", re.DOTALL)


@dataclass(frozen=True)
class Export:
    """An opened export.

    Attributes:
        path: what the user gave.
        files: relative names with '/', of everything below the folder of annotations/.
        read: the bytes of one of `files`; raises Refusal where it cannot be read whole, with a
            message that goes behind the name.
    """

    path: Path
    files: frozenset[str]
    read: Callable[[str], bytes]


@contextmanager
def open_export(path: Path, findings: Findings) -> Iterator[Export]:
    """Opens a zip or a folder and finds annotations/instances_*.json in it.

    Raises:
        Refusal: not there, not readable, unsafe, or not an export.
    """
    if path.is_dir():
        yield rooted(path, walk_folder(path), lambda name: read_file(path, name), findings)
    elif not path.is_file():
        raise Refusal(f"{path} is not there; {WANTED}, as a zip or a folder (data.export)")
    else:
        with open_zip(path) as archive:
            members = checked_members(archive, path, findings)
            yield rooted(
                path, list(members), lambda name: read_member(archive, members[name]), findings
            )


def rooted(
    path: Path, names: list[str], read: Callable[[str], bytes], findings: Findings
) -> Export:
    """An Export whose names start at the folder that holds annotations/."""
    names = [name for name in names if not JUNK.fullmatch(name)]
    tops = {match["top"] for match in map(INSTANCES.fullmatch, names) if match}
    if not tops:
        raise Refusal(f"{path} holds no annotations: {WANTED}; {hint(names)}")
    if "" in tops:
        return Export(path, frozenset(names), read)
    if len(tops) > 1:
        listed = ", ".join(map(shown, sorted(tops)[:3]))
        raise Refusal(f"{path} holds several exports ({listed}); give one of them at a time")
    top = tops.pop()
    findings.warn(path.name, f"everything lies under the folder {shown(top)}; it is read there")
    inside = frozenset(name[len(top) :] for name in names if name.startswith(top))
    return Export(path, inside, lambda name: read(top + name))


def hint(names: list[str]) -> str:
    """What seems to have been given instead of an export of bounding boxes."""
    jsons = sorted(name for name in names if name.endswith(".json"))
    zips = sorted(name for name in names if name.endswith(".zip"))
    if any("person_keypoints" in name for name in jsons):
        return f'{shown(jsons[0])} is "COCO Keypoints 1.0": export as "COCO 1.0"'
    if jsons:
        return f"its JSON files are {', '.join(map(shown, jsons[:3]))}"
    if zips:
        return f"it holds another zip, {shown(zips[0])}: unpack the outer one and give the inner"
    return "it has no JSON file there; export again" if names else "it is empty; export again"


def walk_folder(root: Path) -> list[str]:
    """Relative names of all regular files; linked folders, pipes and devices are left out."""
    found = []
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            # DVC may have put links to files of its cache here, so links to files are read.
            if path.is_file():
                found.append(path.relative_to(root).as_posix())
    return found


def read_file(root: Path, name: str) -> bytes:
    """The bytes of one file of a folder.

    Raises:
        Refusal: it cannot be read or is too large; the message goes behind its name.
    """
    try:
        with (root / name).open("rb") as handle:
            data = handle.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Refusal(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise Refusal(f"is over the size limit of {MAX_FILE_BYTES} bytes for a file")
    return data
