"""The YOLOX model of this project, from its parameters or from its weights file.

The network, its loss and its initial values are those of the `yolox` package. One method of
the head is replaced: under bfloat16 autocast it would compute box coordinates in bfloat16,
whose steps at 500 px are 2 px, and the IoU loss would learn from the rounding.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from yolox.config import YoloxConfig
from yolox.models import YoloPafpn, YoloxHead, YoloxModule

from stages.common.errors import Refusal

# The package calls torch's autocast by a deprecated name; no user can act on that.
warnings.filterwarnings("ignore", category=FutureWarning, module="yolox")

CHANNELS = [256, 512, 1024]  # of the three feature maps at width 1


class Head(YoloxHead):
    """YOLOX's head with its box arithmetic in float32 at any autocast precision."""

    def get_output_and_grid(self, output, k, stride, dtype):
        output = output.float()
        return super().get_output_and_grid(output, k, stride, output.type())


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


def build_model(config: YoloxConfig) -> YoloxModule:
    """A freshly initialised model in training mode; it becomes `config.model`."""
    common = {"in_channels": CHANNELS, "depthwise": config.depthwise, "act": config.act}
    backbone = YoloPafpn(config.depth, config.width, **common)
    config.model = YoloxModule(backbone, Head(config.num_classes, config.width, **common))
    return config.get_model()


def read_tensors(path: Path) -> object:
    """What a file of torch holds, read without unpickling anything but tensors and plain values.

    Raises:
        Refusal: the file is missing, damaged or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise Refusal(f"cannot read {path}: {error.strerror}; give a .pth file") from error
    except Exception as error:  # damaged bytes end in almost any exception of the unpickler
        raise Refusal(
            f"{path} is not a weights file that can be read safely; expected a .pth file with "
            '{"model": state_dict} of tensors'
        ) from error


def read_pth(path: Path) -> dict:
    """The content of a .pth or .safetensors file with weights.

    Returns:
        A dict whose entry "model" is a state dict.

    Raises:
        Refusal: see `read_tensors`; or it holds no state dict.
    """
    content = read_safetensors(path) if path.suffix == ".safetensors" else read_tensors(path)
    state = content.get("model") if isinstance(content, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise Refusal(f'{path} holds no state dict; expected a .pth file with {{"model": ...}}')
    return content


def read_safetensors(path: Path) -> dict:
    """A file of the safetensors format, whose entries are the state dict itself."""
    try:
        return {"model": load_file(path)}
    except OSError as error:
        raise Refusal(f"cannot read {path}: {error.strerror or error}; give its path") from error
    except SafetensorError as error:
        raise Refusal(f"{path} is not a safetensors file ({error}); copy it again") from error


def start_from(model: YoloxModule, path: Path) -> list[str]:
    """Loads pretrained weights; prediction layers of another class count keep their start values.

    Returns:
        The names of the layers that were left as they are.

    Raises:
        Refusal: the weights are unreadable or of another architecture.
    """
    state, own = read_pth(path)["model"], model.state_dict()
    other_classes = [
        name
        for name in own
        if name.startswith("head.cls_preds.") and own[name].shape != shape_of(state, name)
    ]
    differing = [n for n in own if n not in other_classes and own[n].shape != shape_of(state, n)]
    unknown = sorted(set(state) - set(own))
    if differing or unknown:
        raise Refusal(
            f"{path} does not fit the model: {len(differing)} of {len(own)} tensors are missing or "
            f"of another shape, {len(unknown)} are unknown, first {(differing + unknown)[0]}; "
            "set model.name, depth, width and depthwise to those of the weights"
        )
    model.load_state_dict({**own, **{n: state[n] for n in own if n not in other_classes}})
    return other_classes


def shape_of(state: dict, name: str) -> torch.Size | None:
    return state[name].shape if name in state else None


def load_weights(path: Path) -> Weights:
    """Reads the weights that `train` wrote.

    Raises:
        Refusal: the file is unreadable or was not written by `train`.
    """
    content = read_pth(path)
    if not {"architecture", "labels", "input_hw"} <= set(content):
        raise Refusal(f"{path} was not written by `train`; run `dvc repro train`")
    return Weights(
        content["architecture"], content["labels"], tuple(content["input_hw"]), content["model"]
    )


def eval_model(weights: Weights) -> YoloxModule:
    """The trained model in eval mode; it gives raw [1, anchors, 5 + classes], not decoded."""
    config = YoloxConfig("yolox", num_classes=len(weights.labels), **weights.architecture)
    model = build_model(config)
    model.load_state_dict(weights.state)
    model.head.decode_in_inference = False
    return model.eval()


class TorchBackend:
    """The trained PyTorch model behind the interface of `detector.backends`: eager, float32.

    Args:
        model: what `eval_model` returns, or the model that is being trained, in eval mode.
    """

    precision = "f32"

    def __init__(self, model: YoloxModule, labels: list[str], input_hw: tuple[int, int]):
        self.model, self.labels, self.input_hw = model, labels, input_hw

    @torch.inference_mode()
    def infer(self, blob: np.ndarray) -> np.ndarray:
        """float32 [1, 3, *input_hw] to raw float32 [anchors, 5 + classes]."""
        device = next(self.model.parameters()).device
        return self.model(torch.from_numpy(blob).to(device))[0].float().cpu().numpy()


def load_torch_backend(path: Path) -> TorchBackend:
    """The weights file as a backend.

    Raises:
        Refusal: see `load_weights`.
    """
    weights = load_weights(path)
    return TorchBackend(eval_model(weights), weights.labels, weights.input_hw)
