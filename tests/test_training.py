"""Training: samples, schedules and the stage itself on a few images."""

import csv
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT

from stages.common.coco import read_coco
from stages.common.files import write_json
from stages.common.params import Recipe, load_params
from stages.train import has_shape_of
from stages.yolox.budget import epochs_within
from stages.yolox.checkpoint import TrainState, checkpoint_path
from stages.yolox.dataset import FrameDataset, VisibleBoxes, epoch_batches
from stages.yolox.schedule import ema_decay, shortened, step_hw, with_epochs
from stages.yolox.weights import load_weights

INPUT_HW = (64, 96)
SHORT = {"max_epoch": 3, "warmup_epochs": 1, "no_aug_epochs": 1, "eval_interval": 2,
         "batch_size": 2, "precision": "32", "basic_lr_per_img": 0.001}  # fmt: skip


def train_params(**changes) -> Recipe:
    """The section `train` of this repository with some values changed."""
    return load_params(ROOT / "params.yaml").train.model_copy(update=changes)


def frames_of(data, cache_gb: float = 1) -> FrameDataset:
    coco = read_coco(data / "split/train.json")
    return FrameDataset(coco, data / "dataset/images", INPUT_HW, train_params(cache_gb=cache_gb))


@pytest.fixture
def frames(tiny_dataset) -> FrameDataset:
    return frames_of(tiny_dataset)


def test_frames_are_resized_with_their_boxes(frames):
    image_bgr, labels, size_hw, index = frames.pull_item(1)
    assert (len(frames), image_bgr.shape, size_hw, index) == (4, (54, 96, 3), (54, 96), 1)
    np.testing.assert_allclose(labels[0, :4], [24, 18, 48, 30])  # 160 px -> 96 px


def test_a_frame_handed_out_may_be_changed(frames):
    image_bgr, labels, *_ = frames.pull_item(0)
    before = image_bgr.copy()
    image_bgr[:], labels[:] = 0, 0
    assert (frames.pull_item(0)[0] == before).all()
    assert frames.pull_item(0)[1].any()


@pytest.mark.parametrize("mosaic", [True, False])
def test_a_sample_is_the_same_for_its_key(frames, mosaic):
    first, other, again = (frames[(seed, mosaic, 1)] for seed in (5, 6, 5))
    assert first[0].shape == (3, *INPUT_HW)
    assert (first[0] == again[0]).all() and (first[1] == again[1]).all()
    assert (first[0] != other[0]).any()


def test_boxes_pushed_out_of_the_image_are_no_examples():
    image_bgr = np.full((64, 96, 3), 114, np.uint8)
    targets = np.array([[96, 0, 96, 64, 0], [10, 10, 11, 40, 0], [10, 10, 30, 40, 0]], float)
    _, labels = VisibleBoxes(5, flip_prob=0.0, hsv_prob=0.0)(image_bgr, targets, INPUT_HW)
    np.testing.assert_allclose(labels[0], [0, 20, 25, 20, 30])
    assert not labels[1:].any()
    _, labels = VisibleBoxes(5, flip_prob=0.0, hsv_prob=0.0)(image_bgr, targets[:2], INPUT_HW)
    assert not labels.any()


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(tiny_dataset, workers):
    """In a process of its own: one that has run OpenVINO should not fork."""
    subprocess.run(
        [sys.executable, ROOT / "tests/loaded_batches.py", tiny_dataset, str(workers)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip


@pytest.mark.parametrize(("count", "batch_size"), [(30, 6), (7, 4), (3, 8), (1, 2), (8, 4)])
def test_an_epoch_shows_every_frame_in_full_batches(count, batch_size):
    params = train_params(max_epoch=2, no_aug_epochs=1, batch_size=batch_size)
    epochs = [epoch_batches(count, epoch, params) for epoch in (0, 1)]
    for batches, mosaic in zip(epochs, (True, False), strict=True):
        assert [len(batch) for batch in batches] == [batch_size] * math.ceil(count / batch_size)
        keys = [key for batch in batches for key in batch]
        assert {index for _, _, index in keys} == set(range(count))
        assert {flag for _, flag, _ in keys} == {mosaic}
        assert len({seed for seed, _, _ in keys}) == len(keys)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("steps", [10, 750, 100_000])
def test_the_average_follows_short_runs(steps):
    decays = [ema_decay(update, steps) for update in range(1, steps)]
    assert all(0 <= a <= b < 1 for a, b in pairwise(decays))
    assert decays[-1] <= 0.9998


def test_input_sizes_stay_legal_and_keep_the_aspect():
    params = train_params(multiscale_range=3)
    sizes = {step_hw((320, 544), params, step) for step in range(0, 2000, 10)}
    assert len(sizes) == 7
    assert all(h % 32 == w % 32 == 0 and abs(w / h - 1.7) < 0.2 for h, w in sizes)
    assert step_hw((320, 544), train_params(multiscale_range=0), 5) == (320, 544)


def prepare(folder, **changes) -> None:
    """Writes the parameters of a short run into a folder."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["model"] |= {"input_hw": list(INPUT_HW)}
    content["train"] |= {"pretrained": "none", **SHORT, **changes}
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(content))


def arguments(data) -> list:
    split, dataset = data / "split", data / "dataset"
    return [split / "train.json", dataset, "pretrained.pth", "yolox.pth",
            "--val", split / "val.json", "--last", "last.pth", "--curves", "curves"]  # fmt: skip


def train(run_stage, tiny_dataset, folder, **changes):
    prepare(folder, **changes)
    return run_stage("train", *arguments(tiny_dataset), cwd=folder)


def test_the_stage_writes_weights_and_curves_and_the_same_ones_again(
    run_stage, tiny_dataset, tmp_path
):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        done = train(run_stage, tiny_dataset, folder)
        assert done.returncode == 0, done.stderr
    weights, again = load_weights(first / "yolox.pth"), load_weights(second / "yolox.pth")
    assert (weights.labels, weights.input_hw) == (["a b", "c", "ü"], (64, 96))
    assert all(torch.equal(value, again.model[name]) for name, value in weights.model.items())
    with (first / "curves/plots/metrics/val/AP.tsv").open() as lines:
        assert [row["step"] for row in csv.DictReader(lines, delimiter="\t")] == ["2", "3"]
    curves = {p.relative_to(first / "curves/plots/metrics").as_posix()
              for p in (first / "curves").rglob("*") if p.is_file()}  # fmt: skip
    losses = {f"loss/{name}.tsv" for name in ("total", "iou", "conf", "cls", "l1")}
    assert curves == losses | {"lr.tsv", "val/AP.tsv", "val/AP50.tsv"}


@pytest.mark.slow
def test_without_val_images_nothing_is_chosen(run_stage, tiny_dataset, tmp_path):
    # Twice the same: trained on both lists by train.images, and by one list without --val.
    both = json.loads((tiny_dataset / "split/train.json").read_text())
    val = json.loads((tiny_dataset / "split/val.json").read_text())
    both["images"] += val["images"]
    both["annotations"] += val["annotations"]
    write_json(tmp_path / "lists/1/train.json", both)
    write_json(tmp_path / "lists/0/train.json", both)
    prepare(tmp_path, images="all", patience=1)
    every = run_stage("train", *arguments(tiny_dataset), cwd=tmp_path)
    fold = ["lists/0/train.json", tiny_dataset / "dataset", "pretrained.pth", "fold.pth"]
    of_fold = run_stage("train", *fold, cwd=tmp_path)
    other_seed = run_stage("train", *fold[:3], "seed.pth", "--seed", "1", cwd=tmp_path)
    for done in (every, of_fold, other_seed):
        assert done.returncode == 0, done.stderr
        assert "best AP" not in done.stdout and "stopped early" not in done.stdout
    assert "training, fold 1 of 2" in of_fold.stdout
    assert "1 folds to train" in of_fold.stdout
    weights = [load_weights(tmp_path / f"{name}.pth").model for name in ("yolox", "last", "fold")]
    assert all(torch.equal(value, w[key]) for w in weights for key, value in weights[0].items())
    other = load_weights(tmp_path / "seed.pth").model
    assert not all(torch.equal(value, other[key]) for key, value in weights[0].items())
    assert not (tmp_path / "curves/plots/metrics/val").exists()


@pytest.mark.parametrize(
    ("model", "fit"),
    [
        ({"name": "yolox-nano"}, True),
        ({"name": "yolox-nano", "act": "relu", "input_hw": (64, 96)}, True),
        ({"name": "yolox-tiny"}, False),
        ({"name": "yolox-nano", "depthwise": False}, False),
    ],
)
def test_bundled_weights_are_taken_for_models_of_their_shape(model, fit):
    params = load_params(ROOT / "params.yaml").model.model_copy(update=model)
    assert has_shape_of(ROOT / "models/pretrained.pth", params) == fit


@pytest.mark.slow
def test_weights_that_a_killed_run_ends_with_are_those_of_an_undisturbed_one(
    run_stage, start_stage, tiny_dataset, tmp_path
):
    calm, killed, damaged = (tmp_path / name for name in ("calm", "killed", "damaged"))
    for folder in (calm, killed):
        prepare(folder, max_epoch=20, no_aug_epochs=2, eval_interval=1)
    assert run_stage("train", *arguments(tiny_dataset), cwd=calm).returncode == 0
    resume = killed / ".resume"
    for _ in range(2):
        before = written_ns(resume)
        process = start_stage("train", *arguments(tiny_dataset), cwd=killed)
        while process.poll() is None and written_ns(resume) == before:
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not (killed / "yolox.pth").exists()
    shutil.copytree(killed, damaged)
    (checkpoint,) = damaged.glob(".resume/*.ckpt")
    os.truncate(checkpoint, checkpoint.stat().st_size // 2)
    for folder, goes_on in ((killed, True), (damaged, False)):
        done = run_stage("train", *arguments(tiny_dataset), cwd=folder)
        assert ("goes on after epoch" in done.stdout) == goes_on
        for name in ("yolox.pth", "last.pth"):
            expected, found = (load_weights(path / name).model for path in (calm, folder))
            assert all(torch.equal(value, found[key]) for key, value in expected.items())
        assert not list(folder.glob(".resume/*"))
        expected, found = (
            {p.relative_to(path): p.read_text() for p in (path / "curves").rglob("*.tsv")}
            for path in (calm, folder)
        )
        assert found == expected


def written_ns(resume) -> list[int]:
    """The times of the checkpoint of a folder: none before there is one."""
    return [path.stat().st_mtime_ns for path in resume.glob("*.ckpt")]


def test_other_parameters_or_data_do_not_go_on(tmp_path, tiny_dataset):
    train = tmp_path / "train.json"
    train.write_bytes((tiny_dataset / "split/train.json").read_bytes())
    out = tmp_path / "yolox.pth"
    path = checkpoint_path(out, {"lr": 1}, [train])
    assert path.parent == tmp_path / ".resume"
    assert path == checkpoint_path(out, {"lr": 1}, [train])
    assert path != checkpoint_path(out, {"lr": 2}, [train])
    train.write_bytes(train.read_bytes().replace(b"40,", b"41,"))
    assert path != checkpoint_path(out, {"lr": 1}, [train])


@pytest.mark.parametrize(
    ("aps", "patience", "stops"),
    [
        ([0.1, 0.2, 0.3], 2, [False, False, False]),
        ([0.3, 0.2, 0.1], 2, [False, False, True]),
        ([0.3, None, None, 0.4], 2, [False, False, True, False]),
        ([0.3, 0.2, 0.1, 0.1], 0, [False] * 4),
        ([0.0, 0.0, 0.0, 0.0], 3, [False, False, False, True]),
    ],
)
def test_patience_counts_epochs_since_the_best(aps, patience, stops):
    state, found = TrainState(len(aps)), []
    for epoch, ap in enumerate(aps, 1):
        evaluated = {} if ap is None else {"val/AP": ap}
        state.add({"loss/total": 1.0, **evaluated}, {"epoch": torch.tensor(epoch)})
        found.append(state.is_stalled(patience))
    assert found == stops
    assert state.best == {"epoch": state.best_epoch}


@pytest.mark.slow
def test_a_run_without_progress_stops_early(run_stage, tiny_dataset, tmp_path):
    changes = {"basic_lr_per_img": 1e-9, "max_epoch": 50, "patience": 2, "eval_interval": 1}
    done = train(run_stage, tiny_dataset, tmp_path, **changes)
    assert "stopped early after epoch 3" in done.stdout


@pytest.mark.parametrize(
    ("images", "bundled", "epochs"),
    [(30, False, 100), (400, False, 20), (80, False, 40), (1, False, 100), (30, True, 30)],
)
def test_auto_epochs_make_runs_of_about_the_same_length(images, bundled, epochs):
    assert with_epochs(train_params(), images, bundled).max_epoch == epochs
    assert with_epochs(train_params(max_epoch=7), images, bundled).max_epoch == 7


@pytest.mark.parametrize(
    ("seconds", "epochs"), [(1000, 30), (33, 30), (32.9, 29), (11, 10), (1.5, 1), (0, 1), (-5, 1)]
)
def test_a_budget_pays_for_epochs_and_evaluations(seconds, epochs):
    params = train_params(max_epoch=30, eval_interval=10)
    assert epochs_within(seconds, 1.0, 1.0, params) == epochs


def test_a_shortened_run_keeps_a_share_of_its_warm_up():
    params = train_params(max_epoch=100, warmup_epochs=3, no_aug_epochs=10)
    short = shortened(params, 20)
    assert (short.max_epoch, short.warmup_epochs, short.no_aug_epochs) == (20, 1, 2)
    assert shortened(params, 100) == params


@pytest.mark.slow
def test_a_budget_lowers_the_epochs_and_trains_the_same_weights(run_stage, tiny_dataset, tmp_path):
    """Measuring leaves no trace: one epoch in a budget is one epoch."""
    changes = {"warmup_epochs": 1, "no_aug_epochs": 0}
    done = train(
        run_stage, tiny_dataset, tmp_path / "budget", max_epoch=9, max_minutes=1e-6, **changes
    )
    assert "train.max_minutes 1e-06: 1 of 9 epochs" in done.stdout, done.stderr
    train(run_stage, tiny_dataset, tmp_path / "one", max_epoch=1, **changes)
    budget, one = (load_weights(tmp_path / name / "last.pth").model for name in ("budget", "one"))
    assert all(torch.equal(value, budget[name]) for name, value in one.items())


@pytest.mark.parametrize(("cache_gb", "cached"), [(0.0, 0), (20e-6, 2), (1.0, 4)])
def test_frames_beyond_the_cache_are_the_same(tiny_dataset, frames, cache_gb, cached):
    some = frames_of(tiny_dataset, cache_gb)
    assert len(some.cached) == cached
    for index in range(4):
        np.testing.assert_array_equal(some.pull_item(index)[0], frames.pull_item(index)[0])


def torchrun(data, out, nodes: int, processes: int) -> dict:
    """Runs tests/two_processes.py by torchrun on loopback; `nodes` launchers with `processes`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launchers = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}",
             f"--nproc-per-node={processes}", f"--node-rank={rank}", "--master-addr=127.0.0.1",
             f"--master-port={port}", str(ROOT / "tests/two_processes.py"), str(data), str(out),
             str(processes), str(nodes)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(nodes)
    ]  # fmt: skip
    for launcher in launchers:
        said, _ = launcher.communicate(timeout=300)
        assert launcher.returncode == 0, said
    return torch.load(out, weights_only=True)


@pytest.mark.slow
def test_processes_and_machines_compute_the_gradient_of_one_process(tiny_dataset, tmp_path):
    alone, two, machines = (
        torchrun(tiny_dataset, tmp_path / f"{nodes}x{processes}", nodes, processes)
        for nodes, processes in ((1, 1), (1, 2), (2, 1))
    )
    for other in (two, machines):
        assert other["losses"] == pytest.approx(alone["losses"], rel=1e-4)
        # Each process rounds its own half: float32, summed in another order.
        scale = alone["gradient"].abs().max()
        assert (other["gradient"] - alone["gradient"]).abs().max() < 1e-4 * scale


@pytest.mark.slow
def test_the_same_command_trains_in_two_processes(run_stage, tiny_dataset, tmp_path):
    curves = {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        done = train(
            run_stage, tiny_dataset, folder, accelerator="cpu", devices=processes, batch_size=4
        )
        assert done.returncode == 0, done.stderr
        assert ("Starting with 2 processes" in done.stderr) == (processes == 2)
        assert load_weights(folder / "yolox.pth").labels == ["a b", "c", "ü"]
        with (folder / "curves/plots/metrics/loss/total.tsv").open() as lines:
            rows = csv.DictReader(lines, delimiter="\t")
            curves[processes] = [float(row["total"]) for row in rows]
    assert done.stdout.count("epoch 3/3") == 2  # one evaluation, one end of the bar
    # Not equal: each process normalises by its own two images.
    assert curves[2] == pytest.approx(curves[1], rel=0.1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"basic_lr_per_img": 1e6}, "the loss is nan in epoch"),
        ({"pretrained": "bundled"}, "cannot read pretrained.pth"),
        ({"accelerator": "cuda"}, "this machine has none"),
    ],
)
def test_the_stage_refuses_in_one_line_and_writes_no_weights(
    run_stage, tiny_dataset, tmp_path, changes, said
):
    if changes.get("accelerator") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    done = train(run_stage, tiny_dataset, tmp_path, **changes)
    assert done.returncode == 1
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "yolox.pth").exists()
