"""The pictures of each section of the page and the words that stand below them."""

from dataclasses import dataclass

from stages.audit.crops import Shot, close_up
from stages.audit.measures import Boxes, by_area, rows_by_image, spread
from stages.audit.summary import crosses
from stages.audit.suspicious_boxes import Doubt, oddest
from stages.common.coco import labels_of

PAIRS, EXTREMES, DOUBTS = 12, 12, 24


@dataclass(frozen=True)
class Tile:
    """A picture, what it is, and what there is to say about it."""

    shot: Shot
    title: str
    lines: tuple[str, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """Two pictures that look the same."""

    tiles: tuple[Tile, Tile]
    bits: int
    crosses: bool


def frames(coco: dict, boxes: Boxes, sides: list[str], count: int) -> list[Tile]:
    """Labelled frames from all groups, from the start to the end of each."""
    rows_of = rows_by_image(boxes, len(coco["images"]))
    labelled = sorted(
        (row for row, own in enumerate(rows_of) if own),
        key=lambda row: (coco["images"][row]["group"], coco["images"][row]["file_name"]),
    )
    groups = [coco["images"][row]["group"] for row in labelled]
    return [
        Tile(Shot(row, rows_of[row]), coco["images"][row]["file_name"], (sides[row],))
        for row in spread(labelled, groups, count)
    ]


def pairs(coco: dict, boxes: Boxes, twins: dict) -> list[Pair]:
    """The closest of the pictures that look the same."""
    row_of = {image["file_name"]: row for row, image in enumerate(coco["images"])}
    rows_of = rows_by_image(boxes, len(coco["images"]))
    found = []
    for pair in twins["near_duplicates"][:PAIRS]:
        both = zip(pair["images"], pair["splits"], strict=True)
        first, second = (
            Tile(Shot(row_of[name], rows_of[row_of[name]]), name, (side,)) for name, side in both
        )
        found.append(Pair((first, second), pair["bits"], crosses(pair)))
    return found


def extremes(coco: dict, boxes: Boxes) -> tuple[list[Tile], list[Tile]]:
    """The smallest boxes and the largest, from the utmost on."""
    ranked = by_area(boxes).tolist()
    smallest, largest = ranked[:EXTREMES], ranked[::-1][:EXTREMES]
    return [of_box(coco, boxes, row) for row in smallest], [
        of_box(coco, boxes, row) for row in largest
    ]


def odd_ones(coco: dict, boxes: Boxes, found: list[Doubt]) -> list[Tile]:
    """The boxes to check, with all that is odd about each."""
    return [
        of_box(coco, boxes, row, tuple(doubt.reason for doubt in own))
        for row, own in oddest(found, DOUBTS).items()
    ]


def of_box(coco: dict, boxes: Boxes, row: int, reasons: tuple[str, ...] = ()) -> Tile:
    """A box with what surrounds it."""
    lines = (
        "{:.0f} x {:.0f} px, {:.1f} x {:.1f} at the input".format(
            *boxes.xywh[row, 2:], *boxes.input_wh[row]
        ),
        coco["images"][boxes.images[row]]["file_name"],
        f"annotation {boxes.ids[row]}",
    )
    return Tile(close_up(boxes, row), labels_of(coco)[boxes.classes[row]], lines, reasons)
