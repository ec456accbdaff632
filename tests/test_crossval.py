"""Folds never share what belongs together, and figures out of fold are as uncertain as they say."""

import numpy as np
import pytest
from conftest import PARAMS
from hypothesis import given, settings
from hypothesis import strategies as st
from test_split import coco_of, drive, image_entry, photos

from stages.common.coco_eval import score
from stages.common.groups import find_near_duplicates, group_keys, hashes_of
from stages.common.run import UserError
from stages.evaluation.out_of_fold import Sampled, sample, uncertainty
from stages.split.folds import fold_lists


def folds_of(coco: dict, folds: int = 5, splits: np.ndarray | None = None, **changes) -> list:
    """Return train, val and calibration of each fold."""
    params = PARAMS.split.model_copy(update=changes)
    hashes = hashes_of(coco["images"])
    still = np.zeros(len(hashes), bool)
    splits = np.zeros(len(hashes), int) if splits is None else splits
    lists = fold_lists(coco, hashes, still, splits, folds, params)
    return [
        {name: lists[f"{fold}/{name}"] for name in ("train", "val", "calibration")}
        for fold in range(folds)
    ]


def ids(coco: dict) -> set[int]:
    return {image["id"] for image in coco["images"]}


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(30, 90), st.integers(1, 4), st.integers(0, 9))
def test_every_image_is_judged_once_and_never_by_its_like(folds, count, same_for, seed):
    # Two drives with near duplicates, grouped by time, and photographs.
    coco = coco_of(drive("a", count, same_for) + drive("b", count, 1) + photos(20))
    found = folds_of(coco, folds, group_by="time", block=10, seed=seed)
    hashes = hashes_of(coco["images"])
    keys = group_keys(coco["images"], hashes, "time", 10)
    fold_of = {}
    for fold, lists in enumerate(found):
        assert not ids(lists["train"]) & ids(lists["val"])
        assert ids(lists["train"]) | ids(lists["val"]) == ids(coco)
        assert ids(lists["train"]) == ids(lists["calibration"])
        fold_of |= dict.fromkeys(ids(lists["val"]), fold)
    assert len(fold_of) == sum(len(lists["val"]["images"]) for lists in found) == len(keys)
    for key in set(keys):
        assert len({fold_of[n] for n, k in enumerate(keys, 1) if k == key}) == 1
    for index, others, _ in find_near_duplicates(hashes):
        assert {fold_of[other + 1] for other in others} == {fold_of[index + 1]}


def test_images_that_belong_together_have_one_cluster():
    images = [*drive("a", 4, same_for=2), image_entry("alone")]
    found = folds_of(coco_of(images), folds=2)
    clusters = {i["file_name"]: i["cluster"] for lists in found for i in lists["val"]["images"]}
    a = [clusters[image["file_name"]] for image in images]
    assert a[0] == a[1] != a[2] == a[3] != a[4] != a[0]


def test_test_images_and_left_out_ones_are_in_no_fold():
    splits = np.array([0, 1, 2, -1] * 10)
    found = folds_of(coco_of(photos(40)), folds=2, splits=splits)
    used = set().union(*(ids(lists[name]) for lists in found for name in ("train", "val")))
    assert used == {n for n, split in enumerate(splits, 1) if split in (0, 1)}


@settings(max_examples=30, deadline=None)
@given(st.integers(40, 200), st.integers(2, 8), st.integers(0, 99))
def test_folds_have_like_shares_of_images(count, folds, seed):
    sizes = [len(ids(lists["val"])) for lists in folds_of(coco_of(photos(count)), folds, seed=seed)]
    assert max(abs(size / count - 1 / folds) for size in sizes) <= max(0.05, 1 / count) + 1e-9


def test_an_image_keeps_its_fold_when_others_come():
    before = folds_of(coco_of(photos(300)))
    after = folds_of(coco_of(photos(320)))
    moved = [ids(b["val"]) - ids(a["val"]) for b, a in zip(before, after, strict=True)]
    assert sum(map(len, moved)) <= 9


@pytest.mark.parametrize(
    ("images", "folds"),
    [(drive("still", 20, same_for=20), 5), (photos(3), 5)],
    ids=["one group", "fewer images than folds"],
)
def test_too_few_groups_are_refused(images, folds):
    with pytest.raises(UserError, match="name fewer folds, or label more frames in more groups"):
        folds_of(coco_of(images), folds)


def detected(rng: np.random.Generator, images: int, quality: float, first_id: int = 1) -> tuple:
    """A fold: a COCO of random boxes, and what a model of this quality, 0..1, finds of them."""
    coco = {"categories": [{"id": 1, "name": "a"}], "images": [], "annotations": []}
    rows = []
    for image_id in range(first_id, first_id + images):
        coco["images"].append({"id": image_id, "cluster": image_id})
        hard = rng.beta(2, 4)  # some images are harder than others
        for _ in range(int(rng.integers(1, 4))):
            box = [*rng.uniform(0, 400, 2), *rng.uniform(30, 90, 2)]
            entry = {"id": len(coco["annotations"]) + 1000 * image_id, "image_id": image_id}
            entry |= {"category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            coco["annotations"].append(entry)
            if rng.random() < quality * (1 - hard / 2):
                moved = np.array(box) + rng.normal(0, 4 + 6 * hard, 4)
                rows.append({**row_of(image_id, moved), "score": float(rng.beta(6, 2))})
        if rng.random() < 0.5:
            rows.append({**row_of(image_id, box), "score": float(rng.beta(2, 4))})
            rows[-1]["bbox"] = [*rng.uniform(0, 400, 2), 50.0, 50.0]
    return coco, rows


def row_of(image_id: int, box: np.ndarray) -> dict:
    return {"image_id": image_id, "category_id": 1, "bbox": [float(x) for x in box]}


def cross_validated(
    rng: np.random.Generator, seeds: int, spread: float, images: int = 8
) -> Sampled:
    """Five folds, each judged by models whose quality training draws."""
    folds, rows = [], [[] for _ in range(seeds)]
    for fold in range(5):
        start = rng.integers(2**32)
        for of_seed in rows:
            quality = np.clip(rng.normal(0.8, spread), 0.3, 1)
            coco, found = detected(np.random.default_rng(start), images, quality, 1 + fold * images)
            of_seed.append(found)
        folds.append(coco)
    return sample(folds, rows)


def test_pooled_figures_are_those_of_pycocotools_on_all_images():
    rng = np.random.default_rng(0)
    folds, rows = zip(*(detected(rng, 6, 0.8, 1 + 6 * fold) for fold in range(3)), strict=True)
    every = {
        **folds[0],
        "images": [image for fold in folds for image in fold["images"]],
        "annotations": [box for fold in folds for box in fold["annotations"]],
    }
    found = sample(list(folds), [list(rows)])
    assert found.ap[0] == score(every, [row for found in rows for row in found]).stats[0]
    assert found.fold_ap[0].tolist() == [
        score(fold, own).stats[0] for fold, own in zip(folds, rows, strict=True)
    ]
    assert np.all((found - found).ap == 0) and np.all((found - found).resampled == 0)


def test_copies_in_one_cluster_make_nothing_more_certain():
    coco, rows = detected(np.random.default_rng(1), 12, 0.8)
    both = {**coco, "images": [], "annotations": []}
    for offset in (0, 100):
        both["images"] += [{**i, "id": i["id"] + offset} for i in coco["images"]]
        both["annotations"] += [
            {**box, "id": box["id"] + 10**6 * offset, "image_id": box["image_id"] + offset}
            for box in coco["annotations"]
        ]
    more = rows + [{**row, "image_id": row["image_id"] + 100} for row in rows]
    once = sample([coco], [[rows]]).resampled
    twice = sample([both], [[more]]).resampled
    assert np.abs(np.percentile(once, (3, 97)) - np.percentile(twice, (3, 97))).max() < 0.02


@pytest.mark.parametrize(
    ("seeds", "spread", "low", "high"),
    [(1, 0.0, 0, 0.45), (1, 0.3, 0.2, 1), (3, 0.0, 0, 0.05), (3, 0.2, 0.1, 1)],
)
def test_the_part_that_training_has(seeds, spread, low, high):
    shares = [
        uncertainty(cross_validated(np.random.default_rng(n), seeds, spread), 40).training_share
        for n in range(6)
    ]
    assert low <= np.mean(shares) <= high


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (1, 0.1), (2, 0.1)])
def test_intervals_cover_the_expected_ap(seeds, spread):
    expected = np.mean(
        [cross_validated(np.random.default_rng(10**6 + n), 1, spread, 80).ap[0] for n in range(8)]
    )
    trials = 60
    covered = 0
    for n in range(trials):
        low, high = uncertainty(
            cross_validated(np.random.default_rng(n), seeds, spread), 40
        ).interval
        covered += low <= expected <= high
    assert covered / trials >= 0.9
