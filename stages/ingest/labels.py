"""Reads the categories of one JSON: the names of all labels."""

import unicodedata
from collections import defaultdict

from stages.ingest.findings import Findings
from stages.ingest.json_reader import entries, given
from stages.ingest.names import shown


def read_categories(file: str, values: list, findings: Findings) -> dict[int, str]:
    """Label names by category id.

    CVAT lists each sub-label of a skeleton, so that a name may return under another parent.
    """
    names: dict[int, str] = {}
    parents: dict[str, set[str]] = defaultdict(set)
    for category_id, entry in entries(file, "category", values, findings):
        name = entry.get("name")
        if why := name_fault(name):
            findings.fault(file, f"name is {given(entry, 'name')}, {why}", category=category_id)
            name = ""
        elif (parent := shown(entry.get("supercategory") or "")) in parents[name]:
            findings.fault(file, f"duplicate category name {shown(name)}", category=category_id)
        else:
            parents[name].add(parent)
        names[category_id] = name
    for name, several in parents.items():
        if len(several) > 1:
            what = f"label {shown(name)} is listed under {len(several)} supercategories"
            findings.warn(file, f"{what} ({', '.join(sorted(several)[:5])}); merged into one")
    return names


def name_fault(name: object) -> str | None:
    """Why a label name is refused, or None. Shell and path characters are harmless: no name
    reaches a command line or a path."""
    if not isinstance(name, str) or not name.strip():
        return "expected a text that is not empty"
    if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\t" for c in name):
        return "expected a text without control characters and half surrogate pairs"
    return None
