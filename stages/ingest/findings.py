"""Faults, repairs and warnings of one run of `ingest`, collected instead of told one by one."""

import sys
from pathlib import Path

from stages.common.run import UserError

MAX_FAULTS_SHOWN = 50
MAX_NOTES_SHOWN = 10


class Findings:
    """What was found in an export, in the order in which it was met.

    `faults` make the export unusable; `repairs` say what was changed or left out; `warnings`
    say what was kept as it is and deserves a look. `item` names the place by the ids of the
    user's own file: `image=3`, `annotation=7` or `category=1`.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.repairs: list[dict] = []
        self.warnings: list[dict] = []

    def fault(self, file: str, what: str, **item: int) -> None:
        self.faults.append(told({"file": file, **item, "what": what}))

    def repair(self, file: str, what: str, **item: int) -> None:
        self.repairs.append({"file": file, **item, "what": what})

    def warn(self, file: str, what: str, **item: int) -> None:
        self.warnings.append({"file": file, **item, "what": what})

    def refuse_faults(self, export: Path) -> None:
        """Ends the run if there is any fault.

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
        """Prints repairs and warnings on stderr, one line each, at most ten."""
        notes = ordered(self.warnings) + ordered(self.repairs)
        for note in notes[:MAX_NOTES_SHOWN]:
            print(told(note), file=sys.stderr)
        if len(notes) > MAX_NOTES_SHOWN:
            print(f"and {len(notes) - MAX_NOTES_SHOWN} more in report.json", file=sys.stderr)


def told(note: dict) -> str:
    """One finding as text: `instances_default.json: annotation 3: what`."""
    items = [f"{key} {note[key]}: " for key in ("category", "image", "annotation") if key in note]
    return f"{note['file']}: {''.join(items)}{note['what']}"


def ordered(notes: list[dict]) -> list[dict]:
    """By file, then ids, then text: the same whatever order the export had."""
    ids = ("category", "image", "annotation")
    return sorted(notes, key=lambda n: (n["file"], *(n.get(key, -1) for key in ids), n["what"]))
