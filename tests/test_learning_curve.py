"""The learning curve: parts of the labelled images, and the forecast."""

import numpy as np
import pytest

from stages.evaluation.out_of_fold import Sampled
from tools.learning_curve import PARTS, curve_of, forecast, log_error, page, part_of, write_chart


def coco_of(clusters: list[int], boxed: list[int]) -> dict:
    images = [{"id": i, "cluster": cluster} for i, cluster in enumerate(clusters)]
    return {"images": images, "annotations": [{"id": i, "image_id": i} for i in boxed]}


@pytest.mark.parametrize(
    ("clusters", "boxed"),
    [
        (list(range(32)), list(range(32))),
        ([number // 4 for number in range(32)], list(range(32))),
        ([0] * 30 + [1, 2], list(range(32))),
        (list(range(32)), [7]),
    ],
)
def test_smaller_parts_lie_in_larger_ones_and_hold_whole_clusters(clusters, boxed):
    coco, before = coco_of(clusters, boxed), set()
    for part in PARTS:
        taken = part_of(coco, part)
        ids = {image["id"] for image in taken["images"]}
        assert before <= ids and len(ids) >= part * 32 and taken["annotations"]
        assert {i for i, c in enumerate(clusters) if c in {clusters[i] for i in ids}} == ids
        before = ids
    assert before == set(range(32))
    assert taken["images"] == coco["images"]


@pytest.mark.parametrize(
    ("ap", "gain", "misfit"),
    [
        # 1 - AP = 0.8 / sqrt(n / 8): with 64 images 0.2828, with 32 0.4.
        ([1 - 0.8 * (8 / n) ** 0.5 for n in (8, 16, 24, 32)], 0.4 - 0.2828, 0.0),
        ([0.5, 0.5, 0.5, 0.5], 0.0, 0.0),
        # The least squares of 0, 1, 0, 1 at equal steps: 0.2 left and right of 0.2, 0.4, 0.6, 0.8.
        ([1 - np.exp(-x) for x in (0, 1, 0, 1)], None, 0.8),
    ],
)
def test_the_forecast_follows_a_power_of_the_number_of_images(ap, gain, misfit):
    images = [8, 16, 24, 32] if gain is not None else [8, 16, 32, 64]
    found, left = forecast(images, log_error(np.array(ap)[:, None]))
    assert left == pytest.approx([misfit], abs=1e-9)
    assert gain is None or found == pytest.approx([gain], abs=1e-4)


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_the_interval_holds_the_gain_of_the_law_that_it_came_from(noise, tmp_path):
    """Images with a difficulty of their own, and trainings with theirs; 100 draws."""
    counts, images, held = [8, 16, 24, 32], 40, 0
    law = np.array([1 - 0.7 * (8 / n) ** 0.4 for n in [*counts, 64]])
    vals = [{"images": [{"cluster": 5 * i + fold} for i in range(8)]} for fold in range(5)]
    for seed in range(100):
        rng = np.random.default_rng(seed)
        own = rng.normal(0, noise * images**0.5, images)
        draws = rng.multinomial(images, np.full(images, 1 / images), 1000)
        parts = [
            Sampled(
                np.array([ap + own.mean()]),
                (ap + draws @ own / images)[None],
                (ap + own.reshape(5, 8).mean(axis=1))[None],
                np.tile((ap + draws @ own / images), (1, 5, 1)) * 5**0.5,
            )
            for ap in law[:4] + rng.normal(0, noise / 2, 4)
        ]
        curve = curve_of(counts, parts, vals)
        low, high = curve.gain[1]
        held += low <= law[4] - law[3] <= high
    assert held >= 90
    text = page(curve, 40, "learning_curve.png")
    assert "40 more labelled images: AP +" in text and text.count("\n| ") == 6
    write_chart(curve, tmp_path / "learning_curve.png")
    assert (tmp_path / "learning_curve.png").stat().st_size > 10_000
