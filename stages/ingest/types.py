"""What the parts of `ingest` hand to each other about a picture."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Box:
    """One object that is trained on.

    Attributes:
        source_id: id of the annotation in the user's JSON.
        label: name of its category.
        bbox_xywh: left, top, width and height in pixels, inside the picture, rounded to 0.01.
    """

    source_id: int
    label: str
    bbox_xywh: tuple[float, float, float, float]


@dataclass
class Picture:
    """One entry of `images`.

    Attributes:
        file: name of the JSON that lists it.
        subset: of that JSON, `default` for a CVAT task without one.
        source_id: its id in that JSON.
        name: `file_name` as listed there, safe.
        width, height: in pixels, as displayed.
        boxes: sorted by source_id.
    """

    file: str
    subset: str
    source_id: int
    name: str
    width: int
    height: int
    boxes: list[Box] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Its name in the data set, if it is stored as it is."""
        return f"{self.subset}/{self.name}"
