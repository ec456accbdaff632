"""Types of the parameters in params.yaml. Their values stand there and nowhere else.

Each section is named after the stage that reads it; several stages read `data` and `model`, and
`ir` and the stages after it read `toolchain`.
Names under `model`, `train` and `pretrain` are those of YOLOX's experiment class
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
    """Read `1e-05`, which DVC writes for 0.00001 and YAML 1.1 takes for a string."""
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
    """Type a list of two in YAML as a tuple of two."""
    return Annotated[
        tuple[kind, kind], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)
    ]


def tuple_of(kind: object) -> object:
    """Type a list in YAML as a tuple."""
    return Annotated[
        tuple[kind, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)
    ]


class Data(Section):
    export: Annotated[str, Field(min_length=1)]
    images: Annotated[str, Field(min_length=1)]
    pool: Annotated[str, Field(min_length=1)]
    on_conflict: Literal["refuse", "newest"]


class Synthesize(Section):
    images: AtLeastOne
    pool_images: AtLeastOne
    seed: Count
    image_hw: pair(Annotated[int, Field(ge=128, le=4096)])


class Ingest(Section):
    max_total_gb: Positive
    max_file_mb: Positive
    max_ratio: Positive
    max_megapixels: Positive


def pattern(value: str) -> str:
    """Check `split.group_by`: none, time, or a regular expression with a group."""
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
    ratio: Annotated[Number, Field(gt=0, lt=1)]
    test: Annotated[Number, Field(ge=0, lt=1)]
    seed: Count
    use_subsets: bool
    subsets: dict[Annotated[str, Field(min_length=1)], Literal["train", "val", "test"]]
    group_by: Annotated[str, AfterValidator(pattern)]
    block: AtLeastOne

    @model_validator(mode="after")
    def leave_something_for_val(self) -> "Split":
        if self.ratio + self.test >= 1:
            raise ValueError("ratio + test must be less than 1; the rest is val")
        return self


class Next(Section):
    frames: AtLeastOne
    random: Probability


class Model(Section):
    name: Literal[tuple(ARCHITECTURES)]
    depth: Positive | None
    width: Positive | None
    depthwise: bool | None
    act: Literal["silu", "relu", "lrelu"]
    input_hw: pair(Stride32)

    def architecture(self) -> dict:
        """Return depth, width, depthwise and act; `name` fills in those that are null."""
        of_name = dict(zip(("depth", "width", "depthwise"), ARCHITECTURES[self.name], strict=True))
        given = {key: getattr(self, key) for key in of_name if getattr(self, key) is not None}
        return {**of_name, **given, "act": self.act}


class Recipe(Section):
    """Hyperparameters of a training run."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    devices: Literal["auto"] | AtLeastOne
    num_nodes: AtLeastOne
    # YAML reads an unquoted 32 as a number.
    precision: Annotated[
        Literal["auto", "32", "bf16-mixed", "16-mixed"],
        BeforeValidator(lambda value: "32" if value == 32 else value),
    ]
    seed: Count
    cache_gb: NotNegative
    batch_size: AtLeastOne
    max_epoch: Literal["auto"] | AtLeastOne
    max_minutes: Positive | None
    patience: Count
    warmup_epochs: Count
    no_aug_epochs: Count
    eval_interval: AtLeastOne
    optimizer: Literal["sgd", "adamw"]
    basic_lr_per_img: Positive
    warmup_lr: NotNegative
    min_lr_ratio: Probability
    scheduler: Literal["yoloxwarmcos", "warmcos", "cos"]
    weight_decay: NotNegative
    momentum: Annotated[Number, Field(ge=0, lt=1)]
    ema: bool
    multiscale_range: Count
    mosaic_prob: Probability
    mosaic_scale: pair(Positive)
    enable_mixup: bool
    mixup_prob: Probability
    mixup_scale: pair(Positive)
    hsv_prob: Probability
    flip_prob: Probability
    degrees: NotNegative
    translate: NotNegative
    shear: NotNegative


class Train(Recipe):
    images: Literal["train", "all"]
    pretrained: Annotated[str, Field(min_length=1)]


class Pretrain(Recipe):
    max_epoch: AtLeastOne
    scenes: AtLeastOne
    input_hw: pair(Stride32)


class Quantize(Section):
    method: Literal["default", "accuracy_aware"]
    max_drop: NotNegative
    max_minutes: Positive
    preset: Literal["mixed", "performance"]
    ranges: Literal["auto", "mean", "all"]
    calibration_images: AtLeastOne
    fast_bias_correction: bool
    keep_float: tuple_of(Literal["predictions", "stem", "first_block", "depthwise"])


def counted(values: tuple[int, ...]) -> tuple[int, ...]:
    """Check `crossval.folds`: empty, or 0, 1, 2 and so on."""
    if len(values) == 1 or values != tuple(range(len(values))):
        raise ValueError("expected [], or the numbers of two or more folds from 0 on: [0, 1, 2]")
    return values


class Crossval(Section):
    folds: Annotated[tuple_of(int), AfterValidator(counted)]
    seeds: Annotated[tuple_of(Count), Field(min_length=1)]


class Evaluate(Section):
    confidence: Probability
    nms_iou: Annotated[Number, Field(gt=0, le=1)]
    min_precision: Probability | None
    min_recall: Probability | None


class Gate(Section):
    max_drop: NotNegative | None


class Benchmark(Section):
    seconds: Positive
    warmup_seconds: NotNegative
    require_quiet: bool


class Pool(Section):
    frames: AtLeastOne


class Audit(Section):
    pictures: Count


class Report(Section):
    pictures: Count


class Params(Section):
    toolchain: Literal["openvino", "openvino-dev"]
    data: Data
    synthesize: Synthesize
    ingest: Ingest
    split: Split
    pool: Pool
    audit: Audit
    next: Next
    model: Model
    train: Train
    pretrain: Pretrain
    quantize: Quantize
    crossval: Crossval
    evaluate: Evaluate
    gate: Gate
    benchmark: Benchmark
    report: Report


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check the whole parameter file.

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
    """Format an error of pydantic as `key: value (what would be right)`."""
    # Pydantic puts the kinds of a union and its functions between the names.
    key = ".".join(part for part in map(str, fault["loc"]) if part.isalnum() or part.isidentifier())
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown parameter; remove it or see stages/common/params.py for its name"
    if fault["type"] == "missing":
        return f"{key}: missing; add it"
    return f"{key}: {fault['input']!r} is refused: {fault['msg']}"
