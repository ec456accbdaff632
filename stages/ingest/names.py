"""File names that come from outside: which are safe, and how to show them in one line."""

import re
import reprlib
import unicodedata
from collections.abc import Iterable

# Linux, macOS and Windows all stop at 255 for one part of a path.
MAX_PART_BYTES = 255
# A quarter of Linux's limit for a whole path: room for the folder that it is joined to.
MAX_NAME_BYTES = 1024

_show = reprlib.Repr()
_show.maxlevel, _show.maxstring, _show.maxother = 2, 160, 160
MAX_SHOWN = 200


def shown(value: object) -> str:
    """Any value from outside as short, printable text: no line break or escape code survives."""
    text = "null" if value is None else _show.repr(value)
    text = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
    return text.encode("utf-8", "backslashreplace").decode()


def nfc(name: str) -> str:
    """The composed Unicode form of a name; macOS stores names decomposed."""
    return unicodedata.normalize("NFC", name)


def by_nfc(names: Iterable[str]) -> dict[str, str]:
    """Names by their composed form; of equal ones the last in their order."""
    return {nfc(name): name for name in sorted(names)}


def why_unsafe(name: str) -> str | None:
    """Why a relative file name from an export must not become a path here.

    Args:
        name: as written in the JSON or the zip, with '/' between its parts.

    Returns:
        The reason, or None for a name that stays inside the folder it is joined to.
    """
    parts = name.split("/")
    if not name:
        return "is empty"
    if "\0" in name:
        return "holds a NUL character"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return "holds a control character or half of a surrogate pair"
    if re.match(r"[A-Za-z]:", name):
        return "starts with a drive letter"
    if "\\" in name:
        return "holds a backslash where '/' is expected"
    if name.startswith("/"):
        return "is an absolute path"
    if ".." in parts:
        return "leaves its folder by '..'"
    if "." in parts or "" in parts:
        return "is not a plain path to a file"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if max(len(part.encode()) for part in parts) > MAX_PART_BYTES:
        return f"has a part longer than {MAX_PART_BYTES} bytes"
    return None
