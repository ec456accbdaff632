"""The folder of originals: pictures that an export without "Save images" does not hold.

<subset>/<file_name>    first, so that two subsets may have pictures of equal names
<file_name>
<base name>             anywhere below the folder, as a repair
"""

from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from stages.ingest.archive import Source, open_folder
from stages.ingest.findings import Findings
from stages.ingest.limits import Limits
from stages.ingest.names import by_nfc, nfc, shown
from stages.ingest.types import Picture


class Originals:
    """The folder `data.images`. It is read when the first picture is looked for, since most
    exports need none of it."""

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        self.folder = folder
        self.limits = limits

    @cached_property
    def source(self) -> Source | None:
        """The files of the folder; None where there is no such folder."""
        there = self.folder is not None and self.folder.is_dir()
        return open_folder(self.folder, self.limits) if there else None

    @cached_property
    def names_by_nfc(self) -> dict[str, str]:
        return by_nfc(self.source.files)

    @cached_property
    def names_by_base(self) -> dict[str, list[str]]:
        names = defaultdict(list)
        for name in sorted(self.source.files):
            names[nfc(PurePosixPath(name).name)].append(name)
        return names

    @property
    def advice(self) -> str:
        """What to do about a picture that is not there."""
        place = "data.images"
        if self.folder:
            place += f" ({shown(str(self.folder))}{'' if self.source else ' is no folder'})"
        return f"or put the originals into {place}"

    def find(self, picture: Picture, findings: Findings) -> list[str]:
        """Names of the files that may be a picture: more than one where that is not clear."""
        if not self.source:
            return []
        names = [picture.path, picture.name]
        for name in names:
            if name in self.source.files:
                return [name]
        for name in names:
            if found := self.names_by_nfc.get(nfc(name)):
                return [found]
        found = self.names_by_base.get(nfc(PurePosixPath(picture.name).name), [])
        if len(found) == 1:
            what = f"{shown(picture.name)} is taken from {shown(found[0])} among the originals"
            findings.repair(picture.file, what, image=picture.source_id)
        return found
