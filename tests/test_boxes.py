"""Letterbox, decode, stem and NMS, against YOLOX's own code and torchvision."""

import numpy as np
import pytest
import torch
import torchvision
from yolox.data.data_augment import preproc
from yolox.utils import postprocess as yolox_postprocess

from detector.core.boxes import as_blob, fitted_hw, letterbox, nms, postprocess
from stages.yolox.model import WithDecoder, fuse_focus


@pytest.mark.parametrize(
    ("frame_hw", "input_hw", "fitted"),
    [
        ((720, 1280), (384, 640), (360, 640)),
        ((540, 960), (320, 544), (306, 544)),
        ((100, 30), (64, 96), (64, 19)),
        ((64, 96), (64, 96), (64, 96)),
        ((33, 47), (640, 640), (449, 640)),
        # YOLOX cuts off: int(720 * 0.35) is 251. And a frame keeps at least one row.
        ((720, 1280), (256, 448), (252, 448)),
        ((101, 200), (64, 96), (48, 96)),
        ((4, 4000), (320, 320), (1, 320)),
    ],
)
def test_letterbox_is_the_one_of_yolox_but_for_rounding(frame_hw, input_hw, fitted):
    image_bgr = np.random.default_rng(0).integers(0, 256, (*frame_hw, 3), np.uint8)
    assert fitted_hw(frame_hw, input_hw) == fitted
    used_bgr = np.full((*input_hw, 3), 7, np.uint8)
    assert letterbox(image_bgr, input_hw, used_bgr) is used_bgr
    np.testing.assert_array_equal(used_bgr, letterbox(image_bgr, input_hw))
    ratio = min(input_hw[0] / frame_hw[0], input_hw[1] / frame_hw[1])
    if fitted == (int(frame_hw[0] * ratio), int(frame_hw[1] * ratio)):
        blob = as_blob(used_bgr)
        assert (blob.dtype, blob.shape) == (np.float32, (1, 3, *input_hw))
        np.testing.assert_array_equal(blob[0], preproc(image_bgr, input_hw)[0])


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 60 + 114


@pytest.mark.parametrize("frame_hw", [(128, 192), (64, 96), (200, 100)])
def test_boxes_are_those_of_yolox(tiny_model, noise, frame_hw):
    """The whole way: our decode and postprocess against YOLOX's decode and its NMS."""
    input_hw = (64, 96)
    with torch.inference_mode():
        output = WithDecoder(tiny_model, input_hw)(noise)[0].numpy()
        tiny_model.head.decode_in_inference = True
        (expected,) = yolox_postprocess(
            tiny_model(noise).clone(), 3, conf_thre=0.0005, nms_thre=0.65
        )
    boxes_xyxy, scores, classes = postprocess(output, input_hw, frame_hw, 0.0005, 0.65)
    scale = min(input_hw[0] / frame_hw[0], input_hw[1] / frame_hw[1])
    best = np.argsort(-(expected[:, 4] * expected[:, 5]).numpy(), kind="stable")
    expected = expected.numpy()[best]
    limits = np.array([frame_hw[1], frame_hw[0]] * 2)
    assert len(scores) > 10
    np.testing.assert_allclose(scores, expected[:, 4] * expected[:, 5], rtol=1e-5)
    np.testing.assert_allclose(boxes_xyxy, (expected[:, :4] / scale).clip(0, limits), atol=1e-3)
    np.testing.assert_array_equal(classes, expected[:, 6])


def test_a_class_may_have_a_confidence_of_its_own(tiny_model, noise):
    with torch.inference_mode():
        output = WithDecoder(tiny_model, (64, 96))(noise)[0].numpy()
    whole = postprocess(output, (64, 96), (64, 96), 0.0, 0.65)
    _, scores, classes = whole
    own = np.array([np.median(scores[classes == index]) for index in range(3)], np.float32)
    enough = scores >= own[classes]  # NMS is within each class, and starts with the best
    assert all(0 < enough[classes == index].sum() < (classes == index).sum() for index in range(3))
    for found, every in zip(postprocess(output, (64, 96), (64, 96), own, 0.65), whole, strict=True):
        np.testing.assert_array_equal(found, every[enough])


def test_one_convolution_computes_what_focus_computes(tiny_model, noise):
    with torch.inference_mode():
        expected, found = tiny_model(noise), fuse_focus(tiny_model)(noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert type(tiny_model.backbone.backbone.stem).__name__ == "Focus"  # the original is as it was


@pytest.mark.parametrize("seed", range(3))
def test_nms_is_that_of_torchvision(seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 300, (500, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 80, (500, 2))], 1).astype(np.float32)
    scores, classes = rng.random(500).astype(np.float32), rng.integers(0, 3, 500)
    expected = torchvision.ops.batched_nms(
        torch.tensor(boxes), torch.tensor(scores), torch.tensor(classes), 0.45
    )
    assert nms(boxes, scores, classes, 0.45).tolist() == expected.tolist()
