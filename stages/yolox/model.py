"""The YOLOX network, its decoder and its backend, from parameters or from a weights file.

Network, loss and initial values are those of the `yolox` package. One method of the head is
replaced: under bfloat16 autocast it would compute box coordinates in bfloat16, which at 500 px
rounds to 2 px, and the IoU loss would learn from the rounding.
"""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from yolox.config import YoloxConfig
from yolox.models import YoloPafpn, YoloxHead, YoloxModule
from yolox.models.network_blocks import BaseConv

from detector.core.backend import FunctionRequest
from detector.core.boxes import STRIDES, as_blob
from stages.common.params import Recipe
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


def build_model(architecture: dict, classes: int) -> YoloxModule:
    """Initialize a model in training mode from its depth, width, depthwise and act."""
    config = YoloxConfig("yolox", num_classes=classes, **architecture)
    common = {"in_channels": CHANNELS, "depthwise": config.depthwise, "act": config.act}
    backbone = YoloPafpn(config.depth, config.width, **common)
    config.model = YoloxModule(backbone, Head(classes, config.width, **common))
    return config.get_model()  # sets the constants of batch norms and the biases of the head


def start_from(model: YoloxModule, path: Path) -> list[str]:
    """Load pretrained weights, except for the class predictions where the classes are others.

    Returns:
        The names of the tensors that keep their initial values.

    Raises:
        UserError: the weights are unreadable or of another architecture.
    """
    state, own = read_pth(path)["model"], model.state_dict()
    shapes = {name: value.shape for name, value in state.items()}
    unlike = [name for name, value in own.items() if shapes.get(name) != value.shape]
    other_classes = [name for name in unlike if name.startswith("head.cls_preds.")]
    differing = [name for name in unlike if name not in other_classes]
    unknown = sorted(set(state) - set(own))
    if differing or unknown:
        raise UserError(
            f"{path} does not fit the model: {len(differing)} of {len(own)} tensors are missing or "
            f"of another shape, {len(unknown)} are unknown, first {(differing + unknown)[0]}; "
            "set model.name, depth, width and depthwise to those of the weights"
        )
    model.load_state_dict({n: state[n] for n in own if n not in other_classes}, strict=False)
    return other_classes


def eval_model(weights: Weights) -> YoloxModule:
    """Build the trained model in eval mode; its output [1, anchors, 5 + classes] is not decoded.

    Raises:
        UserError: the tensors are not those of the architecture.
    """
    model = build_model(weights.architecture, len(weights.labels))
    try:
        model.load_state_dict(weights.model)
    except RuntimeError as error:
        raise UserError(
            f"the weights are not those of a YOLOX of {weights.architecture} with "
            f"{len(weights.labels)} classes; run `dvc repro train`"
        ) from error
    model.head.decode_in_inference = False
    return model.eval()


def make_optimizer(model: YoloxModule, params: Recipe) -> torch.optim.Optimizer:
    """Make YOLOX's SGD, or AdamW; neither decays biases and batch-norm scales."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    decay = params.weight_decay
    if params.optimizer == "sgd":
        momentum = params.momentum
        return torch.optim.SGD(groups, momentum=momentum, nesterov=True, weight_decay=decay)
    return torch.optim.AdamW(groups, weight_decay=decay)


class WithDecoder(torch.nn.Module):
    """A YOLOX model whose output is boxes in pixels and one score per class.

    OpenVINO computes what follows the last convolutions in float32 even where it runs the rest in
    bfloat16, and NNCF puts no quantizer there, so the decoder can be part of the graph.

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
        """Map [1, 3, height, width] to [1, 4 + classes, anchors], see `boxes.postprocess`."""
        raw = self.model(images)
        centers = (raw[..., :2] + self.corners) * self.strides
        sides = raw[..., 2:4].exp() * self.strides
        scores = raw[..., 4:5] * raw[..., 5:]
        return torch.cat([centers, sides, scores], -1).transpose(1, 2)


def anchor_grid(input_hw: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cell corners [anchors, 2] (x, y in cells) and strides [anchors, 1], both float32."""
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = (torch.arange(side // stride) for side in input_hw)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        corners.append(torch.stack([x, y], -1).reshape(-1, 2).float())
        strides.append(torch.full((len(corners[-1]), 1), float(stride)))
    return torch.cat(corners), torch.cat(strides)


def fuse_focus(model: YoloxModule) -> YoloxModule:
    """Copy a model with its Focus replaced by the equivalent 6x6 convolution with stride 2.

    Focus slices the image into its four phases, twelve channels, for a 3x3 convolution. Each of
    these weights belongs to one pixel of a 6x6 window. Without slices the first convolution is
    the first operation, which in INT8 reads the bytes of the image directly.
    """
    model = copy.deepcopy(model)
    focus = model.backbone.backbone.stem
    old = focus.conv.conv
    new = BaseConv(old.in_channels // 4, old.out_channels, ksize=6, stride=2)
    # The order in which Focus stacks the phases (row, column).
    for phase, (row, column) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        channels = slice(phase * new.conv.in_channels, (phase + 1) * new.conv.in_channels)
        new.conv.weight.data[:, :, row::2, column::2] = old.weight.data[:, channels]
    new.bn, new.act = focus.conv.bn, focus.conv.act
    model.backbone.backbone.stem = new
    return model.eval()


class TorchBackend:
    """The trained PyTorch model as a backend, see `detector.core.backend`: eager, float32.

    Args:
        model: what `eval_model` returns, or the model that is being trained, in eval mode.
        labels: class names.
        input_hw: height and width of its input.
        workers: the thread that computes; None for the thread that starts a request.
    """

    precision = "f32"
    num_requests = 2  # one is computed on all cores while the next one waits

    def __init__(
        self,
        model: YoloxModule,
        labels: list[str],
        input_hw: tuple[int, int],
        workers: ThreadPoolExecutor | None = None,
    ):
        self.device = next(model.parameters()).device
        self.model = WithDecoder(model, input_hw).to(self.device)
        self.labels, self.input_hw = labels, input_hw
        self.workers = workers

    @torch.inference_mode()
    def infer(self, canvas_bgr: np.ndarray) -> np.ndarray:
        """Map uint8 [*input_hw, 3] to float32 [4 + classes, anchors], see `postprocess`."""
        blob = torch.from_numpy(as_blob(canvas_bgr))
        return self.model(blob.to(self.device))[0].float().cpu().numpy()

    def new_request(self) -> FunctionRequest:
        return FunctionRequest(self.infer, self.input_hw, self.workers)

    def close(self) -> None:
        if self.workers:
            self.workers.shutdown()


def load_torch_backend(path: Path, workers: ThreadPoolExecutor | None = None) -> TorchBackend:
    """Load a weights file as a backend.

    Raises:
        UserError: see `load_weights`.
    """
    weights = load_weights(path)
    return TorchBackend(eval_model(weights), weights.labels, weights.input_hw, workers)


def timing_thread(threads: int) -> ThreadPoolExecutor:
    """Start the only thread that may use PyTorch in a process that measures its speed.

    OpenMP keeps a thread pool for every thread that ever computed. Where these are more threads
    than cores, they sleep between operations, and YOLOX-nano takes 2.5 times as long. So models
    are loaded in this thread too, see `load_for_timing`.

    Args:
        threads: number of threads that PyTorch computes with.
    """
    workers = ThreadPoolExecutor(1, "torch")
    workers.submit(torch.set_num_threads, threads).result()
    return workers


def load_for_timing(path: Path, thread: ThreadPoolExecutor) -> TorchBackend:
    """Load a weights file as a backend whose requests run in the timing thread."""
    return thread.submit(load_torch_backend, path, thread).result()
