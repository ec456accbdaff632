"""Collect faults, repairs and warnings, so that a run reports all of them at once."""

import reprlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.common.run import UserError

MAX_FAULTS_SHOWN = 50
MAX_NOTES_SHOWN = 10
MAX_QUOTE = 200
IDS = ("category", "image", "annotation")

_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxstring, _repr.maxother = 2, 160, 160


def quote(value: object) -> str:
    """Show any untrusted value as short printable text, without line breaks and escape codes."""
    text = "null" if value is None else _repr.repr(value)
    text = text if len(text) <= MAX_QUOTE else text[:MAX_QUOTE] + "..."
    return text.encode("utf-8", "backslashreplace").decode()


class Findings:
    """Everything found in an export, in the order in which it was found.

    `faults` make the export unusable; `repairs` are values that were changed or left out;
    `warnings` are values that were kept but are probably not meant. `ids` name the entry in the
    user's own file: `image=3`, `annotation=7` or `category=1`.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.repairs: list[dict] = []
        self.warnings: list[dict] = []

    def fault(self, file: str, what: str, **ids: int) -> None:
        self.faults.append(as_line({"file": file, **ids, "what": what}))

    def repair(self, file: str, what: str, **ids: int) -> None:
        self.repairs.append({"file": file, **ids, "what": what})

    def warn(self, file: str, what: str, **ids: int) -> None:
        self.warnings.append({"file": file, **ids, "what": what})

    @contextmanager
    def collect(self, file: str, **ids: int) -> Iterator[None]:
        """Turn a UserError into a fault and go on."""
        try:
            yield
        except UserError as error:
            self.fault(file, str(error), **ids)

    def extend(self, other: "Findings") -> None:
        self.faults += other.faults
        self.repairs += other.repairs
        self.warnings += other.warnings

    def check_faults(self, export: Path) -> None:
        """End the run if there is any fault.

        Raises:
            UserError: one line with the number of faults and the first 50 of them.
        """
        if not self.faults:
            return
        count = f"{len(self.faults)} faults" if len(self.faults) > 1 else "1 fault"
        first = "; ".join(self.faults[:MAX_FAULTS_SHOWN])
        more = len(self.faults) - MAX_FAULTS_SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        raise UserError(f"{export}: {count}: {first}{rest}; correct the data and export it again")

    def print_notes(self) -> None:
        """Print warnings and repairs on stderr, one line each, at most ten."""
        notes = in_order(self.warnings) + in_order(self.repairs)
        for note in notes[:MAX_NOTES_SHOWN]:
            print(as_line(note), file=sys.stderr)
        if len(notes) > MAX_NOTES_SHOWN:
            print(f"and {len(notes) - MAX_NOTES_SHOWN} more in report.json", file=sys.stderr)


def as_line(note: dict) -> str:
    """Format a finding: `instances_default.json: annotation 3: what`."""
    ids = "".join(f"{key} {note[key]}: " for key in IDS if key in note)
    return f"{note['file']}: {ids}{note['what']}"


def in_order(notes: list[dict]) -> list[dict]:
    """Sort by file, ids and text, so that the order of the export makes no difference."""
    return sorted(notes, key=lambda n: (n["file"], *(n.get(key, -1) for key in IDS), n["what"]))
