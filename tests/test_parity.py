"""The bundled weights on fresh scenes: the float variants find the same, and something."""

import numpy as np
import pytest
from conftest import ROOT

from stages import evaluate
from stages.common.coco import read_coco
from stages.common.params import Evaluate
from stages.common.parity import differences
from stages.common.score import accuracy, score


@pytest.fixture(scope="module")
def figures(trained) -> dict[str, dict]:
    """Accuracy at float32 by variant."""
    coco = read_coco(trained / "split/val.json")
    models = (ROOT / "models/pretrained.pth", trained / "yolox.onnx", trained / "ir")
    backends = {path.name: evaluate.open_backend(path, "f32") for path in models}
    return {
        name: accuracy(
            coco,
            score(
                coco,
                evaluate.detections_of(backend, coco, trained / "dataset/images", Evaluate()),
            ),
        )
        for name, backend in backends.items()
    }


def test_the_bundled_weights_find_plates_that_they_have_not_seen(figures):
    assert figures["pretrained.pth"]["AP50"] > 0.6


@pytest.mark.parametrize("variant", ["yolox.onnx", "ir"])
@pytest.mark.parametrize("figure", ["AP", "AP50"])
def test_float_variants_are_as_accurate_as_pytorch(figures, variant, figure):
    assert figures[variant][figure] == pytest.approx(figures["pretrained.pth"][figure], abs=0.001)


@pytest.mark.parametrize(
    ("found", "box", "score"),
    [
        ([[10, 10, 20, 40, 0.5], [50, 50, 0, 0.4, 0]], 0, 0),
        ([[12, 10, 20, 40, 0.5], [50, 50, 0, 0.4, 0]], 2 / 40, 0),
        ([[10, 10, 20, 37, 0.5], [50, 50, 0, 0.4, 0]], 3 / 40, 0),
        ([[10, 10, 20, 40, 0.5], [50.08, 50, 0, 0.4, 0]], 0.08 / 8, 0),  # less than a cell
        ([[10, 10, 20, 40, 0.5], [54, 50, 0, 0.4, 0.25]], 0.5, 0.25),
    ],
)
def test_how_far_two_outputs_differ(found, box, score):
    expected = np.float32([[10, 10, 20, 40, 0.5], [50, 50, 0, 0.4, 0]]).T
    assert differences(expected, np.float32(found).T) == pytest.approx((box, score), abs=1e-6)
