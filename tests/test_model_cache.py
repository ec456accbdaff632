"""Compiled models belong to the very files that they were compiled from."""

import os
import shutil

import numpy as np
import pytest

from detector import Detector
from detector.core import cpu
from detector.runtime.model_cache import blobs
from detector.runtime.openvino_backend import OpenVinoBackend

IMAGE_BGR = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)


def boxes(model, cache) -> np.ndarray:
    with Detector(model, 0.001, cache_dir=cache) as detector:
        return detector(IMAGE_BGR).xyxy


def folder_of(cache):
    (folder,) = cache.iterdir()
    return folder


def swap(models, cache) -> None:
    """Another model's blob under this one's name."""
    own = folder_of(cache)
    boxes(models / "ir", cache)
    (other,) = (path for path in cache.iterdir() if path != own)
    shutil.copy(blobs(other)[0], blobs(own)[0])


def cut(models, cache) -> None:
    (blob,) = blobs(folder_of(cache))
    os.truncate(blob, blob.stat().st_size // 2)


def forget(models, cache) -> None:
    (folder_of(cache) / "hashes.json").unlink()


@pytest.mark.parametrize("damage", [swap, cut, forget])
def test_a_blob_that_is_not_as_it_was_written_is_not_run(models, tmp_path, damage):
    cache = tmp_path / "cache"
    expected = boxes(models / "int8", cache)
    assert cache.stat().st_mode & 0o777 == 0o700
    damage(models, cache)
    assert np.array_equal(boxes(models / "int8", cache), expected)


def test_a_blob_is_used_again(models, tmp_path):
    expected = boxes(models / "int8", tmp_path / "cache")
    (blob,) = blobs(folder_of(tmp_path / "cache"))
    written = blob.stat().st_mtime_ns
    assert np.array_equal(boxes(models / "int8", tmp_path / "cache"), expected)
    assert blob.stat().st_mtime_ns == written


def test_a_model_that_changed_under_its_name_is_compiled_anew(models, tmp_path):
    model, cache = tmp_path / "model", tmp_path / "cache"
    shutil.copytree(models / "int8", model)
    boxes(model, cache)
    shutil.rmtree(model)
    shutil.copytree(models / "ir", model)
    assert np.array_equal(boxes(model, cache), boxes(models / "ir", None))
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("place", ["writable by others", "a file", "below a file"])
def test_without_a_place_of_ones_own_there_is_no_cache(models, tmp_path, place):
    cache = tmp_path / "cache"
    if place == "writable by others":
        cache.mkdir()
        cache.chmod(0o777)
    else:
        cache.write_text("")
        cache = cache / "x" if place == "below a file" else cache
    assert len(boxes(models / "int8", cache))
    assert place != "writable by others" or not list(cache.iterdir())


def test_only_the_last_models_stay(models, tmp_path):
    cache = tmp_path / "cache"
    for number in range(20):
        (cache / f"old{number}").mkdir(parents=True)
        os.utime(cache / f"old{number}", (number, number))
    cache.chmod(0o700)
    boxes(models / "int8", cache)
    assert len(list(cache.iterdir())) == 9


@pytest.mark.skipif(cpu.affinity_cores() < 2, reason="one core has no smaller quota")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "6400000 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({}, None),
    ],
)
def test_openvino_starts_as_many_threads_as_the_quota_allows(
    models, tmp_path, monkeypatch, files, cores
):
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content + "\n")
    monkeypatch.setattr(cpu, "CGROUPS", tmp_path)
    assert cpu.cores_of_quota() == cores
    compiled = OpenVinoBackend(models / "int8", throughput=True).compiled
    threads = compiled.get_property("INFERENCE_NUM_THREADS")
    assert threads == (cores or cpu.affinity_cores())
