"""JSON without the latitude of Python's parser, and lists whose entries carry an id."""

import json

from stages.common.run import UserError
from stages.ingest.findings import Findings
from stages.ingest.names import shown

CAUSE = {
    "image": ": CVAT gives names that differ only in their ending one id; rename one of them",
    "annotation": "; ids are unique within a file",
    "category": "; ids are unique within a file",
}


def parse(data: bytes) -> object:
    """Parses UTF-8 JSON, with or without a byte order mark.

    Raises:
        UserError: what is wrong and what would be right, without the name of the file.
    """
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=without_duplicates,
            parse_constant=refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 (byte {error.start}); save it in that encoding") from error
    except RecursionError as error:
        raise UserError("is nested too deeply (recursion limit)") from error
    except ValueError as error:
        raise UserError(f"is not JSON, empty or cut off: {error}") from error


def without_duplicates(pairs: list[tuple[str, object]]) -> dict:
    content: dict[str, object] = {}
    for key, value in pairs:
        if key in content:
            raise UserError(f"has the duplicate key {shown(key)} in one object; keep one of them")
        content[key] = value
    return content


def refuse_constant(text: str) -> None:
    raise UserError(f"holds {text}, which is not a number in JSON")


def entries(file: str, key: str, values: list, findings: Findings) -> list[tuple[int, dict]]:
    """The entries of a list with their ids; entries without a usable id become faults."""
    seen: dict[int, dict] = {}
    for number, entry in enumerate(values, 1):
        what = f"{key} entry {number}"
        if not isinstance(entry, dict):
            findings.fault(file, f"{what} is {shown(entry)}, expected an object")
        elif (key_id := whole(entry.get("id"))) is None:
            findings.fault(file, f"{what}: id is {given(entry, 'id')}, expected a whole number")
        elif key_id in seen:
            name = entry.get("file_name", entry.get("name"))
            named = f" ({shown(name)})" if name is not None else ""
            findings.fault(file, f"{what}{named} has the duplicate id {key_id}{CAUSE[key]}")
        else:
            seen[key_id] = entry
    return sorted(seen.items())


def given(entry: dict, key: str) -> str:
    """The value of a key for a message, or `missing`."""
    return shown(entry[key]) if key in entry else "missing"


def whole(value: object) -> int | None:
    """A whole number of JSON, 3 or 3.0, as an int; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
