"""The YOLOX model of this project, from its parameters or from its weights file.

The network, its loss and its initial values are those of the `yolox` package. One method of
the head is replaced: under bfloat16 autocast it would compute box coordinates in bfloat16,
whose steps at 500 px are 2 px, and the IoU loss would learn from the rounding.
"""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from yolox.config import YoloxConfig
from yolox.models import YoloPafpn, YoloxHead, YoloxModule
from yolox.models.network_blocks import BaseConv, Focus

from detector.core.boxes import STRIDES, as_blob
from detector.core.requests import FunctionRequest
from stages.common.run import UserError
from stages.yolox.weights import Weights, load_weights, read_pth

# The package calls torch's autocast by a deprecated name; no user can act on that.
warnings.filterwarnings("ignore", category=FutureWarning, module="yolox")

CHANNELS = [256, 512, 1024]  # of the three feature maps at width 1


class Head(YoloxHead):
    """YOLOX's head with its box arithmetic in float32 at any autocast precision."""

    def get_output_and_grid(self, output, k, stride, dtype):
        output = output.float()
        return super().get_output_and_grid(output, k, stride, output.type())


def build_model(config: YoloxConfig) -> YoloxModule:
    """A freshly initialised model in training mode; it becomes `config.model`."""
    common = {"in_channels": CHANNELS, "depthwise": config.depthwise, "act": config.act}
    backbone = YoloPafpn(config.depth, config.width, **common)
    config.model = YoloxModule(backbone, Head(config.num_classes, config.width, **common))
    return config.get_model()


def start_from(model: YoloxModule, path: Path) -> list[str]:
    """Loads pretrained weights; prediction layers of another class count keep their start values.

    Returns:
        The names of the layers that were left as they are.

    Raises:
        UserError: the weights are unreadable or of another architecture.
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
        raise UserError(
            f"{path} does not fit the model: {len(differing)} of {len(own)} tensors are missing or "
            f"of another shape, {len(unknown)} are unknown, first {(differing + unknown)[0]}; "
            "set model.name, depth, width and depthwise to those of the weights"
        )
    model.load_state_dict({**own, **{n: state[n] for n in own if n not in other_classes}})
    return other_classes


def shape_of(state: dict, name: str) -> torch.Size | None:
    return state[name].shape if name in state else None


def eval_model(weights: Weights) -> YoloxModule:
    """The trained model in eval mode; it gives raw [1, anchors, 5 + classes], not decoded."""
    config = YoloxConfig("yolox", num_classes=len(weights.labels), **weights.architecture)
    model = build_model(config)
    model.load_state_dict(weights.state)
    model.head.decode_in_inference = False
    return model.eval()


class Decoded(torch.nn.Module):
    """A YOLOX model that gives boxes in pixels and one score per class.

    OpenVINO computes what follows the last convolutions in float32 even where it runs the rest in
    bfloat16, and NNCF puts no quantizer there, so the decode may stand in the graph.

    Args:
        model: YOLOX in eval mode, not decoding itself.
        input_hw: height and width that it will be given.
    """

    def __init__(self, model: YoloxModule, input_hw: tuple[int, int]):
        super().__init__()
        self.model = model
        corners, strides = anchor_grid(input_hw)
        self.register_buffer("corners", corners)
        self.register_buffer("strides", strides)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[1, 3, height, width] to [1, 4 + classes, anchors], see `boxes.postprocess`."""
        raw = self.model(images)
        centres = (raw[..., :2] + self.corners) * self.strides
        sides = raw[..., 2:4].exp() * self.strides
        scores = raw[..., 4:5] * raw[..., 5:]
        return torch.cat([centres, sides, scores], -1).transpose(1, 2)


def anchor_grid(input_hw: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cell corners [anchors, 2] (x, y in cells) and strides [anchors, 1], both float32."""
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = (torch.arange(side // stride) for side in input_hw)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        corners.append(torch.stack([x, y], -1).reshape(-1, 2).float())
        strides.append(torch.full((len(corners[-1]), 1), float(stride)))
    return torch.cat(corners), torch.cat(strides)


def with_one_stem(model: YoloxModule) -> YoloxModule:
    """A copy whose Focus is the 6x6 convolution with stride 2 that computes the same.

    Focus slices the image into its four phases, twelve channels, for a 3x3 convolution. Each of
    these weights belongs to one pixel of a 6x6 window; without slices there is nothing left to
    do before the first convolution, which in INT8 then reads the picture's bytes.
    """
    model = copy.deepcopy(model)
    model.backbone.backbone.stem = one_convolution(model.backbone.backbone.stem)
    return model.eval()


def one_convolution(focus: Focus) -> BaseConv:
    old = focus.conv.conv
    new = BaseConv(old.in_channels // 4, old.out_channels, ksize=6, stride=2)
    # The order in which Focus stacks the phases (row, column).
    for phase, (row, column) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        channels = slice(phase * new.conv.in_channels, (phase + 1) * new.conv.in_channels)
        new.conv.weight.data[:, :, row::2, column::2] = old.weight.data[:, channels]
    new.bn, new.act = focus.conv.bn, focus.conv.act
    return new


class TorchBackend:
    """The trained PyTorch model as a backend of `detector.core.frame_detector`: eager, float32.

    Args:
        model: what `eval_model` returns, or the model that is being trained, in eval mode.
        labels: class names.
        input_hw: height and width of its input.
        workers: the thread of its requests; None computes in the thread that starts them.
    """

    precision = "f32"
    num_requests = 2  # one is computed by all cores, the next one waits

    def __init__(
        self,
        model: YoloxModule,
        labels: list[str],
        input_hw: tuple[int, int],
        workers: ThreadPoolExecutor | None = None,
    ):
        self.device = next(model.parameters()).device
        self.model = Decoded(model, input_hw).to(self.device)
        self.labels, self.input_hw = labels, input_hw
        self.workers = workers

    @torch.inference_mode()
    def infer(self, canvas_bgr: np.ndarray) -> np.ndarray:
        """uint8 [*input_hw, 3] to float32 [4 + classes, anchors], see `postprocess`."""
        blob = torch.from_numpy(as_blob(canvas_bgr))
        return self.model(blob.to(self.device))[0].float().cpu().numpy()

    def new_request(self) -> FunctionRequest:
        return FunctionRequest(self.infer, self.input_hw, self.workers)

    def close(self) -> None:
        if self.workers:
            self.workers.shutdown()


def load_torch_backend(path: Path, workers: ThreadPoolExecutor | None = None) -> TorchBackend:
    """The weights file as a backend.

    Raises:
        UserError: see `load_weights`.
    """
    weights = load_weights(path)
    return TorchBackend(eval_model(weights), weights.labels, weights.input_hw, workers)


def timing_thread(threads: int) -> ThreadPoolExecutor:
    """The one thread of a process that may touch PyTorch where PyTorch is timed.

    OpenMP keeps a pool of threads for every thread that ever computed; where those are more than
    cores, they sleep between any two operations, and YOLOX-nano takes 2.5 times as long. So models
    are loaded in this thread as well, see `load_for_timing`.

    Args:
        threads: that PyTorch uses.
    """
    workers = ThreadPoolExecutor(1, "torch")
    workers.submit(torch.set_num_threads, threads).result()
    return workers


def load_for_timing(path: Path, thread: ThreadPoolExecutor) -> TorchBackend:
    """The weights file as a backend whose requests run in the timing thread."""
    return thread.submit(load_torch_backend, path, thread).result()
