"""The schema of a COCO JSON, and a parser without the latitude of `json`."""

import json
import unicodedata
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
)

from stages.common.run import UserError
from stages.ingest.findings import quote
from stages.ingest.limits import name_fault

# Ten times the side of the largest image; beyond it sums of floats would lose digits.
MAX_COORDINATE = 1e9


def as_int(value: object) -> int | None:
    """Return a whole number of JSON, 3 or 3.0, as an int; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def check_file_name(name: str) -> str:
    if fault := name_fault(name):
        raise ValueError(f"which {fault}; expected a path below images/")
    return name


def check_label(name: str) -> str:
    """Shell and path characters are harmless: no label reaches a command line or a path."""
    if not name.strip():
        raise ValueError("expected a text that is not empty")
    if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\t" for c in name):
        raise ValueError("expected a text without control characters and half surrogate pairs")
    return name


def check_size(bbox_xywh: list[float]) -> list[float]:
    if min(bbox_xywh[2:]) < 0:
        raise ValueError("its width and height must not be negative")
    return bbox_xywh


def check_flag(value: object) -> bool:
    if value not in (None, 0, 1):
        raise ValueError("expected 0 or 1")
    return bool(value)


# Unlike `str`, it lets half surrogate pairs pass to the check that names them.
Text = InstanceOf[str]
Pixels = Annotated[int, BeforeValidator(as_int), Field(ge=1)]
Number = Annotated[int | float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]


class Entry(BaseModel):
    """An object of COCO; each description completes a message: "expected ..."."""

    model_config = ConfigDict(strict=True)


class Coco(Entry):
    categories: list = Field(description="a list")
    images: list = Field(description="a list")
    annotations: list = Field(description="a list")


class Category(Entry):
    name: Annotated[Text, AfterValidator(check_label)] = Field(
        description="a text that is not empty"
    )
    supercategory: object = None


class ImageEntry(Entry):
    file_name: Annotated[Text, AfterValidator(check_file_name)] = Field(description="a text")
    width: Pixels = Field(description="a number of pixels from 1")
    height: Pixels = Field(description="a number of pixels from 1")


class Annotation(Entry):
    """An entry of `annotations`, with the attribute `rotation` that CVAT gives a rectangle.

    Attributes:
        bbox: x, y, width and height in pixels, before the rotation.
        rotation: in degrees.
    """

    bbox: Annotated[list[Number], AfterValidator(check_size)] = Field(
        min_length=4, max_length=4, description="[x, y, width, height] as four finite numbers"
    )
    iscrowd: Annotated[object, AfterValidator(check_flag)] = False
    segmentation: object = None
    rotation: Number = Field(description="degrees in the attribute rotation")

    @property
    def is_rectangle(self) -> bool:
        return is_rectangle(self.segmentation)


def is_rectangle(segmentation: object) -> bool:
    """Return whether there is neither a polygon nor a mask."""
    if isinstance(segmentation, dict):
        return not segmentation.get("counts")
    return not isinstance(segmentation, list) or not segmentation


def annotation_of(entry: dict) -> Annotation:
    """Check an entry of `annotations`.

    On polygons and masks an attribute named rotation is the user's own and means nothing here.

    Raises:
        UserError: all its faults.
    """
    attributes = entry.get("attributes")
    rotated = isinstance(attributes, dict) and is_rectangle(entry.get("segmentation"))
    rotation = attributes.get("rotation", 0.0) if rotated else 0.0
    return checked(Annotation, {**entry, "rotation": rotation})


Model = TypeVar("Model", bound=Entry)


def checked(model: type[Model], entry: dict) -> Model:
    """Check an object of COCO.

    Raises:
        UserError: all its faults, as `key is value, expected ...`.
    """
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        faults = {}
        for detail in error.errors(include_url=False):
            key = detail["loc"][0]
            expected = f"expected {model.model_fields[key].description}"
            if detail["type"] == "value_error":
                expected = str(detail["ctx"]["error"])
            faults[key] = f"{key} is {given(entry, key)}, {expected}"
        raise UserError("; ".join(faults.values())) from error


def given(entry: dict, key: str) -> str:
    """Show the value of a key, or `missing`."""
    return quote(entry[key]) if key in entry else "missing"


def parse_json(data: bytes) -> object:
    """Parse UTF-8 JSON, with or without a byte order mark.

    Raises:
        UserError: a message that continues the name of the file.
    """
    try:
        return json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=unique_keys, parse_constant=no_constant
        )
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 (byte {error.start}); save it in that encoding") from error
    except RecursionError as error:
        raise UserError("is nested too deeply (recursion limit)") from error
    except ValueError as error:
        raise UserError(f"is not JSON, empty or cut off: {error}") from error


def unique_keys(pairs: list[tuple[str, object]]) -> dict:
    content: dict[str, object] = {}
    for key, value in pairs:
        if key in content:
            raise UserError(f"has the duplicate key {quote(key)} in one object; keep one of them")
        content[key] = value
    return content


def no_constant(text: str) -> None:
    raise UserError(f"holds {text}, which is not a number in JSON")
