"""Files of weights, read without running anything that is in them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from stages.common.run import UserError


@dataclass(frozen=True)
class Weights:
    """What models/yolox.pth holds.

    Attributes:
        architecture: depth, width, depthwise, act.
        labels: class names in the order of the class indices.
        input_hw: height and width that the model was trained for.
        state: the state dict, names as in `yolox`.
    """

    architecture: dict
    labels: list[str]
    input_hw: tuple[int, int]
    state: dict


def read_tensors(path: Path) -> object:
    """What a file of torch holds, read without unpickling anything but tensors and plain values.

    Raises:
        UserError: the file is missing, damaged or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a .pth file") from error
    except Exception as error:  # damaged bytes end in almost any exception of the unpickler
        raise UserError(
            f"{path} is not a weights file that can be read safely; expected a .pth file with "
            '{"model": state_dict} of tensors'
        ) from error


def read_pth(path: Path) -> dict:
    """The content of a .pth or .safetensors file with weights.

    Returns:
        A dict whose entry "model" is a state dict.

    Raises:
        UserError: see `read_tensors`; or it holds no state dict.
    """
    content = read_safetensors(path) if path.suffix == ".safetensors" else read_tensors(path)
    state = content.get("model") if isinstance(content, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f'{path} holds no state dict; expected a .pth file with {{"model": ...}}')
    return content


def read_safetensors(path: Path) -> dict:
    """A file of the safetensors format, whose entries are the state dict itself."""
    try:
        return {"model": load_file(path)}
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; give its path") from error
    except SafetensorError as error:
        raise UserError(f"{path} is not a safetensors file ({error}); copy it again") from error


def load_weights(path: Path) -> Weights:
    """Reads the weights that `train` wrote.

    Raises:
        UserError: the file is unreadable or was not written by `train`.
    """
    content = read_pth(path)
    if not {"architecture", "labels", "input_hw"} <= set(content):
        raise UserError(f"{path} was not written by `train`; run `dvc repro train`")
    return Weights(
        content["architecture"], content["labels"], tuple(content["input_hw"]), content["model"]
    )
