"""Splits of videos: names that tools changed, cameras that do not move, subsets of any name."""

import json

import numpy as np
import pytest
from test_split import coco_of, drive, image_entry, photos, run, subsets

from stages.common.coco import all_series, series_of
from stages.common.run import UserError
from stages.split.still_camera import same_boxes


@pytest.mark.parametrize(
    ("name", "series", "number"),
    [
        ("default/frame_000123.png", "default/frame_#", 123),
        (
            "default/frame_000123_jpg.rf.0a1b2c3d4e5f60718293a4b5.jpg",
            "default/frame_#",
            123,
        ),
        ("train/video_mp4-12_jpg.rf.4xY9AbC7.jpg", "train/video_mp4-#", 12),
        ("default/frame_000123_2.png", "default/frame_#", 123),
        ("default/frame_000123_1_png.rf.77.jpg", "default/frame_#", 123),
        ("default/3fa9c1d2-frame_000007.jpg", "default/frame_#", 7),
        ("default/cam0001_5.jpg", "default/cam0001_#", 5),
        ("default/20240501-000007.jpg", "default/20240501-#", 7),
        ("default/a/plain.jpg", "default/a/plain", None),
    ],
)
def test_names_of_frames_that_tools_changed(name, series, number):
    assert series_of(name) == (series, number)


@pytest.mark.parametrize(
    ("names", "series"),
    [
        (["3fa9c1d2-frame_1", "12345678-frame_2", "0b99c1d2-frame_3"], {"a/frame_#"}),
        (["20240501-frame_1", "20240502-frame_2", "3fa9c1d2-frame_3"],
         {"a/20240501-frame_#", "a/20240502-frame_#", "a/frame_#"}),
        (["3fa9c1d2-frame_1", "12345678-"], {"a/frame_#", "a/#-"}),
    ],
)  # fmt: skip
def test_a_prefix_of_digits_is_removed_among_those_of_label_studio(names, series):
    assert set(all_series([f"a/{name}.jpg" for name in names])) == series


def entry(name: str, look: object, **more) -> dict:
    named = image_entry(name, look)
    return {**named, "file_name": name, "group": series_of(name)[0], **more}


def video(pattern: str, count: int) -> list[dict]:
    return [entry(pattern.format(n), (pattern, n)) for n in range(count)]


def split_of_names(tmp_path) -> dict[str, str]:
    """Return the split of each file name that the stage has written."""
    lists = {n: json.loads((tmp_path / f"split/{n}.json").read_text()) for n in ("train", "val")}
    return {i["file_name"]: n for n, part in lists.items() for i in part["images"]}


ROBOFLOW = "train/frame_{0:06d}_jpg.rf.{0}77a{0:05x}.jpg"
CVAT = ["default/frame_{:06d}.png", "default/frame_{:06d}_1.png", "default/frame_{:06d}_2.png"]


@pytest.mark.parametrize("patterns", [[ROBOFLOW], CVAT], ids=["Roboflow", "CVAT, three videos"])
def test_blocks_of_time_of_renamed_frames_are_never_cut(tmp_path, monkeypatch, patterns):
    images = [image for pattern in patterns for image in video(pattern, 120)]
    run(tmp_path, monkeypatch, coco_of(images), group_by="time", block=10)
    splits = split_of_names(tmp_path)
    for pattern in patterns:
        for start in range(0, 120, 10):
            assert len({splits[pattern.format(n)] for n in range(start, start + 10)}) == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"default/{n * 7919 % 997:x}{'abcd'[n % 4]}.jpg" for n in range(40)], "no frame numbers"),
        (["default/" + "abcdefgh"[n] + ".jpg" for n in range(8)], "no frame numbers"),
        ([f"default/{1712345678000 + 33 * n}.jpg" for n in range(40)], "split.block to 330"),
    ],
    ids=["hashes", "words", "milliseconds"],
)  # fmt: skip
def test_time_is_refused_where_numbers_cannot_be_told_apart(tmp_path, monkeypatch, names, said):
    images = [entry(name, name) for name in names]
    with pytest.raises(UserError, match=f"split.group_by is time, .* alone .*{said}"):
        run(tmp_path, monkeypatch, coco_of(images), group_by="time")


def road(names: list[str], look: object = "road") -> dict:
    """Frames of a camera that does not move: a car drives from left to right in 12 frames."""
    coco = coco_of([entry(name, look) for name in names])
    for n, (image, box) in enumerate(zip(coco["images"], coco["annotations"], strict=True)):
        bits = np.frombuffer(bytes.fromhex(image["dhash"]), np.uint8).copy()
        bits[n % 30] ^= 3
        image["dhash"] = bits.tobytes().hex()
        box["bbox"] = [7 * (n % 12), 20, 6, 5]
    return coco


@pytest.mark.parametrize(
    ("boxes_xywh", "moments"),
    [
        ([[], [], []], "aaa"),
        ([[], [(0, 0, 8, 8)], []], "aba"),
        ([[(0, 0, 8, 8)], [(2, 0, 8, 8)], [(4, 0, 8, 8)], [(5, 0, 8, 8)]], "aaaa"),  # a chain
        ([[(0, 0, 8, 8)], [(3, 0, 8, 8)]], "ab"),  # IoU 40 : 88
        ([[(0, 0, 8, 8), (50, 0, 8, 8)], [(0, 0, 8, 8)], [(50, 0, 8, 8)]], "abc"),
        ([[(0, 0, 8, 8), (1, 0, 8, 8)], [(0, 0, 8, 8)]], "aa"),
    ],
)
def test_images_of_one_moment_have_their_boxes_at_the_same_places(boxes_xywh, moments):
    images = [{"id": n, "sha256": letter} for n, letter in zip(range(4), "abcd", strict=True)]
    own = [{"image_id": n, "bbox": box} for n, boxes in enumerate(boxes_xywh) for box in boxes]
    found = same_boxes({"annotations": own}, images[: len(boxes_xywh)])
    assert "".join(found) == moments


@pytest.mark.parametrize("group_by", ["none", "time"])
def test_a_camera_that_does_not_move_is_split_by_blocks_of_time(tmp_path, monkeypatch, group_by):
    names = [f"default/frame_{n:06d}.png" for n in range(360)]
    report = run(tmp_path, monkeypatch, road(names), group_by=group_by)
    splits = split_of_names(tmp_path)
    assert 0.6 < list(splits.values()).count("train") / 360 < 0.9
    for start in range(0, 360, 30):
        assert len({splits[n] for n in names[start : start + 30] if n in splits}) == 1
    # At a seam the same car would be in both.
    frames = {split: [names.index(n) for n, s in splits.items() if s == split]
              for split in ("train", "val")}  # fmt: skip
    assert min(abs(t - v) for t in frames["train"] for v in frames["val"]) > 3
    assert "360 of 360 images look the same" in " ".join(report["warnings"])


def test_a_camera_that_does_not_move_without_frame_numbers_is_split_by_boxes(tmp_path, monkeypatch):
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [f"default/{a}{b}.png" for a in letters[:10] for b in letters[:12]]
    coco = road(names)
    run(tmp_path, monkeypatch, coco)
    splits = split_of_names(tmp_path)
    assert set(splits) == set(names)
    assert set(splits.values()) == {"train", "val"}
    for place in range(12):
        assert len({splits[name] for name in names[place::12]}) == 1


def test_a_still_camera_that_cannot_be_split_says_what_would_help(tmp_path, monkeypatch):
    names = [f"default/frame_{n:06d}.png" for n in range(20)]
    with pytest.raises(UserError, match=r"20 images look the same.* lower split\.block"):
        run(tmp_path, monkeypatch, road(names))
    assert run(tmp_path, monkeypatch, road(names), block=4)["splits"]["val"]["images"]


def test_a_video_that_near_duplicates_connect_is_not_a_still_camera(tmp_path, monkeypatch):
    chain = [image_entry(f"f_{n:03d}", 1, 16 * n, group="default/f_#") for n in range(16)]
    with pytest.raises(UserError) as caught:
        run(tmp_path, monkeypatch, coco_of(chain), block=4)
    assert "does not move" not in str(caught.value)


@pytest.mark.parametrize("name", ["Validation", "Test"])
def test_an_only_subset_that_is_not_for_training_is_refused_with_the_remedy(
    tmp_path, monkeypatch, name
):
    coco = coco_of(subsets(**{name: 12}))
    with pytest.raises(UserError, match=rf"'{name}' \(12 images\).*use_subsets.*split.subsets"):
        run(tmp_path, monkeypatch, coco)
    for changes in ({"use_subsets": False}, {"subsets": {name: "train"}}):
        report = run(tmp_path, monkeypatch, coco, **changes)
        assert report["splits"]["train"]["images"]
        assert report["splits"]["val"]["images"]


@pytest.mark.parametrize("name", ["val_set", "dev", "pdf_val", "EVAL"])
def test_subsets_of_other_names_are_named_and_can_be_mapped(tmp_path, monkeypatch, name):
    coco = coco_of(subsets(Train=20, **{name: 8}))
    report = run(tmp_path, monkeypatch, coco)
    assert f"the subsets '{name}' (8 images) are drawn at random" in report["warnings"][0]
    report = run(tmp_path, monkeypatch, coco, subsets={name: "val"})
    assert [report["splits"][s]["images"] for s in ("train", "val")] == [20, 8]
    assert "drawn at random" not in " ".join(report["warnings"])


def test_a_subset_that_is_not_there_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"names 'dev', and .* subsets 'Train' \(9 images\)"):
        run(tmp_path, monkeypatch, coco_of(subsets(Train=9)), subsets={"dev": "val"})


def test_photographs_and_drives_are_split_without_a_word_about_cameras(tmp_path, monkeypatch):
    report = run(tmp_path, monkeypatch, coco_of([*photos(40), *drive("a", 30, same_for=30)]))
    assert "look the same" not in " ".join(report["warnings"])


def test_dark_or_plain_images_are_split_too(tmp_path, monkeypatch):
    coco = road([f"default/frame_{n:06d}.png" for n in range(240)])
    for image in coco["images"]:
        image["dhash"] = "0" * 64
    report = run(tmp_path, monkeypatch, coco)
    assert report["splits"]["train"]["images"] > report["splits"]["val"]["images"] > 0
