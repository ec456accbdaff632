"""The table, its sentences and the page."""

import copy

import pytest

from stages.common.host import describe_cpu, usable_cores
from stages.reporting.pictures import precision_recall_svg
from stages.reporting.table import HEADINGS, NAMES, markdown, rows, verdict

ACCURACY = {
    key: {"AP": ap, "AP50": 0.9, "AP_interval": [ap - 0.126, ap + 0.114], "images": 60,
          "boxes": 80, "as_deployed": {"AP": ap - 0.01}}
    for key, ap in (("torch", 0.5), ("onnx", 0.5), ("ir", 0.499), ("int8", 0.48))
}  # fmt: skip
SPEED = {
    key: {"precision": "f32", "latency_ms_p50": 10.0, "throughput_fps": fps,
          "speedup_vs_torch": fps / 10}
    for key, fps in (("torch", 10.0), ("onnx", 20.0), ("ir", 30.0), ("int8", 60.0))
}  # fmt: skip
SIZES_MB = {"torch": 3.8, "onnx": 3.6, "ir": 2.2, "int8": 1.72}
HOST = {"cpu": "A|B", "cores": 2, "isa": ["avx2"], "versions": {"torch": "2"}}


def test_rows():
    table = rows(ACCURACY, SPEED, SIZES_MB)
    assert [row.variant for row in table] == list(NAMES.values())
    assert [row.drop for row in table] == ["", "+0.0", "+0.1", "+2.0"]
    assert (table[3].ap, table[3].ap_deployed) == ("0.480", "0.470")
    assert (table[3].size_mb, table[3].fps, table[3].speedup) == ("1.7", "60", "6x")


@pytest.mark.parametrize(
    ("int8_fps", "images", "said"),
    [
        (60.0, 60, ["Fastest on this machine: OpenVINO INT8 with 60 FPS", None]),
        (25.0, 60, ["Fastest on this machine: OpenVINO FP16", "INT8 is not worth it here: 25 FPS"]),
        (60.0, 49, ["Fastest", "Accuracy comes from 49 val images with 80 boxes. 95 % interval of "
                               "PyTorch's AP: 0.37 to 0.61."]),
        (60.0, 50, ["Fastest", None]),
    ],
)  # fmt: skip
def test_verdict(int8_fps, images, said):
    speed, accuracy = copy.deepcopy(SPEED), copy.deepcopy(ACCURACY)
    speed["int8"]["throughput_fps"] = int8_fps
    accuracy["torch"]["images"] = images
    sentences = verdict(accuracy, speed)
    assert sentences[0].startswith(said[0])
    assert (len(sentences) == 1) if said[1] is None else sentences[1].startswith(said[1])


def test_markdown_is_one_table():
    text = markdown(rows(ACCURACY, SPEED, SIZES_MB), verdict(ACCURACY, SPEED), HOST)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(NAMES)
    assert {line.count("|") for line in table} == {len(HEADINGS) + 1}


def test_the_same_curves_give_the_same_bytes(tmp_path):
    for key in NAMES:
        (tmp_path / f"{key}.csv").write_text("recall,precision\n0.0,1.0\n1.0,0.5\n")
    assert precision_recall_svg(tmp_path) == precision_recall_svg(tmp_path)


def test_the_machine_describes_itself_the_same_way_twice():
    assert describe_cpu() == describe_cpu()
    assert 1 <= usable_cores() == describe_cpu()["cores"]
