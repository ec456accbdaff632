"""The thumbnails of each section of the page and their captions."""

from dataclasses import dataclass

from stages.audit.crops import Crop, close_up
from stages.audit.measures import Boxes, by_area, rows_by_image, spread
from stages.audit.summary import crosses
from stages.audit.suspicious_boxes import Suspicion, select_suspicious
from stages.common.coco import labels_of

PAIRS, EXTREMES, SUSPICIOUS = 12, 12, 24


@dataclass(frozen=True)
class Thumbnail:
    """An image with its title, caption lines and reasons."""

    crop: Crop
    title: str
    lines: tuple[str, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """Two near duplicates."""

    thumbnails: tuple[Thumbnail, Thumbnail]
    bits: int
    crosses: bool


def frames(coco: dict, boxes: Boxes, splits: list[str], count: int) -> list[Thumbnail]:
    """Return labeled frames from all groups, from the start to the end of each."""
    rows_of = rows_by_image(boxes, len(coco["images"]))
    labelled = sorted(
        (row for row, own in enumerate(rows_of) if own),
        key=lambda row: (coco["images"][row]["group"], coco["images"][row]["file_name"]),
    )
    groups = [coco["images"][row]["group"] for row in labelled]
    return [
        Thumbnail(Crop(row, rows_of[row]), coco["images"][row]["file_name"], (splits[row],))
        for row in spread(labelled, groups, count)
    ]


def pairs(coco: dict, boxes: Boxes, split_report: dict) -> list[Pair]:
    """Return the closest near duplicates."""
    row_of = {image["file_name"]: row for row, image in enumerate(coco["images"])}
    rows_of = rows_by_image(boxes, len(coco["images"]))
    found = []
    for pair in split_report["near_duplicates"][:PAIRS]:
        both = zip(pair["images"], pair["splits"], strict=True)
        first, second = (
            Thumbnail(Crop(row_of[name], rows_of[row_of[name]]), name, (side,))
            for name, side in both
        )
        found.append(Pair((first, second), pair["bits"], crosses(pair)))
    return found


def extremes(coco: dict, boxes: Boxes) -> tuple[list[Thumbnail], list[Thumbnail]]:
    """Return the smallest and the largest boxes, the most extreme first."""
    ranked = by_area(boxes).tolist()
    smallest, largest = ranked[:EXTREMES], ranked[::-1][:EXTREMES]
    return [of_box(coco, boxes, row) for row in smallest], [
        of_box(coco, boxes, row) for row in largest
    ]


def odd_ones(coco: dict, boxes: Boxes, found: list[Suspicion]) -> list[Thumbnail]:
    """Return the suspicious boxes, each with all its reasons."""
    return [
        of_box(coco, boxes, row, tuple(suspicion.reason for suspicion in own))
        for row, own in select_suspicious(found, SUSPICIOUS).items()
    ]


def of_box(coco: dict, boxes: Boxes, row: int, reasons: tuple[str, ...] = ()) -> Thumbnail:
    """Return the thumbnail of a box and its surroundings."""
    lines = (
        "{:.0f} x {:.0f} px, {:.1f} x {:.1f} at the input".format(
            *boxes.xywh[row, 2:], *boxes.input_wh[row]
        ),
        coco["images"][boxes.images[row]]["file_name"],
        f"annotation {boxes.ids[row]}",
    )
    return Thumbnail(close_up(boxes, row), labels_of(coco)[boxes.classes[row]], lines, reasons)
