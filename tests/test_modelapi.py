"""OpenVINO ModelAPI runs the models as they are, by the metadata that they carry."""

import cv2
import numpy as np
import openvino as ov
import pytest

from detector import Detector
from detector.core.frame_detector import FrameDetector
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.common.coco import read_coco
from stages.quantize import __main__ as quantize

pytest.importorskip("model_api", reason="openvino-model-api needs Python 3.11")
from model_api.adapters import OpenvinoAdapter, create_core
from model_api.models import Model

# In bfloat16 ModelAPI computes even the size of the resized image in bfloat16.
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(scope="module")
def int8(trained):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trained)
        lists = [trained / f"split/{name}.json" for name in ("calibration", "val")]
        quantize.main(trained / "ir", *lists, trained / "dataset", trained / "int8")
    return trained / "int8"


CONFIDENCE = 0.6  # of the fixture `trained`


def test_the_confidence_of_the_operating_point_travels_to_every_model(trained, int8):
    for path in (trained / "yolox.onnx", trained / "ir", int8):
        with Detector(path) as own, Detector(path, 0.7) as given:
            assert (own.confidence, given.confidence) == (CONFIDENCE, 0.7)
    assert "At its confidence of 0.6 the model finds 92 %" in (int8 / "README.md").read_text()


# Its resize differs by a grey level here and there, which INT8 can turn into two or three pixels:
# frames of the model's own size compare the rest.
@pytest.mark.parametrize(
    ("variant", "frame_hw"), [("ir", (540, 960)), ("ir", (256, 448)), ("int8", (256, 448))]
)
def test_modelapi_finds_the_boxes_that_we_find(trained, int8, variant, frame_hw):
    path = trained / variant
    core, file = create_core(), str(path / "yolox.xml")
    model = Model.create_model(OpenvinoAdapter(core, file, device="CPU", plugin_config=F32))
    detector, found = FrameDetector(OpenVinoBackend(path, "f32")), 0
    for image in read_coco(trained / "split/val.json")["images"]:
        image_bgr = cv2.imread(str(trained / "dataset/images" / image["file_name"]))
        image_bgr = cv2.resize(image_bgr, frame_hw[::-1])
        ours, result = detector(image_bgr), model(image_bgr)
        sure = ours.confidence > CONFIDENCE + 0.05
        theirs = np.array(result.bboxes, float).reshape(-1, 4)
        assert set(result.label_names) <= {"LP"}
        assert min(result.scores, default=1.0) >= CONFIDENCE
        for box in ours.xyxy[sure]:
            assert np.abs(theirs - box).max(axis=1).min() <= 1.0
        assert (np.array(result.scores) > CONFIDENCE + 0.05).sum() == sure.sum()
        found += sure.sum()
    assert found > 5


def test_keys_of_dl_streamer_are_there(int8):
    model = ov.Core().read_model(int8 / "yolox.xml")
    expected = {"resize_type": "fit_to_window", "pad_value": "114", "labels": "LP",
                "confidence_threshold": "0.6",
                "reverse_input_channels": "False"}  # fmt: skip
    for key, value in expected.items():
        assert model.get_rt_info(["model_info", key]).astype(str) == value
