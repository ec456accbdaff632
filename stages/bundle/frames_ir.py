"""The model once more for programs that send frames as they are: bytes, BGR, uint8.

What `OpenVinoBackend` does when it loads a model, transposition and conversion, is part of these
files. Frigate sends squares: where the model's input is none, the square is padded to it as
`detector.core.boxes.letterbox` pads a square frame. So its boxes are those of `Detector`, in pixels
of the square.
"""

from pathlib import Path

import openvino as ov
from openvino.preprocess import PaddingMode, PrePostProcessor

from detector.core.boxes import PAD_VALUE
from stages.conversion.ir_file import save_ir

SERVED = "detector"  # name of the model in OpenVINO Model Server


def save_frames_irs(xml: Path, input_hw: tuple[int, int], side: int, folder: Path) -> None:
    """Write the model for OpenVINO Model Server and for Frigate into a bundle.

    Args:
        xml: the model, float32 [1, 3, *input_hw].
        input_hw: height and width of its input.
        side: of the squares that Frigate sends, at most the shorter side of the input.
        folder: the bundle; `ovms/models/detector/1` and `frigate` are made.

    Raises:
        OSError: they cannot be written.
    """
    version = folder / "ovms/models" / SERVED / "1"
    version.parent.mkdir(parents=True)
    save_ir(with_frames(xml, input_hw, input_hw), version)
    save_ir(with_frames(xml, input_hw, (side, side)), folder / "frigate")


def with_frames(xml: Path, input_hw: tuple[int, int], frame_hw: tuple[int, int]) -> ov.Model:
    """Return a model that takes uint8 [1, *frame_hw, 3] and pads it right and below."""
    model = ov.Core().read_model(xml)
    frames = PrePostProcessor(model)
    tensor = frames.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    tensor.set_shape([1, *frame_hw, 3])
    if frame_hw != input_hw:
        below, right = input_hw[0] - frame_hw[0], input_hw[1] - frame_hw[1]
        frames.input().preprocess().convert_element_type(ov.Type.f32).pad(
            [0, 0, 0, 0], [0, below, right, 0], float(PAD_VALUE), PaddingMode.CONSTANT
        )
    frames.input().model().set_layout(ov.Layout("NCHW"))
    return frames.build()


def is_int8(xml: Path) -> bool:
    """Return whether `quantize` wrote a model."""
    return ov.Core().read_model(xml).has_rt_info(["detector", "made_on"])
