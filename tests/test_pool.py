"""The pool of frames without labels, and how often a variant answers otherwise on it."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import cv2
import numpy as np
import pytest
from scipy import stats

from stages.common.coco import read_image
from stages.common.files import read_json, write_json
from stages.common.groups import dhash, different_bits, hashes_of
from stages.evaluation.fidelity import fidelity, packed_bits, unpacked_bits
from stages.pool import as_gray
from tools.params_file import write_params
from tools.review.accuracy import fidelity_change

CATEGORIES = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]


def picture(seed: int) -> np.ndarray:
    """Cells of random gray, which no other seed resembles."""
    cells = np.random.default_rng(seed).integers(0, 256, (16, 17), np.uint8)
    gray = cv2.resize(cells, (170, 160), interpolation=cv2.INTER_NEAREST)
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)


def entry(image_bgr: np.ndarray, name: str, group: str) -> dict:
    found = {"file_name": name, "dhash": dhash(as_gray(image_bgr)), "sha256": name, "group": group}
    return {"id": 1, "width": 170, "height": 160, "subset": "default", **found}


@pytest.fixture
def run_pool(run_stage, tmp_path):
    """Run the stage beside one labelled image, picture(0) as frame 30 of val."""
    labelled = [entry(picture(0), "default/frame_000030.jpg", "default/frame_#")]
    coco = {"info": {}, "images": labelled, "annotations": [], "categories": CATEGORIES}
    write_json(tmp_path / "annotations.json", coco)
    write_json(tmp_path / "split/val.json", coco)

    def run(pool: str, **changes):
        write_params(tmp_path, {"data.pool": pool, **changes})
        return run_stage("pool", "annotations.json", "split", "pool", cwd=tmp_path)

    return run


def names(folder: Path) -> list[str]:
    """The frames that the stage wrote, by its list, which agrees with the files."""
    listed = [image["file_name"] for image in read_json(folder / "pool/annotations.json")["images"]]
    images = folder / "pool/images"
    found = {path.relative_to(images).as_posix() for path in images.rglob("*") if path.is_file()}
    assert found == set(listed)
    return listed


def write_frames(folder: Path, seeds: dict[str, int]) -> None:
    for name, seed in seeds.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), picture(seed))


@pytest.mark.parametrize("packed", [False, True])
def test_frames_that_repeat_nothing_are_taken(run_pool, tmp_path, packed):
    write_frames(tmp_path / "given", {"2.jpg": 2, "10.png": 3, "a/2.jpg": 2, "a/labelled.jpg": 0})
    (tmp_path / "given/broken.jpg").write_bytes(b"no image")
    if not packed:  # such a name in a zip is refused
        (tmp_path / "given/7\x1b[2J.png").write_bytes(b"no image")
    (tmp_path / "given/notes.txt").write_text("no image either")
    if packed:
        with ZipFile(tmp_path / "given.zip", "w", ZIP_DEFLATED) as archive:
            for path in (tmp_path / "given").rglob("*.*"):
                archive.write(path, path.relative_to(tmp_path / "given"))
    done = run_pool("given.zip" if packed else "given")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["2.jpg", "10.png.jpg"]
    assert "2 frames; 2 nearly repeat others" in done.stdout
    assert "broken.jpg cannot be decoded" in done.stderr and "\x1b" not in done.stderr
    image = read_json(tmp_path / "pool/annotations.json")["images"][0]
    assert (image["id"], image["width"], image["height"]) == (1, 170, 160)
    written = read_image(tmp_path / "pool/images/2.jpg")
    assert np.abs(written.astype(int) - picture(2)).mean() < 3


def test_frames_of_a_video_are_named_as_cvat_names_them(run_pool, tmp_path):
    write_frames(tmp_path, {f"{number}.png": number // 2 + 1 for number in range(8)})
    writer = cv2.VideoWriter(
        str(tmp_path / "drive.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (170, 160)
    )
    for number in range(8):
        writer.write(read_image(tmp_path / f"{number}.png"))
    writer.release()
    done = run_pool("drive.avi")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == [f"drive.avi/frame_{number:06d}.jpg" for number in (0, 2, 4, 6)]
    assert "4 nearly repeat others" in done.stdout


@pytest.mark.parametrize(
    ("group_by", "left"),
    [
        ("none", [29, 31, 59, 60]),
        ("time", [29, 60]),  # blocks of 30 frame numbers: 30 to 59 are judged
        (r"frame_0000(\d)", [29, 59, 60]),  # 30 and 31 are of the group 3
    ],
)
def test_frames_of_a_group_of_val_are_left_out(run_pool, tmp_path, group_by, left):
    write_frames(tmp_path / "given", {f"frame_{n:06d}.jpg": n for n in (29, 31, 59, 60)})
    done = run_pool("given", **{"split.group_by": group_by})
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == [f"frame_{number:06d}.jpg" for number in left]


@pytest.mark.parametrize("limit", [1, 3, 7, 20])
def test_a_limit_keeps_frames_that_are_evenly_spread(run_pool, tmp_path, limit):
    write_frames(tmp_path / "given", {f"{number:02d}.jpg": number for number in range(1, 18)})
    done = run_pool("given", **{"pool.frames": limit})
    assert done.returncode == 0, done.stderr
    numbers = [int(Path(name).stem) for name in names(tmp_path)]
    assert len(numbers) == min(limit, 17) and numbers[0] == 1
    assert not len(numbers) > 1 or np.diff(numbers).max() <= 2 * -(-17 // limit)


def test_the_drawn_pool_belongs_to_the_drawn_export(run_pool, tmp_path):
    done = run_pool("data/synthetic_pool.zip", **{"data.export": "mine.zip"})
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "pool/annotations.json")["images"] == []
    assert "data/synthetic_pool.zip" in done.stderr and "data.pool" in done.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("missing.mp4", "missing.mp4 does not exist"),
        ("empty", "holds no images and no videos"),
        ("no.zip", "neither a folder nor a whole zip"),
        ("unsafe.zip", "'..'"),
        ("text.mp4", "text.mp4"),
    ],
)
def test_what_cannot_be_a_pool_is_refused_in_one_line(run_pool, tmp_path, given, told):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.zip").write_bytes(b"PK")
    (tmp_path / "text.mp4").write_text("no video")
    with ZipFile(tmp_path / "unsafe.zip", "w") as archive:
        archive.writestr("../out.jpg", b"")
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/kept").touch()
    before = sorted(tmp_path.parent.iterdir())
    done = run_pool(given)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and told in done.stderr
    assert (tmp_path / "pool/kept").exists()
    assert sorted(tmp_path.parent.iterdir()) == before


def rows(*boxes: tuple) -> list[dict]:
    """Detections: image, class, left edge, score; all 10 px wide and high."""
    return [
        {"image_id": image, "category_id": label, "bbox": [left, 0, 10, 10], "score": score}
        for image, label, left, score in sorted(boxes, key=lambda box: (box[0], -box[3]))
    ]


def frames(count: int) -> dict:
    listed = [{"id": n, "width": 99, "height": 99, "sha256": str(n)} for n in range(1, count + 1)]
    return {"info": {}, "images": listed, "annotations": [], "categories": CATEGORIES}


@pytest.mark.parametrize(
    ("what", "ours", "theirs", "changed"),
    [
        ("nothing in both", [], [], False),
        ("the same", [(1, 1, 0, 0.9)], [(1, 1, 0, 0.9)], False),
        ("another score", [(1, 1, 0, 0.9)], [(1, 1, 0, 0.51)], False),
        ("moved a little, IoU 0.67", [(1, 1, 0, 0.9)], [(1, 1, 2, 0.9)], False),
        ("moved, IoU 0.43", [(1, 1, 0, 0.9)], [(1, 1, 4, 0.9)], True),
        ("another class", [(1, 1, 0, 0.9)], [(1, 2, 0, 0.9)], True),
        ("not reported any more", [(1, 1, 0, 0.51)], [(1, 1, 0, 0.49)], True),
        ("one more", [(1, 1, 0, 0.9)], [(1, 1, 0, 0.9), (1, 1, 50, 0.6)], True),
        ("below its confidence", [(1, 2, 0, 0.9)], [(1, 2, 0, 0.9), (1, 2, 50, 0.6)], False),
        ("two become one", [(1, 1, 0, 0.9), (1, 1, 3, 0.9)], [(1, 1, 0, 0.9)], True),
    ],
)  # fmt: skip
def test_an_answer_changes_with_the_boxes_that_are_reported(what, ours, theirs, changed):
    found = fidelity(frames(2), rows(*ours), rows(*theirs), [0.5, 0.7])
    assert found["changed_per_1000"] == (500 if changed else 0), what
    assert unpacked_bits(found["changed"], 2).tolist() == [changed, False]


def test_the_share_of_changed_answers_and_its_interval():
    ours = rows(*((image, 1, 0, 0.9) for image in range(1, 21)))
    theirs = rows(*((image, 1, 0 if image > 3 else 50, 0.9) for image in range(1, 21)))
    found = fidelity(frames(20), ours, theirs, [0.5, 0.5])
    assert (found["frames"], found["changed_per_1000"]) == (20, 150)
    # Wilson (1927): (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    p, n, z = 0.15, 20, stats.norm.ppf(0.975)
    half = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    ends = [(p + z**2 / (2 * n) + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert found["interval"] == pytest.approx([1000 * end for end in ends], abs=0.06)
    # 17 of 20 boxes are found, the first at rank 1; three of 20 detections are wrong.
    assert found["AP"] == pytest.approx(0.85, abs=0.16)
    assert found["AP_interval"][0] < found["AP"] < found["AP_interval"][1]


def test_the_same_detections_have_an_ap_of_one_and_none_have_no_ap():
    ours = rows((1, 1, 0, 0.9), (2, 2, 5, 0.8))
    assert fidelity(frames(3), ours, ours, [0.5, 0.5])["AP"] == 1
    assert fidelity(frames(3), [], ours, [0.5, 0.5])["AP"] is None


@pytest.mark.parametrize("count", [1, 8, 13])
def test_bits_survive_packing(count):
    values = np.random.default_rng(count).random(count) < 0.5
    assert (unpacked_bits(packed_bits(values), count) == values).all()


@pytest.mark.parametrize(
    ("same_frames", "before", "after", "verdict"),
    [
        (True, range(30), range(30), "equal within 0.5"),
        (True, range(30), range(15), "better"),
        (True, range(10), range(10, 20), "within noise"),
        (True, range(30), range(20), "better"),
        (False, range(30), range(20), "within noise"),
        (False, range(90), range(10), "better"),
    ],
)
def test_answers_are_compared_in_pairs(same_frames, before, after, verdict):
    def side(changed: range, pool: str) -> dict:
        values = np.isin(np.arange(300), changed)
        share = stats.binomtest(len(changed), 300).proportion_ci(method="wilson")
        return {"frames": 300, "changed_per_1000": 1000 * values.mean(), "pool": pool,
                "interval": [1000 * share.low, 1000 * share.high],
                "changed": packed_bits(values)}  # fmt: skip

    change = fidelity_change(side(before, "a"), side(after, "a" if same_frames else "b"))
    assert change.verdict(higher_is_better=False) == verdict
    assert change.points == pytest.approx(10 * (len(after) - len(before)) / 3)


def test_bits_that_differ_by_hand():
    hashes = hashes_of([{"dhash": f"{value:064x}"} for value in (0, 1, 2**255 + 3)])
    assert different_bits(hashes, hashes[:2]).tolist() == [[0, 1], [1, 0], [3, 2]]
