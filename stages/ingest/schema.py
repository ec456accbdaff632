"""The schema of a COCO JSON, and a parser without the latitude of `json`."""

import json
import re
from collections.abc import Container
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
    ValidationInfo,
)

from stages.admission.findings import quote
from stages.admission.source import REORDERING, name_fault, plain_path
from stages.common.run import UserError

# Ten times the side of the largest image; beyond it sums of floats would lose digits.
MAX_COORDINATE = 1e9
UNPRINTABLE = re.compile(rf"[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{REORDERING}]")


def as_int(value: object) -> int | None:
    """Return a whole number of JSON, 3 or 3.0, as an int; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def check_file_name(name: str) -> str:
    if (fault := name_fault(name)) and not plain_path(name):
        raise ValueError(f"which {fault}; expected a path below images/")
    return name


def check_label(name: str) -> str:
    """Shell and path characters are harmless: no label reaches a command line or a path."""
    if not name.strip():
        raise ValueError
    if UNPRINTABLE.search(name):
        raise ValueError(
            "expected a text without line breaks, control characters, overrides of the writing "
            "direction and half surrogate pairs"
        )
    return name


def check_id(value: int, info: ValidationInfo) -> int:
    if value not in info.context[info.field_name]:
        raise ValueError
    return value


def check_flag(value: object) -> bool:
    if value not in (None, 0, 1):
        raise ValueError
    return bool(value)


# Unlike `str`, it lets half surrogate pairs pass to the check that names them.
Text = InstanceOf[str]
Pixels = Annotated[int, BeforeValidator(as_int), Field(ge=1)]
KnownId = Annotated[int, BeforeValidator(as_int), AfterValidator(check_id)]
Number = Annotated[int | float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Length = Annotated[int | float, Field(ge=0, le=MAX_COORDINATE)]
Flag = Annotated[object, AfterValidator(check_flag)]


class Entry(BaseModel):
    """An object of COCO. Each description completes a message: "expected ..."."""

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
    """An entry of `annotations`.

    Attributes:
        bbox: x, y, width and height in pixels, before the rotation.
        is_rectangle: it has neither a polygon nor a mask.
        rotation: in degrees; CVAT writes it into the attributes of a rectangle.
    """

    image_id: KnownId = Field(description="the id of an entry of images")
    category_id: KnownId = Field(description="the id of an entry of categories")
    bbox: tuple[Number, Number, Length, Length] = Field(
        strict=False,  # as a list; its numbers stay strict
        description="[x, y, width, height] as four finite numbers, the last two not negative",
    )
    iscrowd: Flag = Field(False, description="0 or 1")
    is_rectangle: bool
    rotation: Number = Field(description="degrees in the attribute rotation")


def checked_annotation(entry: dict, ids: dict[str, Container[int]]) -> Annotation:
    """Check an entry of `annotations` against the ids that `image_id` and `category_id` may have.

    Raises:
        UserError: all its faults.
    """
    outline, attributes = entry.get("segmentation"), entry.get("attributes")
    if isinstance(outline, dict):
        outline = [outline["counts"]] if outline.get("counts") else []
    is_rectangle = not isinstance(outline, list) or not outline
    # On polygons and masks an attribute of this name is the user's own and means nothing here.
    rotated = is_rectangle and isinstance(attributes, dict)
    rotation = attributes.get("rotation", 0.0) if rotated else 0.0
    return checked(Annotation, {**entry, "is_rectangle": is_rectangle, "rotation": rotation}, ids)


Model = TypeVar("Model", bound=Entry)


def checked(model: type[Model], entry: dict, context: dict | None = None) -> Model:
    """Check an object of COCO.

    Raises:
        UserError: all its faults, as `key is value, expected ...`.
    """
    try:
        return model.model_validate(entry, context=context)
    except ValidationError as error:
        faults = {}
        for detail in error.errors(include_url=False):
            key = detail["loc"][0]
            expected = f"expected {model.model_fields[key].description}"
            reason = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else ""
            faults[key] = f"{key} is {given(entry, key)}, {reason or expected}"
        named = "file_name" in model.model_fields and "file_name" not in faults
        prefix = f"{quote(entry['file_name'])}: " if named else ""
        raise UserError(prefix + "; ".join(faults.values())) from error


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
