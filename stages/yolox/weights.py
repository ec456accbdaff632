"""Files of weights: read without running anything in them, written, and the official ones.

The official weights are trained on COCO, (c) Megvii, Apache-2.0:
https://github.com/Megvii-BaseDetection/YOLOX.
"""

import hashlib
import os
import socket
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from stages.common.files import atomic_path
from stages.common.params import Positive, Section, Stride32, pair
from stages.common.run import UserError

RELEASE = "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/"
SHA256 = {
    "yolox_nano.pth": "cd28f55fbbc1829f99d9ac9b38a16d259a22889739c8728ea877610201feff7b",
    "yolox_tiny.pth": "9de513de589ac98bb92d3bca53b5af7b9acfa9b0bacb831f7999d0f7afaee8f0",
    "yolox_s.pth": "f55ded7181e1b0c13285c56e7790b8f0e8f8db590fe4edb37f0b7f345c913a30",
    "yolox_m.pth": "60076992b32da82951c90cfa7bd6ab70eba9eda243e08b940a396f60ac2d19b6",
    "yolox_l.pth": "1e6b7fa6240375370b2a8a8eab9066b3cdd43fd1d0bfa8d2027fd3a51def2917",
    "yolox_x.pth": "5652330b6ae860043f091b8f550a60c10e1129f416edfdb65c259be6caf355cf",
}
MAX_BYTES = 2**30  # no official file is larger than 800 MB
TIMEOUT_S = 30


class Architecture(Section):
    depth: Positive
    width: Positive
    depthwise: bool
    act: Literal["silu", "relu", "lrelu"]


class Facts(Section):
    """The content of a weights file beside the weights."""

    architecture: Architecture
    labels: Annotated[list[str], Field(min_length=1)]
    input_hw: pair(Stride32)


@dataclass(frozen=True)
class Weights:
    """The content of models/yolox.pth, under these keys.

    Attributes:
        model: the state dict, names as in `yolox`.
        architecture: depth, width, depthwise, act.
        labels: class names in the order of the class indices.
        input_hw: height and width that the model was trained for.
    """

    model: dict
    architecture: dict
    labels: list[str]
    input_hw: tuple[int, int]

    def save(self, out: Path) -> None:
        """Write tensors and plain values only, so that the file loads with weights_only=True."""
        state = {name: tensor.cpu().contiguous() for name, tensor in self.model.items()}
        with atomic_path(out) as tmp:
            torch.save({**vars(self), "model": state, "input_hw": list(self.input_hw)}, tmp)


def load_weights(path: Path) -> Weights:
    """Read the weights that `train` wrote.

    Raises:
        UserError: the file is unreadable or was not written by `train`.
    """
    content = read_pth(path)
    if not {"architecture", "labels", "input_hw"} <= set(content):
        raise UserError(f"{path} was not written by `train`; run `dvc repro train`")
    try:
        facts = Facts(**{name: content[name] for name in Facts.model_fields}).model_dump()
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        raise UserError(f"{path} has a wrong value of {wrong}; run `dvc repro train`") from error
    return Weights(content["model"], **facts)


def read_pth(path: Path) -> dict:
    """Read a .pth file, or a .safetensors file, whose entries are the state dict itself.

    Returns:
        A dict whose entry "model" is a state dict.

    Raises:
        UserError: the file is missing, damaged, or holds no state dict.
    """
    if path.suffix == ".safetensors":
        try:
            content = {"model": load_file(path)}
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot read {path}: {reason}; give its path") from error
        except SafetensorError as error:
            raise UserError(f"{path} is not a safetensors file ({error}); copy it again") from error
    else:
        content = read_tensors(path)
    state = content.get("model") if isinstance(content, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f'{path} holds no state dict; expected a .pth file with {{"model": ...}}')
    return content


def read_tensors(path: Path) -> object:
    """Read a file of torch without unpickling anything but tensors and plain values.

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


def official_weights(model_name: str) -> Path:
    """Return the COCO weights of a model, from the user's cache or from the YOLOX release.

    Args:
        model_name: `model.name` of params.yaml, e.g. "yolox-nano".

    Raises:
        UserError: no connection, a server error, or a file with another hash.
    """
    name = model_name.replace("-", "_") + ".pth"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yolox"
    path = cache / name
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[name]:
        return path
    timeout_s = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(TIMEOUT_S)
        check_size(RELEASE + name)
        cache.mkdir(parents=True, exist_ok=True)
        # Writes to a temporary name, and renames it only where the hash is right.
        torch.hub.download_url_to_file(RELEASE + name, str(path), hash_prefix=SHA256[name])
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"cannot download {RELEASE}{name} ({error}). Connect and try again, or put the file at "
            f"{path}, or set train.pretrained to bundled, none or a path"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout_s)
    return path


def check_size(url: str) -> None:
    """Check that a server answers, and announces no more bytes than an official file can have.

    Raises:
        OSError: no connection, or an HTTP error.
        ValueError: it announces more, or no size at all.
    """
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
        length = int(answer.headers.get("Content-Length") or 0)
    if not 0 < length <= MAX_BYTES:
        raise ValueError(f"the server announces {length} bytes, expected 1 to {MAX_BYTES}")
