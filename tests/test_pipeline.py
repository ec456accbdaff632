"""The pipeline as its users run it: real DVC in a real Git repository, on tiny data."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from browser import chromium, find_chromium, look_at
from conftest import ROOT, write_video
from moto.server import ThreadedMotoServer
from test_docs import DOCS, blocks

from detector import Detector
from stages.common.files import read_json
from stages.common.metrics import read_metrics

TINY = {
    "synthesize": {"images": 8, "pool_images": 6, "image_hw": [256, 448]},
    "model": {"input_hw": [192, 320]},  # as that of `input-1` in docs/experiments.md
    "train": {"pretrained": "none", "max_epoch": 2, "warmup_epochs": 1, "no_aug_epochs": 1,
              "eval_interval": 1, "batch_size": 2},
    "benchmark": {"seconds": 1.0, "warmup_seconds": 0.1},
    "report": {"pictures": 1},
}  # fmt: skip
AFTER_QUANTIZE = {"quantize", "host", "bundle@int8", "evaluate@int8", "compare", "benchmark"}
AFTER_QUANTIZE |= {"report", "gate"}
# Lines of the documents that other tests run: this very run, and tests below.
RUN_ELSEWHERE = {
    "make test",
    "make test-all",
    "make repro TOOLCHAIN=openvino-dev",
    "make sweep TARGET_FPS=50",
    "make crossval",
    "make learning-curve",
    "git merge smaller-input",
    "make merged",
    "git commit",
}


class Repository:
    """A copy of this repository with shrunken parameters, under Git and DVC."""

    def __init__(self, folder: Path):
        self.folder, self.environment = folder, {}
        listed = subprocess.run(  # what a clone would hold, with the changes of the working tree
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        for name in (name for name in listed if (ROOT / name).is_file()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        params = yaml.safe_load((folder / "params.yaml").read_text())
        for section, values in TINY.items():
            params[section] |= values
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        # `make` finds the environment that runs this test, and does not install this copy there.
        (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
        (folder / ".venv/.installed").touch()
        self.run("git", "init", "-q", "-b", "main")
        self.run("git", "config", "user.email", "test@example.com")
        self.run("git", "config", "user.name", "test")
        self.commit("start")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        process = self.start(*command)
        stdout, stderr = process.communicate(timeout=900)
        if check and process.returncode:
            raise AssertionError(f"{' '.join(command)} failed:\n{stdout}\n{stderr}")
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    def start(self, *command: str) -> subprocess.Popen:
        """A command in the repository, with the environment of this test activated."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            command, cwd=self.folder, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PATH": path, "PYTHONPATH": "", "PYTHONUNBUFFERED": "1",
                 **self.environment},
        )  # fmt: skip

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", message)

    def stages_run(self, output: str) -> set[str]:
        """The stages whose command was run and not taken from the run cache."""
        return set(re.findall("^Running stage '(.*?)'", output, re.MULTILINE))

    def json(self, name: str) -> dict:
        return read_metrics(self.folder / name)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> Repository:
    repository = Repository(tmp_path_factory.mktemp("clone"))
    repository.run("dvc", "repro")
    repository.commit("first run")
    return repository


@pytest.fixture
def repository(first_run) -> Repository:
    """The repository after its first run; what a test changes in it is put back afterwards."""
    yield first_run
    if first_run.run("git", "status", "--porcelain", "--branch").stdout != "## main\n":
        first_run.run("git", "checkout", "-q", "--force", "main")
        first_run.run("dvc", "checkout", "-q")


def test_the_first_run_makes_everything(repository):
    for variant in ("torch", "onnx", "ir", "int8"):
        figures = repository.json(f"metrics/accuracy/{variant}.json")
        assert {"AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR100",
                "images", "boxes", "per_class"} <= set(figures)  # fmt: skip
        assert figures["images"] == repository.json("metrics/data.json")["val"]["images"]
        assert list(figures["per_class"]) == ["LP"]
    speed = repository.json("metrics/speed.json")
    assert speed["torch"]["speedup_vs_torch"] == 1.0
    for variant in ("torch", "onnx", "ir", "int8"):
        assert 0 < speed[variant]["latency_ms_p50"] <= speed[variant]["latency_ms_p99"]
        assert speed[variant]["throughput_fps"] > 0 and speed[variant]["end_to_end_fps"] > 0
    assert set(speed) == {"torch", "onnx", "ir_f32", "ir", "int8", "host"}
    assert speed["ir_f32"]["precision"] == "f32"
    assert speed["int8"]["precision"].startswith("i8")
    assert speed["host"].items() >= repository.json("metrics/machine.json").items()
    drop = repository.json("metrics/drop.json")
    assert {key: value["fidelity"]["frames"] for key, value in drop.items()} == {
        "onnx": 6, "ir": 6, "int8": 6,
    }  # fmt: skip
    assert set(drop) == {"onnx", "ir", "int8"} and drop["onnx"]["AP"] == 0.0
    point = repository.json("metrics/operating_point.json")
    assert point["boxes"] == repository.json("metrics/data.json")["val"]["boxes"]
    for model in ("yolox.onnx", "ir", "int8"):
        with Detector(repository.folder / "models" / model) as detector:
            assert detector.confidence == point["confidence"]
    kernels = (repository.folder / "metrics/kernels/int8.csv").read_text()
    assert kernels.count("\n") == 1 + 113 and kernels.count(",i8,") == 74
    assert "OpenVINO INT8" in (repository.folder / "metrics/report.md").read_text()
    page = (repository.folder / "metrics/report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page), "the page must open without a network"


@pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium here to look with")
@pytest.mark.parametrize("width", [360, 1040])
@pytest.mark.parametrize("page", ["metrics/report.html", "data/audit.html"])
def test_pages_fit_phones_and_desks_and_load_nothing(repository, tmp_path, page, width):
    path, picture = repository.folder / page, tmp_path / "page.png"
    seen = look_at(path, width, tmp_path)
    assert seen["width"] <= width
    assert seen["pictures"] >= 1 and seen["drawings"] >= 2 and seen["words"] > 1000
    assert seen["broken"] == 0 and seen["loaded"] == []
    size = f"--window-size={max(width, 500)},900"
    chromium(tmp_path, f"--screenshot={picture}", size, path.as_uri())
    assert len(np.unique(cv2.imread(str(picture)))) > 100


@pytest.mark.parametrize("name", [".dvc/tmp/rwlock", "dvc.lock"])
def test_make_repro_mends_what_a_killed_dvc_left(repository, name):
    """DVC writes its lock files in place, and refuses a part of one for ever."""
    lock, path = repository.folder / "dvc.lock", repository.folder / name
    whole = lock.read_text()
    path.write_text(whole[: whole.rindex("    cmd: ")] if path == lock else "")
    assert repository.run("dvc", "repro", check=False).returncode == 255
    assert repository.stages_run(repository.run("make", "repro").stdout) <= {"host"}
    assert lock.read_text() == whole


def test_git_holds_metrics_but_neither_data_nor_models(repository):
    tracked = set(repository.run("git", "ls-files", "data", "models", "metrics").stdout.split())
    assert tracked >= {f"metrics/{n}" for n in ("speed.json", "accuracy/int8.json", "report.html")}
    assert {name for name in tracked if not name.startswith("metrics")} == {
        "data/README.md", "data/originals/.gitignore", "models/README.md", "models/pretrained.pth",
    }  # fmt: skip


def test_a_second_run_does_nothing(repository):
    assert repository.stages_run(repository.run("dvc", "repro").stdout) <= {"host"}
    assert repository.run("git", "status", "--porcelain").stdout == ""


def test_outputs_are_links_into_the_cache(repository):
    model, copy = repository.folder / "models/yolox.onnx", repository.folder / "data/copy"
    done = repository.run("cp", "--reflink=always", str(model), str(copy), check=False)
    copy.unlink(missing_ok=True)
    assert done.returncode == 0 or model.stat().st_nlink > 1


RUNTIME = {"export", "ir", "quantize", "evaluate@ir", "benchmark"}
EDITS = {
    # name: (file, stages that run again, stages that must not)
    "the runtime": ("detector/runtime/openvino_backend.py", RUNTIME, {"ingest", "train"}),
    "the video": ("detector/video/sinks.py", {"benchmark", "audit"}, {"train", "evaluate@int8"}),
    "a page": ("stages/audit/page.html", {"audit"}, {"ingest", "split", "train", "report"}),
    "the trainer": ("stages/yolox/trainer.py", {"train", "export"}, {"ingest", "split", "audit"}),
    "a compiled module": ("stages/common/__pycache__/coco.cpython-311.pyc", set(), {"ingest"}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_runs_what_depends_on_it(repository, edit):
    file, run, kept = EDITS[edit]
    path = repository.folder / file
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((before or b"") + b"\n")
    planned = repository.stages_run(repository.run("dvc", "repro", "--dry").stdout) - {"host"}
    assert planned >= run and not planned & kept
    assert bool(planned) == bool(run)
    path.unlink() if before is None else path.write_bytes(before)


def test_another_machine_of_the_same_kind_measures_its_own_speed(repository):
    """Another purpose hashes to another id, as another machine does."""
    page = repository.folder / "stages/host.py"
    page.write_text(page.read_text().replace('PURPOSE = b"', 'PURPOSE = b"another '))
    repository.run("dvc", "repro", "--single-item", "host")
    planned = repository.stages_run(repository.run("dvc", "repro", "--dry").stdout)
    assert {"host", "benchmark"} <= planned <= {"host", "benchmark", "report", "gate"}
    repository.run("git", "checkout", "-q", ".")


@pytest.mark.slow
def test_a_quantize_parameter_runs_only_what_follows(repository):
    output = repository.run("dvc", "exp", "run", "-S", "quantize.preset=performance").stdout
    # An untrained model may find nothing, in INT8 neither: then there is nothing to compare anew.
    assert AFTER_QUANTIZE - {"compare"} <= repository.stages_run(output) <= AFTER_QUANTIZE
    changed = repository.run("dvc", "params", "diff").stdout
    assert "quantize.preset" in changed and "performance" in changed


def test_a_loss_that_is_not_allowed_fails_the_run_after_the_report(repository):
    """The figures of INT8 are made worse by hand; the stage that judges them is the real one."""
    drop = repository.folder / "metrics/drop.json"
    figures = repository.json("metrics/drop.json")
    figures["int8"] |= {"AP": 9.0, "interval": [5.0, 12.0], "per_class": {"LP": 9.0}}
    drop.write_text(json.dumps(figures))
    # Alone, or DVC would keep these figures as those of `compare`, and hand them out again.
    done = repository.run("dvc", "repro", "--single-item", "report", "gate", check=False)
    assert done.returncode != 0
    assert repository.stages_run(done.stdout) >= {"report", "gate"}
    assert "gate: int8 lost 9.00 AP points" in done.stderr
    assert "INT8 lost 9.0 AP points" in (repository.folder / "metrics/report.md").read_text()
    done = repository.run("dvc", "exp", "run", "-S", "gate.max_drop=null").stdout
    assert "the gate is off" in done


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_ended_goes_on(repository, how):
    """Ctrl-C and kill -9 reach the whole process group, DVC and the stage."""
    params = repository.folder / "params.yaml"
    params.write_text(
        params.read_text().replace("max_epoch: 2", "max_epoch: 4").replace(
            "cache_gb: 4.0", f"cache_gb: {4.0 + how}"
        )
    )  # fmt: skip
    process = repository.start("dvc", "repro", "train")
    for line in process.stdout:
        if line.startswith("epoch 2/4"):
            os.killpg(process.pid, how)
    assert process.wait() != 0
    assert "Traceback" not in process.stderr.read()
    again = repository.run("dvc", "repro", "train").stdout
    assert "goes on after epoch" in again
    assert "train" in repository.stages_run(again)
    assert not [path for path in repository.folder.glob("models/.*") if path.name != ".resume"]
    assert not list(repository.folder.glob("models/.resume/*"))
    assert "train" not in json.loads(repository.run("dvc", "status", "--json").stdout)


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("model.input_hw=[100,160]", "model.input_hw.0: 100 is refused"),
        ("train.pretrained=missing.pth", "cannot read missing.pth"),
    ],
)
def test_a_wrong_parameter_stops_the_run_in_one_line(repository, parameter, said):
    done = repository.run("dvc", "exp", "run", "-S", parameter, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_two_branches_meet_in_the_generated_files(repository):
    params = repository.folder / "params.yaml"
    changes = {"sharp": ("preset: mixed", "preset: performance"),
               "long": ("max_epoch: 2\n", "max_epoch: 3\n")}  # fmt: skip
    for branch, change in changes.items():
        repository.run("git", "checkout", "-q", "-b", branch, "main")
        repository.run("dvc", "checkout", "-q")
        params.write_text(params.read_text().replace(*change))
        repository.run("dvc", "repro")
        repository.commit(branch)
    merge = repository.run("git", "merge", "sharp", check=False).stdout
    assert "Merge conflict in dvc.lock" in merge and "conflict in params.yaml" not in merge
    assert repository.run("git", "grep", "-lE", "^<<<<<<<", check=False).stdout == ""
    refused = repository.run("make", "locked", check=False)
    assert refused.returncode != 0 and "run make merged" in refused.stdout
    assert "quantize" in repository.stages_run(repository.run("make", "merged").stdout)
    repository.run("git", "commit", "-q", "--no-edit")
    repository.run("make", "locked")
    assert all(new in params.read_text() for _, new in changes.values())
    lock = repository.folder / "dvc.lock"
    lock.write_text(f"<<<<<<< HEAD\n{lock.read_text()}>>>>>>> sharp\n")
    assert "run make merged" in repository.run("make", "locked", check=False).stdout


@pytest.mark.slow
def test_the_other_toolchain_runs_the_same_stages(repository):
    """Its packages are installed from their lock, so this test takes some minutes."""
    done = repository.run("make", "repro", "TOOLCHAIN=openvino-dev")
    ran = repository.stages_run(done.stdout)
    rest = {"ir", "bundle@fp16", "evaluate@torch", "evaluate@onnx", "evaluate@ir"}
    assert ran == AFTER_QUANTIZE | rest
    versions = repository.json("metrics/speed.json")["host"]["versions"]
    assert versions["openvino"].startswith("2024.6") and versions["nncf"] == "2.14.1"
    rows = (repository.folder / "metrics/kernels/int8.csv").read_text().splitlines()[1:]
    precisions = {row.split(",")[1] for row in rows}
    assert precisions <= {"i8", "bf16", "f32"} and "i8" in precisions
    changed = json.loads(repository.run("dvc", "params", "diff", "--json").stdout)
    assert changed["params.yaml"]["toolchain"] == {"old": "openvino", "new": "openvino-dev"}
    refused = repository.run("dvc", "repro", "-s", "-f", "ir", check=False)
    assert "ir: params.yaml says toolchain: openvino-dev, but this is openvino" in refused.stderr
    back = repository.run("make", "repro", "TOOLCHAIN=openvino").stdout
    # The rest comes from the run cache, which knows no stage whose output is in Git alone.
    assert repository.stages_run(back) <= {"host", "report", "gate"}
    assert repository.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.slow
def test_a_sweep_shows_accuracy_against_speed(repository):
    """One combination is that of the first run, the other one cannot be trained."""
    done = repository.run(
        *("make", "sweep", "MODELS=yolox-nano", "INPUTS=192x320 100x160", "ACTS=silu"),
        *("SWEEP_SECONDS=2", "TARGET_FPS=1"),
    )
    assert "sweep: sweep-yolox-nano-100x160-silu failed, see above" in done.stderr
    assert not repository.stages_run(done.stdout) & {"train", "quantize", "benchmark"}
    page = (repository.folder / "sweep.md").read_text()
    rows = re.findall(r"^\| yolox-nano \| 192x320 \| silu \| (\w+) \|", page, re.MULTILINE)
    assert sorted(rows) == ["FP16", "INT8"]
    assert "For 1 FPS take yolox-nano at 192x320 with silu" in page
    assert "1 of 2 experiments failed" in page
    assert cv2.imread(str(repository.folder / "sweep.png")).shape[1] > 500
    assert repository.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.slow
def test_a_learning_curve_forecasts_twice_the_labels(repository):
    done = repository.run("make", "learning-curve", "FOLDS=2")
    page = (repository.folder / "learning_curve.md").read_text()
    assert page in done.stdout
    assert "8 more labelled images: AP " in page and page.count("\n| ") == 6
    assert cv2.imread(str(repository.folder / "learning_curve.png")).shape[1] > 500
    trained = list(repository.folder.glob(".dvc/tmp/learning_curve/*/*/*/yolox.pth"))
    assert len(trained) == 8
    assert repository.run("git", "status", "--porcelain").stdout == ""
    # What is there is not trained again.
    before = {path: path.stat().st_mtime_ns for path in trained}
    repository.run("make", "learning-curve", "FOLDS=2")
    assert {path: path.stat().st_mtime_ns for path in trained} == before


@pytest.mark.slow
def test_a_cross_validation_judges_every_image(repository):
    done = repository.run("make", "crossval", "FOLDS=2")
    ran = repository.stages_run(done.stdout)
    of_folds = {f"fold_{name}@0-{fold}" for name in ("train", "evaluate") for fold in (0, 1)}
    # The confidence is chosen on all images now, and every model carries it.
    of_models = {"operating_point", "export", "ir", "quantize", "benchmark"}
    of_models |= {"bundle@int8", "bundle@fp16"}
    of_models |= {f"evaluate@{variant}" for variant in ("onnx", "ir", "int8")}
    after = {"split", "crossval", "label_errors", "compare", "report", "gate"}
    assert ran - {"host"} == of_folds | of_models | after
    assert isinstance(read_json(repository.folder / "data/label_errors/suspects.json"), list)
    assert (
        "Labels that the models disagree with"
        in (repository.folder / "data/label_errors/audit.html").read_text()
    )
    assert repository.json("metrics/operating_point.json")["judged_on"].startswith("images, each")
    counts = repository.json("metrics/data.json")
    found = repository.json("metrics/crossval.json")
    both = counts["train"]["images"] + counts["val"]["images"]
    assert {figures["images"] for figures in found["accuracy"].values()} == {both}
    assert f"from {both} images" in (repository.folder / "metrics/report.md").read_text()
    repository.commit("crossval")
    repository.run(sys.executable, "-m", "tools.review", "HEAD", "review.md")
    page = (repository.folder / "review.md").read_text()
    assert f"judged on {both} images, each by a model that was not trained on it, in pairs" in page
    # Another quantization trains nothing.
    params = repository.folder / "params.yaml"
    params.write_text(params.read_text().replace("ranges: auto", "ranges: all"))
    planned = repository.stages_run(repository.run("dvc", "repro", "--dry").stdout)
    assert {"fold_evaluate@0-0", "fold_evaluate@0-1", "quantize"} <= planned
    assert not {name for name in planned if "train" in name}
    repository.run("git", "reset", "-q", "--hard", "HEAD~1")
    repository.run("dvc", "checkout", "-q")


@pytest.fixture(scope="module")
def s3(first_run):
    """An S3 server on loopback with an empty bucket, and what the documents call it by."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    first_run.environment |= {
        "S3_ENDPOINT": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    request = urllib.request.Request(f"http://{host}:{port}/detector-data", method="PUT")
    urllib.request.urlopen(request).close()
    yield
    server.stop()


@pytest.fixture(scope="module")
def photos(first_run) -> Path:
    """A user's files as the documented commands expect them; returns the folder of frames."""
    folder = first_run.folder
    shutil.copy(folder / "data/synthetic.zip", folder / "my-export.zip")
    shutil.copytree(folder / "data/dataset/images/default", folder / "photos")
    write_video(folder / "drive.mp4", "mp4v")
    (folder / ".git/info/exclude").write_text("/my-export.zip\n/photos\n/drive.mp4\n")
    return folder / "photos"


@pytest.mark.slow
# tests/test_serve.py starts the server that the other document is about.
@pytest.mark.parametrize("document", [name for name in DOCS if name != "docs/serving.md"])
def test_the_commands_of_the_documents_run(repository, s3, photos, document):
    """Those of the shell blocks, in order, but for the few that other tests run."""
    commands = [line for block in blocks("sh", document) for line in block.splitlines()]
    said = {
        command: repository.run("bash", "-c", command).stdout
        for command in commands
        if command not in RUN_ELSEWHERE
    }
    for block in blocks("python", document):
        program = block.replace("frame.jpg", str(next(photos.iterdir())))
        assert "[" in repository.run("python", "-c", program).stdout
    if document in CHECKS:
        CHECKS[document](repository, said)


def check_experiments(repository, said) -> None:
    """The experiments that were queued ran and stand in the table with what they changed; one of
    them was applied, and is compared and reviewed."""
    table = json.loads(repository.run("dvc", "exp", "show", "--json").stdout)
    found = [experiment for commit in table for experiment in commit["experiments"] or []]
    rows = [experiment["revs"][0]["data"] for experiment in found]
    inputs = [row["params"]["params.yaml"]["data"]["model"]["input_hw"] for row in rows]
    assert {(192, 320), (256, 448)} <= {tuple(hw) for hw in inputs}
    assert all("speed" in str(row["metrics"]) for row in rows)
    shown = next(out for command, out in said.items() if command.startswith("dvc exp show"))
    assert all(f"input-{number}" in shown for number in (1, 2)) and "tiny" in shown
    # The first of them is what the first run had.
    assert not {"train", "benchmark"} & repository.stages_run(said["dvc queue logs input-1"])
    ran = repository.stages_run(repository.run("dvc", "queue", "logs", "input-2").stdout)
    assert {"train", "export", "ir", "quantize", "benchmark"} <= ran
    assert not {"synthesize", "split"} & ran
    table = json.loads(repository.run("dvc", "metrics", "diff", "--json").stdout)
    assert "metrics/speed.json" in table
    shown = {f"{file}:{name}" for file, rows in table.items() for name in rows}
    assert not {name for name in shown if "details" in name or "latency" in name}
    check_review(repository)


def check_review(repository) -> None:
    repository.run(sys.executable, "-m", "tools.review", "HEAD", "review.md")
    page = (repository.folder / "review.md").read_text()
    assert "| model.input_hw | [192, 320] | [256, 448] |" in page
    assert "The same number of images and boxes." in page
    assert "| FPS, " in page
    assert "Right before, wrong now: " in page
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", page):
        assert (repository.folder / picture).stat().st_size > 1000


def check_clones(repository, said) -> None:
    """A clone that pulled has nothing left to run."""
    pulled = [out for command, out in said.items() if "dvc pull" in command]
    assert len(pulled) == 2
    assert all(repository.stages_run(output) <= {"host"} for output in pulled)


CHECKS = {"docs/experiments.md": check_experiments, "docs/versions.md": check_clones}
