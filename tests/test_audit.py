"""The audit page: measures, suspicious boxes, and the content of the page."""

import base64
import re

import cv2
import numpy as np
import pytest

from stages.audit.measures import class_rows, count_splits, measure, spread
from stages.audit.summary import summarize
from stages.audit.suspicious_boxes import find_suspicious_boxes, select_suspicious
from stages.audit.thumbnails import FRAME_PX, Thumbnails, crop_region
from stages.common.files import write_json
from tools.params_file import write_params

WIDE = "{:.1f} times as wide as the median of plate"
SHAPE = "unusual shape: width to height {:.2f}, median of plate 4.00"
PLACE = "center at {}% of the height, median 52%"
PAIR = "1 pair of images looks the same; "
HOSTILE = "<script>alert('x')</script>"
USUAL = [400, 300, 100, 25]


def dataset(boxes, frame_wh=(1000, 600), labels=("plate",), images=1) -> dict:
    """A COCO of frames of one size; `boxes` are (image id, class index, bbox)."""
    return {
        "info": {},
        "categories": [{"id": i, "name": name} for i, name in enumerate(labels, 1)],
        "images": [
            {"id": i, "file_name": f"default/f{i}.png", "width": frame_wh[0],
             "height": frame_wh[1], "sha256": f"{i:064x}", "dhash": f"{i:064x}",
             "subset": "default", "group": f"drive{i % 2}"}
            for i in range(1, images + 1)
        ],
        "annotations": [
            {"id": 100 + i, "image_id": image, "category_id": index + 1, "bbox": bbox,
             "area": bbox[2] * bbox[3], "iscrowd": 0}
            for i, (image, index, bbox) in enumerate(boxes)
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("case", "frame_wh", "input_hw", "bbox", "size_wh", "small"),
    [
        ("width decides", (1000, 500), (320, 320), [0, 0, 50, 25], (16, 8), False),
        ("height decides", (500, 1000), (320, 640), [0, 0, 50, 24], (16, 7.68), True),
        ("enlarged", (100, 100), (320, 640), [0, 0, 2.5, 10], (8, 32), False),
        ("narrow", (100, 100), (320, 640), [0, 0, 2.4, 10], (7.68, 32), True),
    ],
)
def test_size_at_the_input(case, frame_wh, input_hw, bbox, size_wh, small):
    boxes = measure(dataset([(1, 0, bbox)], frame_wh), input_hw)
    assert boxes.input_wh[0] == pytest.approx(size_wh)
    assert boxes.too_small().tolist() == [small]


def test_counts_of_classes_and_splits():
    coco = dataset([(1, 0, USUAL), (1, 0, USUAL), (2, 0, USUAL), (3, 1, USUAL)],
                   labels=("a", "b", "c"), images=4)  # fmt: skip
    splits = ["train", "val", "train", "left out"]
    assert count_splits(splits) == {"train": 2, "val": 1, "left out": 1}
    assert [
        tuple(row.values()) for row in class_rows(measure(coco, (320, 544)), "abc", splits)
    ] == [
        ("a", 3, 2, {"train": 2, "val": 1, "left out": 0}),
        ("b", 1, 1, {"train": 1, "val": 0, "left out": 0}),
        ("c", 0, 0, {"train": 0, "val": 0, "left out": 0}),
    ]


@pytest.mark.parametrize(
    ("case", "bbox", "reasons"),
    [
        ("usual", [410, 310, 104, 26], []),
        ("tiny", [400, 305, 70, 15], ["tiny: a side of 7.5 px at the input"]),
        ("huge", [50, 12, 900, 576], ["huge: 86%", WIDE.format(9), SHAPE.format(1.56)]),
        ("high", [400, 17.5, 100, 25], ["higher than usual: " + PLACE.format(5)]),
        ("low", [400, 557.5, 100, 25], ["lower than usual: " + PLACE.format(95)]),
        ("narrow", [400, 305, 60, 17], ["1.7 times as narrow as the median of plate"]),
        ("upright", [400, 268, 80, 80], [SHAPE.format(1)]),
        ("sliver at the left", [0, 300, 5, 50],
         ["tiny", "20.0 times as narrow", SHAPE.format(0.1), "sliver at the border: 5 x 50 px"]),
        ("sliver at the bottom", [400, 591, 90, 9],
         ["tiny", "lower", SHAPE.format(10), "sliver at the border: 90 x 9 px"]),
        ("long, not at the border", [100, 300, 200, 20], [WIDE.format(2), SHAPE.format(10)]),
        ("at the border, whole", [0, 305, 80, 18], []),
    ],
)  # fmt: skip
def test_reasons_to_check_a_box(case, bbox, reasons):
    # The input is half the frame; the median box is USUAL.
    boxes = measure(dataset([(1, 0, USUAL)] * 30 + [(1, 0, bbox)]), (300, 500))
    found = [one for one in find_suspicious_boxes(boxes, ["plate"]) if one.row == 30]
    assert len(found) == len(reasons)
    for reason in reasons:
        assert any(one.reason.startswith(reason) for one in found), (reason, found)
    assert all(one.times > 1 for one in found)


def test_a_rare_class_has_no_usual_box_and_a_normal_one_few_odd_ones():
    rare = measure(dataset([(1, 0, USUAL)] * 18 + [(1, 0, [400, 20, 300, 30])]), (300, 500))
    assert find_suspicious_boxes(rare, ["plate"]) == []
    rng = np.random.default_rng(0)
    normal = [(1, 0, [400, 300 + 30 * a, 100 * np.exp(0.3 * b), 25 * np.exp(0.1 * c)])
              for a, b, c in rng.normal(size=(5000, 3))]  # fmt: skip
    assert len(find_suspicious_boxes(measure(dataset(normal), (600, 1000)), ["plate"])) <= 5


def test_the_oddest_come_first_and_every_kind_is_shown():
    tiny = [(1, 0, [400, 300, 5, 5 - i / 100]) for i in range(10)]
    boxes = measure(dataset([*tiny, (1, 0, [0, 0, 900, 590])]), (300, 500))
    shown = select_suspicious(find_suspicious_boxes(boxes, ["plate"]), 4)
    assert list(shown) == [9, 8, 7, 10]
    assert [own[0].kind for own in shown.values()] == ["tiny", "tiny", "tiny", "huge"]
    times = [own[0].times for own in shown.values()]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("case", "groups", "count", "chosen"),
    [
        ("one group", "aaaaaaaa", 2, [2, 6]),
        ("two groups share", "aaaaaaab", 3, [1, 5, 7]),
        ("more groups than pictures", "abcd", 2, [1, 3]),
        ("fewer images than asked for", "ab", 5, [0, 1]),
        ("none asked for", "ab", 0, []),
        ("none there", "", 3, []),
    ],
)
def test_the_choice_is_spread(case, groups, count, chosen):
    assert spread(range(len(groups)), groups, count) == chosen


def test_sampled_frames_have_boxes_and_come_in_the_order_of_their_groups():
    coco = dataset([(image, 0, USUAL) for image in (2, 3, 3, 4)], images=5)
    sampled = Thumbnails(coco, measure(coco, (300, 500)), None).sample_frames(9)
    assert [coco["images"][row]["id"] for row in sampled] == [2, 4, 3]


@pytest.mark.parametrize(
    ("case", "bbox", "region"),
    [
        ("inside", [450, 290, 100, 20], (400, 200, 600, 400)),
        ("tiny", [500, 300, 2, 2], (477, 277, 525, 325)),
        ("in a corner", [0, 0, 100, 20], (0, 0, 200, 200)),
        ("as large as the frame", [0, 0, 1000, 600], (0, 0, 1000, 600)),
    ],
)
def test_a_crop_stays_inside_the_frame(case, bbox, region):
    boxes = measure(dataset([(1, 0, bbox)]), (300, 500))
    assert crop_region(boxes.xywh[0], boxes.frame_wh[0]) == region


def test_boxes_are_drawn_where_they_are(tmp_path):
    coco = dataset([(1, 0, [400, 200, 200, 100])], labels=("",))
    (tmp_path / "default").mkdir()
    cv2.imwrite(str(tmp_path / "default/f1.png"), np.zeros((600, 1000, 3), np.uint8))
    thumbnails = Thumbnails(coco, measure(coco, (300, 500)), tmp_path)
    thumbnails.colors = ["#ff0000"]
    for shown, (x0, y0, x1, y1) in (
        (thumbnails.frame(0, "train"), np.array([400, 200, 600, 300]) * FRAME_PX / 1000),
        (thumbnails.crop(0), (60, 90, 180, 150)),
    ):
        jpeg = np.frombuffer(base64.b64decode(shown["image"].split(",")[1]), np.uint8)
        drawn = np.argwhere(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., 2] > 100)
        assert np.abs([*drawn.min(0), *drawn.max(0)] - np.array([y0, x0, y1, x1])).max() <= 2


@pytest.mark.parametrize(
    ("case", "change", "said"),
    [
        ("all well", {}, ["Nothing stands out."]),
        ("not in train", {"on": (0, 1)}, ["No box in train of plate: not learned."]),
        ("not in val", {"on": (1, 0)}, ["No box in val of plate: not measured."]),
        ("pair in two splits", {"pair": ["train", "val"]}, [PAIR + "in two splits at least 1: "]),
        ("pair in one split", {"pair": ["val", "val"]}, [PAIR + "none of the closest 1 is in two"]),
        ("pair left out", {"pair": ["train", "left out"]}, [PAIR + "none of the closest 1"]),
        ("small", {"bbox": [400, 300, 60, 15]},
         ["1 of 1 boxes (100.0%) have a side under 8 px", "Boxes to check by eye: 1 (tiny 1);"]),
        ("no label", {"images": 3}, ["2 of 3 images have no box"]),
        ("left out", {"split": "left out"}, ["1 of 1 images are left out of all splits"]),
    ],
)  # fmt: skip
def test_summary(case, change, said):
    images = change.get("images", 1)
    boxes = measure(dataset([(1, 0, change.get("bbox", USUAL))], images=images), (300, 500))
    in_split = dict(zip(("train", "val"), change.get("on", (1, 1)), strict=True))
    table = [{"label": "plate", "splits": in_split}]
    pairs = [{"splits": change["pair"]}] if "pair" in change else []
    split_report = {"near_duplicate_pairs": len(pairs), "near_duplicates": pairs}
    found = find_suspicious_boxes(boxes, ["plate"])
    sentences = summarize(
        boxes, table, [change.get("split", "train")] * images, split_report, found
    )
    assert [one[: len(start)] for one, start in zip(sentences, said, strict=True)] == said


@pytest.fixture
def folder(tmp_path):
    """Write the outputs of `ingest` and `split`, with untrusted names, and a parameter file."""
    bboxes = [[40, 30, 40, 20], [0, 0, 160, 90], [100, 50, 3, 3]]
    boxes = [(i, i % 2, bboxes[i % 3]) for i in range(1, 7)]
    coco = dataset(boxes, (160, 90), (HOSTILE, "$\\frac ü"), images=8)
    for image in coco["images"]:
        path = tmp_path / "dataset/images" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((90, 160, 3), 20 * image["id"], np.uint8))
    write_json(tmp_path / "dataset/annotations.json", coco)
    repairs = [{"file": "<i>.json", "what": f"clipped {i}", "image": i} for i in range(120)]
    write_json(tmp_path / "dataset/report.json", {"repairs": repairs, "warnings": []})
    for name, images in {"train": coco["images"][:4], "val": coco["images"][4:]}.items():
        write_json(tmp_path / f"split/{name}.json", {**coco, "images": images})
    pair = {"images": ["default/f1.png", "default/f6.png"], "bits": 12, "splits": ["train", "val"]}
    split_report = {"near_duplicates": [pair], "near_duplicate_pairs": 1}
    write_json(tmp_path / "split/report.json", split_report)
    write_params(tmp_path, {"model.input_hw": [96, 160], "audit.pictures": 3})
    return tmp_path


def test_the_page(run_stage, folder):
    before = set(folder.rglob("*"))
    done = run_stage("audit", "dataset", "split", "out/audit.html", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "8 images, 6 boxes: 2 under 8 px at the input, 4 to check",
        "Look at it: out/audit.html",
    ]
    # The folder is HOME too, where matplotlib keeps its list of fonts.
    fonts = {path for home in (".cache", ".config") for path in folder.glob(f"{home}/**/*")}
    fonts |= {folder / ".cache", folder / ".config"}
    assert set(folder.rglob("*")) - before - fonts == {folder / "out", folder / "out/audit.html"}
    page = (folder / "out/audit.html").read_text()
    assert re.findall(r"<h2>(.*)</h2>", page) == [
        "Classes", "Sizes and places of the boxes", "Labelled frames",
        "Near duplicates", "Smallest and largest boxes", "Boxes to check",
        "What ingest warned of and repaired",
    ]  # fmt: skip
    for text in ("12 of 256 bits differ; in two splits", "And 20 more in", "96x160", "$\\frac ü"):
        assert text in page, text
    # Frames, a pair, all boxes among the smallest and the largest, and the suspicious ones.
    assert page.count('src="data:image/jpeg;base64,') == 3 + 2 + 6 + 6 + 4
    assert page.count("<svg") == 2
    assert "<script" not in page and "<i>.json" not in page and "&lt;script&gt;" in page
    loaded = re.findall(r'(?:src|href|url|@import|<link)\W+[^"\s>)]*', page)
    assert all(re.match(r'(src="data:|(xlink:)?href="(data:|#)|url\(#)', one) for one in loaded)

    first = (folder / "out/audit.html").read_bytes()
    assert run_stage("audit", "dataset", "split", "out/audit.html", cwd=folder).returncode == 0
    assert (folder / "out/audit.html").read_bytes() == first


def test_a_split_of_another_data_set_is_refused(run_stage, folder):
    pair = {"images": ["default/f1.png", "gone.png"], "bits": 1, "splits": ["train", "train"]}
    split_report = {"near_duplicates": [pair], "near_duplicate_pairs": 1}
    write_json(folder / "split/report.json", split_report)
    done = run_stage("audit", "dataset", "split", "audit.html", cwd=folder)
    assert done.returncode == 1 and not (folder / "audit.html").exists()
    assert done.stderr.startswith("audit: split/report.json names 'gone.png'")
    assert len(done.stderr.splitlines()) == 1
