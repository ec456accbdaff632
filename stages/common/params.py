"""params.yaml as typed values: the only door through which a parameter enters a stage.

Each section is named after the stage that owns it; `data` and `model` belong to several,
and `toolchain`, which is no section, to `ir` and what follows.
Names and defaults under `model` and `train` are those of YOLOX's experiment class
(https://github.com/Megvii-BaseDetection/YOLOX, yolox/exp/yolox_base.py).
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from stages.common.run import UserError

# Depth, width and depthwise of the published models (YOLOX, exps/default).
ARCHITECTURES = {
    "yolox-nano": (0.33, 0.25, True),
    "yolox-tiny": (0.33, 0.375, False),
    "yolox-s": (0.33, 0.50, False),
    "yolox-m": (0.67, 0.75, False),
    "yolox-l": (1.0, 1.0, False),
    "yolox-x": (1.33, 1.25, False),
}


def number(value: object) -> object:
    """DVC writes 0.00001 as `1e-05`, which YAML 1.1 readers take for a string."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Number = Annotated[float, BeforeValidator(number)]
Probability = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
Stride32 = Annotated[int, Field(ge=32, multiple_of=32)]


class Section(BaseModel):
    # Strict, or `enable_mixup: "yes"` and `max_epoch: 1.0` would pass as something else.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def pair(kind: object) -> object:
    """A list of two in YAML, a tuple of two in Python."""
    return Annotated[
        tuple[kind, kind], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)
    ]


def tuple_of(kind: object) -> object:
    """A list in YAML, a tuple in Python."""
    return Annotated[
        tuple[kind, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)
    ]


class Data(Section):
    export: Annotated[str, Field(min_length=1)]
    images: Annotated[str, Field(min_length=1)] = "data/originals"


class Synthesize(Section):
    images: AtLeastOne = 40
    seed: Count = 0
    image_hw: pair(Annotated[int, Field(ge=128, le=4096)]) = (540, 960)


class Ingest(Section):
    max_total_gb: Positive = 128.0
    max_file_mb: Positive = 512.0
    max_ratio: Positive = 200.0
    max_megapixels: Positive = 100.0


def pattern(value: str) -> str:
    """A way to group images by name: a word, or a regular expression with a group."""
    if value in ("none", "time"):
        return value
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if not groups:
        raise ValueError("a regular expression needs a (group) that is the key")
    return value


class Split(Section):
    ratio: Annotated[Number, Field(gt=0, lt=1)] = 0.75
    test: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    seed: Count = 0
    use_subsets: bool = True
    group_by: Annotated[str, AfterValidator(pattern)] = "none"
    block: AtLeastOne = 30

    @model_validator(mode="after")
    def leave_something_for_val(self) -> "Split":
        if self.ratio + self.test >= 1:
            raise ValueError("ratio + test must be less than 1; the rest is val")
        return self


class Model(Section):
    name: Literal[tuple(ARCHITECTURES)] = "yolox-s"
    depth: Positive | None = None
    width: Positive | None = None
    depthwise: bool | None = None
    act: Literal["silu", "relu", "lrelu"] = "silu"
    input_hw: pair(Stride32) = (640, 640)

    def architecture(self) -> dict:
        """Depth, width, depthwise and act: those of `name` where not given one by one."""
        of_name = dict(zip(("depth", "width", "depthwise"), ARCHITECTURES[self.name], strict=True))
        given = {key: getattr(self, key) for key in of_name if getattr(self, key) is not None}
        return {**of_name, **given, "act": self.act}


class Train(Section):
    pretrained: Annotated[str, Field(min_length=1)] = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: Literal["auto"] | AtLeastOne = "auto"
    num_nodes: AtLeastOne = 1
    # YAML reads an unquoted 32 as a number.
    precision: Annotated[
        Literal["auto", "32", "bf16-mixed", "16-mixed"],
        BeforeValidator(lambda value: "32" if value == 32 else value),
    ] = "auto"
    seed: Count = 0
    cache_gb: NotNegative = 4.0
    batch_size: AtLeastOne = 8
    max_epoch: Literal["auto"] | AtLeastOne = 300
    max_minutes: Positive | None = None
    patience: Count = 0
    warmup_epochs: Count = 5
    no_aug_epochs: Count = 15
    eval_interval: AtLeastOne = 10
    optimizer: Literal["sgd", "adamw"] = "sgd"
    basic_lr_per_img: Positive = 0.01 / 64
    warmup_lr: NotNegative = 0.0
    min_lr_ratio: Probability = 0.05
    scheduler: Literal["yoloxwarmcos", "warmcos", "cos"] = "yoloxwarmcos"
    weight_decay: NotNegative = 5e-4
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    ema: bool = True
    multiscale_range: Count = 5
    mosaic_prob: Probability = 1.0
    mosaic_scale: pair(Positive) = (0.1, 2.0)
    enable_mixup: bool = True
    mixup_prob: Probability = 1.0
    mixup_scale: pair(Positive) = (0.5, 1.5)
    hsv_prob: Probability = 1.0
    flip_prob: Probability = 0.5
    degrees: NotNegative = 10.0
    translate: NotNegative = 0.1
    shear: NotNegative = 2.0


class Pretrain(Train):
    """The same hyperparameters for the run that makes the bundled weights."""

    max_epoch: AtLeastOne = 300
    scenes: AtLeastOne = 2000
    input_hw: pair(Stride32) = (256, 448)


class Quantize(Section):
    method: Literal["default", "accuracy_aware"] = "default"
    max_drop: NotNegative = 1.0
    max_minutes: Positive = 20.0
    preset: Literal["mixed", "performance"] = "mixed"
    ranges: Literal["auto", "mean", "all"] = "auto"
    calibration_images: AtLeastOne = 300
    fast_bias_correction: bool = True
    keep_float: tuple_of(Literal["predictions", "stem", "first_block", "depthwise"]) = (
        "predictions",
        "depthwise",
    )


class Evaluate(Section):
    confidence: Probability = 0.001
    nms_iou: Annotated[Number, Field(gt=0, le=1)] = 0.65


class Gate(Section):
    max_drop: NotNegative | None = 1.0


class Benchmark(Section):
    seconds: Positive = 60.0
    warmup_seconds: NotNegative = 1.0


class Audit(Section):
    pictures: Count = 24


class Report(Section):
    pictures: Count = 10
    confidence: Probability = 0.25


class Params(Section):
    toolchain: Literal["openvino", "openvino-dev"] = "openvino"
    data: Data
    synthesize: Synthesize = Synthesize()
    ingest: Ingest = Ingest()
    split: Split = Split()
    audit: Audit = Audit()
    model: Model = Model()
    train: Train = Train()
    pretrain: Pretrain = Pretrain()
    quantize: Quantize = Quantize()
    evaluate: Evaluate = Evaluate()
    gate: Gate = Gate()
    benchmark: Benchmark = Benchmark()
    report: Report = Report()


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks the whole parameter file.

    Raises:
        UserError: the file is missing or not YAML, or a value is unknown, mistyped or out of
            range; the message names file, key, value and what would be right.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run from the folder that holds it") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: " + "; ".join(map(explain, error.errors()))) from error


def explain(fault: dict) -> str:
    """One fault of pydantic as `key: value (what would be right)`."""
    # Pydantic puts the kinds of a union and its functions between the names.
    key = ".".join(part for part in map(str, fault["loc"]) if part.isalnum() or part.isidentifier())
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown parameter; remove it or see stages/common/params.py for its name"
    if fault["type"] == "missing":
        return f"{key}: missing; add it"
    return f"{key}: {fault['input']!r} is refused: {fault['msg']}"
