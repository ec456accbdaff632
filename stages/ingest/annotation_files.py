"""Finds by name the JSON files of an export that list its pictures.

annotations/instances_<subset>.json     CVAT, and COCO itself; where there is one, nothing else
annotations/<subset>.json               plain COCO of other tools
<subset>.json
<subset>/_annotations.coco.json         Roboflow, beside its pictures

In:   the names of all files, relative to what the user gave
Out:  the folder that all of it lies in, and the subset of each JSON
"""

import re
from collections.abc import Collection

from stages.common.run import UserError
from stages.ingest.names import shown

WANTED = (
    'expected a CVAT "COCO 1.0" export: annotations/instances_default.json (or another subset) '
    "and images/"
)
INSTANCES = re.compile(r"(?P<top>|.*/)annotations/instances_(?P<subset>[^/]*)\.json", re.DOTALL)
PLAIN = re.compile(r"(?:annotations/)?(?P<subset>[^/]*)\.json", re.DOTALL)
ROBOFLOW = re.compile(r"(?P<subset>[^/]+)/_annotations\.coco\.json", re.DOTALL)
# Names that tools give to the JSON of a data set without subsets.
NO_SUBSET = {"annotations", "result", "labels", "coco", "instances", "_annotations.coco"}
OTHER_TASKS = ("person_keypoints", "captions")


def listings(names: Collection[str]) -> dict[str, str]:
    """The subset of each JSON that may list pictures, by its name from the top folder."""
    instances = {name: INSTANCES.fullmatch(name) for name in names}
    found = {name: match["subset"] for name, match in instances.items() if match and not match[1]}
    return found or {name: subset for name in names if (subset := plain_subset(name)) is not None}


def is_instances(name: str) -> bool:
    """Whether a JSON must list pictures by its name alone."""
    return INSTANCES.fullmatch(name) is not None


def plain_subset(name: str) -> str | None:
    """The subset of a JSON that is not named as CVAT does it; None if it is none for boxes."""
    match = ROBOFLOW.fullmatch(name) or PLAIN.fullmatch(name)
    if not match or name.rpartition("/")[2].startswith(OTHER_TASKS):
        return None
    return "default" if match["subset"] in NO_SUBSET else match["subset"]


def top_folder(names: Collection[str]) -> str | None:
    """The folder that holds the export, with a '/' at its end, or "".

    Returns:
        None where no JSON may list pictures.

    Raises:
        UserError: there are several exports.
    """
    tops = {match[1] for match in map(INSTANCES.fullmatch, names) if match}
    if "" in tops:
        return ""
    if len(tops) > 1:
        raise UserError(f"holds several exports ({examples(tops)}); give one of them at a time")
    return tops.pop() if tops else plain_top(names)


def plain_top(names: Collection[str]) -> str | None:
    """The same for a data set that is not named as CVAT does it."""
    top = ""
    while not listings([name[len(top) :] for name in names]):
        folders = {name[len(top) :].partition("/")[:2] for name in names}
        if len(folders) != 1 or not all(slash for _, slash in folders):
            return None
        top += "".join(folders.pop())
    return top


def hint(names: Collection[str]) -> str:
    """What seems to have been given instead of an export of bounding boxes."""
    jsons = sorted(name for name in names if name.endswith(".json"))
    zips = sorted(name for name in names if name.endswith(".zip"))
    if any("person_keypoints" in name for name in jsons):
        return f'{shown(jsons[0])} is "COCO Keypoints 1.0": export as "COCO 1.0"'
    if jsons:
        return (
            f"none of its JSON files ({examples(jsons)}) is COCO of boxes, with the "
            "lists images, annotations and categories"
        )
    if zips:
        return f"it holds another zip, {shown(zips[0])}: unpack the outer one and give the inner"
    return "it has no JSON file there; export again" if names else "it is empty; export again"


def examples(names: Collection[str]) -> str:
    return ", ".join(map(shown, sorted(names)[:3]))
