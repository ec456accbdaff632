"""The tables of tools/evidence.py, from detections that were made up."""

import numpy as np

from stages.common.coco import subset
from stages.common.files import write_json
from tools.evidence import BASE, CHANGES, FOLDS, Run, planned, print_tables

SIDE = 20.0


def data_set(images: int) -> dict:
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [5.0, 5.0, SIDE, SIDE],
         "area": SIDE**2, "iscrowd": 0}
        for n in range(1, images + 1)
    ]  # fmt: skip
    listed = [
        {"id": n, "file_name": f"{n}.jpg", "width": 90, "height": 90, "sha256": str(n),
         "cluster": n}
        for n in range(1, images + 1)
    ]  # fmt: skip
    categories = [{"id": 1, "name": "LP"}]
    return {"info": {}, "images": listed, "annotations": boxes, "categories": categories}


def write_runs(folder, runs: list[Run], shifts: dict[str, tuple[float, float]]) -> None:
    """Detections of every run whose boxes are off by about as much as its change says."""
    for run in runs:
        rng = np.random.default_rng([run.seed, run.fold])
        for name, shift in zip(("ir", "int8"), shifts[run.change], strict=True):
            off = shift + rng.normal(0, 0.3, 30)
            rows = [
                {"image_id": n, "category_id": 1, "bbox": [5.0 + off[n - 1], 5.0, SIDE, SIDE],
                 "score": 0.9 - n / 100}
                for n in range(1, 31)
            ]  # fmt: skip
            write_json(run.folder / f"{name}.json", rows)


def test_the_tables(tmp_path, capsys):
    coco = data_set(30)
    draw = tmp_path / "draw 0"
    write_json(draw / "others.json", subset(coco, coco["images"][20:]))
    for fold in range(FOLDS):
        val = subset(coco, coco["images"][4 * fold : 4 * fold + 4])
        write_json(draw / f"lists/{fold}/val.json", val)
    runs = planned([draw], pairs=1, seeds=2)
    assert len({run.folder for run in runs}) == len(runs) == FOLDS * (2 + len(CHANGES))
    # IoU (20 - s) / (20 + s): a shift of 1 is an AP of 0.9, one of 5 an AP of 0.3.
    shifts = dict.fromkeys([BASE, *CHANGES], (1.0, 1.0)) | {"half the input": (5.0, 5.0)}
    write_runs(tmp_path, runs, shifts)
    print_tables([draw], pairs=1, seeds=2)
    single, of_pairs = capsys.readouterr().out.split("| change |")
    assert "1 draws" in single and "10 frames as a pool" in single
    found = {line.split(" | ")[0].removeprefix("| "): line for line in of_pairs.splitlines()}
    assert "| -61.3 (-61.3 to -61.3) | 1, drop 0, of 1;" in found["half the input"]
    for change in ("none but the seed", "preset performance", "half the learning rate"):
        assert found[change].count("0, drop 0, of 1;") == 2
