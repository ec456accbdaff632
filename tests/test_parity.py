"""The bundled weights on fresh scenes: the float variants find the same, and something."""

import pytest
from conftest import ROOT

from stages import evaluate, export, ingest, ir, synthesize
from stages.common.coco import read_coco
from stages.common.params import Evaluate
from stages.common.score import accuracy


@pytest.fixture(scope="module")
def figures(tmp_path_factory) -> dict[str, dict]:
    """Accuracy at float32 by variant, on ten scenes that no other seed draws."""
    folder = tmp_path_factory.mktemp("parity")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "params.yaml").write_text(
            "data: {export: scenes.zip}\nsynthesize: {images: 10, seed: 77}"
        )
        synthesize.main(folder / "scenes.zip")
        ingest.main(None, folder / "dataset")
    annotations, weights = folder / "dataset/annotations.json", ROOT / "models/pretrained.pth"
    export.main(weights, annotations, folder / "dataset", folder / "yolox.onnx")
    ir.main(folder / "yolox.onnx", folder / "ir")
    coco = read_coco(annotations)
    return {
        path.name: accuracy(
            coco,
            evaluate.judge(
                evaluate.open_backend(path, "f32"), coco, folder / "dataset/images", Evaluate()
            ),
        )
        for path in (weights, folder / "yolox.onnx", folder / "ir")
    }


def test_the_bundled_weights_find_plates_that_they_have_not_seen(figures):
    assert figures["pretrained.pth"]["AP50"] > 0.6


@pytest.mark.parametrize("variant", ["yolox.onnx", "ir"])
@pytest.mark.parametrize("figure", ["AP", "AP50"])
def test_float_variants_are_as_accurate_as_pytorch(figures, variant, figure):
    assert figures[variant][figure] == pytest.approx(figures["pretrained.pth"][figure], abs=0.001)
