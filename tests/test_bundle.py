"""The bundle: its bytes, what a stranger does with it, and what other programs read of it."""

import configparser
import hashlib
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import metadata
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import openvino as ov
import pytest
import yaml
from conftest import ROOT

from detector.core.backend import raw_output
from detector.core.boxes import letterbox
from detector.core.frame_detector import FrameDetector
from detector.runtime.detector import Detector
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.common.coco import read_coco, read_image

LOCK = ROOT / "requirements/openvino.txt"
RUNTIME = {"numpy", "opencv-python", "openvino", "openvino-telemetry"}
F32 = {"INFERENCE_PRECISION_HINT": "f32"}
FILES = {
    "Containerfile", "LICENSE", "README.md", "THIRD_PARTY.md",
    "cpu_detector-0.1.0-py3-none-any.whl", "detector.service", "example.py", "frigate/config.yml",
    "frigate/labels.txt", "frigate/yolox.bin", "frigate/yolox.xml", "labels.txt", "model/README.md",
    "model/yolox.bin", "model/yolox.xml", "operating_point.json", "ovms/config.json",
    "ovms/models/detector/1/yolox.bin", "ovms/models/detector/1/yolox.xml", "requirements.txt",
}  # fmt: skip


def run_bundle(model: Path, out: Path, **how) -> subprocess.CompletedProcess:
    """The stage as DVC runs it, in a process of its own: OpenVINO numbers layers within one."""
    return subprocess.run(
        [sys.executable, "-m", "stages.bundle", model, LOCK, out],
        capture_output=True, text=True, **{"cwd": ROOT, **how},
    )  # fmt: skip


def unpacked(model: Path, name: str, into: Path) -> Path:
    """A bundle of a model, unpacked below a folder; returns its own folder."""
    done = run_bundle(model, into / f"{name}.zip")
    assert done.returncode == 0, done.stderr
    zipfile.ZipFile(into / f"{name}.zip").extractall(into)
    return into / name


@pytest.fixture(scope="module")
def tiny(models, tmp_path_factory) -> Path:
    """An untrained INT8 model of three classes without a confidence of its own, 64x96."""
    return unpacked(models / "int8", "detector-int8", tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def real(trained, tmp_path_factory) -> Path:
    """The bundled weights as FP16, 256x448, confidence 0.6."""
    return unpacked(trained / "ir", "detector-fp16", tmp_path_factory.mktemp("for a stranger"))


def test_the_same_inputs_give_the_same_bytes(models, tiny, tmp_path):
    settings = {"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)}
    settings["SOURCE_DATE_EPOCH"] = "1700000000"
    out = tmp_path / "deep/detector-int8.zip"
    done = run_bundle(models / "int8", out, cwd=tmp_path, umask=0o077, env=settings)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == (tiny.parent / "detector-int8.zip").read_bytes()


def test_a_zip_holds_one_folder_readable_for_all_and_nothing_of_this_machine(tiny):
    with zipfile.ZipFile(tiny.parent / "detector-int8.zip") as archive:
        members = archive.infolist()
        assert {member.filename for member in members} == {f"{tiny.name}/{name}" for name in FILES}
        assert {stat.S_IMODE(member.external_attr >> 16) for member in members} == {0o644}
        assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
        told = b"".join(archive.read(member) for member in members)
    for fact in (str(ROOT), str(Path.home()), sys.prefix):
        assert fact.encode() not in told
    with zipfile.ZipFile(next(tiny.glob("*.whl"))) as wheel:
        assert not [name for name in wheel.namelist() if name.startswith(("stages", "tests"))]
        assert "detector/video/cli.py" in wheel.namelist()


@pytest.mark.parametrize("kind", ["tiny", "real"])
def test_texts_say_what_the_model_says(kind, request):
    folder = request.getfixturevalue(kind)
    with Detector(folder / "model") as detector:
        labels, point = detector.backend.labels, detector.backend.operating_point
    assert (folder / "labels.txt").read_text().splitlines() == labels
    assert json.loads((folder / "operating_point.json").read_text()) == point
    named = {"tiny": "INT8", "real": "FP16"}[kind]
    for name in ("README.md", "model/README.md"):
        assert f"YOLOX in {named}" in (folder / name).read_text()
        assert ("0.6 the model finds 92 %" in (folder / name).read_text()) == (kind == "real")
    for path in (folder / "model").glob("yolox.*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in (
            (folder / "model/README.md").read_text()
        )
    readme = (folder / "README.md").read_text()
    assert len(readme.splitlines()) <= 50, "one screen"
    for name in re.findall(r"^\| (.*?) \|", readme, re.MULTILINE)[2:]:
        for pattern in re.findall("`(.*?)`", name):
            assert list(folder.glob(pattern.rstrip("/"))), pattern


@pytest.mark.parametrize("spoiled", ["model", "lock"])
def test_what_cannot_be_packed_is_refused_in_one_line(models, tmp_path, spoiled):
    shutil.copytree(models / "int8", tmp_path / "int8")
    lock, out = tmp_path / "lock.txt", tmp_path / "out/detector.zip"
    lock.write_text(LOCK.read_text().replace("\nopenvino==", "\nopenvinx=="))
    if spoiled == "model":
        lock = LOCK
        (tmp_path / "int8/yolox.bin").write_bytes(b"cut")
    done = subprocess.run(
        [sys.executable, "-m", "stages.bundle", tmp_path / "int8", lock, out],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    said = {"model": "does not belong to yolox.xml", "lock": "lacks openvino; run `make lock`"}
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and said[spoiled] in done.stderr
    assert not out.parent.exists()


# --- models for other programs


@pytest.mark.parametrize("kind", ["tiny", "real"])
@pytest.mark.parametrize("program", ["ovms/models/detector/1", "frigate"])
def test_a_served_model_takes_bytes_and_computes_what_the_detector_does(kind, program, request):
    folder = request.getfixturevalue(kind)
    backend = OpenVinoBackend(folder / "model", "f32")
    input_hw, side = backend.input_hw, min(backend.input_hw)
    frame_hw = (side, side) if program == "frigate" else input_hw
    model = ov.Core().read_model(folder / program / "yolox.xml")
    (taken,), (given,) = model.inputs, model.outputs
    assert (taken.get_names(), given.get_names()) == ({"images"}, {"output"})
    assert (taken.element_type, list(taken.shape)) == (ov.Type.u8, [1, *frame_hw, 3])
    assert taken.node.layout == ov.Layout("NHWC") and given.element_type == ov.Type.f32
    frame_bgr = np.random.default_rng(0).integers(0, 256, (*frame_hw, 3), np.uint8)
    expected = raw_output(backend, letterbox(frame_bgr, input_hw))
    output = ov.Core().compile_model(model, "CPU", F32)(frame_bgr[None])[0][0]
    assert list(given.shape) == [1, *expected.shape]
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)


# What `ovms` checks a config.json against, for models alone:
# https://github.com/openvinotoolkit/model_server/blob/main/src/schema.cpp, and in words
# https://docs.openvino.ai/2025/model-server/ovms_docs_parameters.html
OVMS_SCHEMA = {
    "type": "object",
    "required": ["model_config_list"],
    "additionalProperties": False,
    "properties": {
        "model_config_list": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["config"],
                "additionalProperties": False,
                "properties": {
                    "config": {
                        "type": "object",
                        "required": ["name", "base_path"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "base_path": {"type": "string"},
                            "layout": {"type": ["object", "string"]},
                            "nireq": {"type": "integer", "minimum": 0},
                            "plugin_config": {"type": "object"},
                            "shape": {"type": ["object", "string"]},
                            "target_device": {"type": "string"},
                        },
                    }
                },
            },
        }
    },
}


def test_model_server_finds_a_version_of_the_model_it_is_told_of(tiny):
    config = json.loads((tiny / "ovms/config.json").read_text())
    jsonschema.validate(config, OVMS_SCHEMA)
    (entry,) = config["model_config_list"]
    # "The path can be also relative to the config.json location", parameters above; a folder of a
    # positive whole number is a version: https://docs.openvino.ai/2025/model-server/ovms_docs_models_repository.html
    versions = list((tiny / "ovms" / entry["config"]["base_path"]).iterdir())
    assert [version.name for version in versions] == ["1"]
    assert sorted(path.suffix for path in versions[0].iterdir()) == [".bin", ".xml"]
    assert f"The model `{entry['config']['name']}` takes" in (tiny / "README.md").read_text()


# Keys and values: https://docs.frigate.video/configuration/reference
FRIGATE_MODEL = {
    "path": "/config/detector/yolox.xml", "labelmap_path": "/config/detector/labels.txt",
    "model_type": "yolo-generic", "input_tensor": "nhwc", "input_pixel_format": "bgr",
    "input_dtype": "int",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "confidence"), [("tiny", 0.4), ("real", 0.6)])
def test_the_configuration_of_frigate_has_the_keys_that_it_documents(kind, confidence, request):
    folder = request.getfixturevalue(kind)
    config = yaml.safe_load((folder / "frigate/config.yml").read_text())
    labels = (folder / "labels.txt").read_text().splitlines()
    side = ov.Core().read_model(folder / "frigate/yolox.xml").inputs[0].shape[1]
    assert config.pop("detectors") == {"openvino": {"type": "openvino", "device": "CPU"}}
    assert config.pop("model") == {**FRIGATE_MODEL, "width": side, "height": side}
    both = {"min_score": confidence, "threshold": confidence}
    assert config == {"objects": {"track": labels, "filters": dict.fromkeys(labels, both)}}
    # A number before each name, so that a name that begins with a number is none.
    numbered = (folder / "frigate/labels.txt").read_text().splitlines()
    assert numbered == [f"{number} {label}" for number, label in enumerate(labels)]


FRIGATE_SCORE, FRIGATE_IOU, FRIGATE_MOST = 0.4, 0.4, 20


def frigate_boxes(output: np.ndarray, side: int, corners_as_sizes: bool) -> np.ndarray:
    """What Frigate makes of an output [1, 4 + classes, anchors] of the type yolo-generic.

    Above a score of 0.4 boxes become corners, NMS at 0.4 does not look at classes, and 20 are
    reported at most: class, score, y0, x0, y1, x1 as shares of the side. As in its source of July
    2026, OpenCV's NMS may be given right and bottom where it expects width and height.
    """
    rows = output[0].T
    rows = rows[rows[:, 4:].max(axis=1) > FRIGATE_SCORE]
    scores = rows[:, 4:].max(axis=1)
    corners = np.hstack([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2])
    boxes = corners if corners_as_sizes else np.hstack([corners[:, :2], rows[:, 2:4]])
    kept = np.array(cv2.dnn.NMSBoxes(boxes, scores, FRIGATE_SCORE, FRIGATE_IOU), int).reshape(-1)
    kept = kept[:FRIGATE_MOST]
    shares = corners[kept][:, [1, 0, 3, 2]] / side
    return np.column_stack([rows[kept, 4:].argmax(axis=1), scores[kept], shares])


@pytest.mark.parametrize("corners_as_sizes", [False, True])
def test_frigate_gets_the_boxes_of_the_detector(real, trained, corners_as_sizes):
    backend, found = OpenVinoBackend(real / "model", "f32"), 0
    detector = FrameDetector(backend, FRIGATE_SCORE, FRIGATE_IOU)
    served = ov.Core().compile_model(real / "frigate/yolox.xml", "CPU", F32)
    side = min(backend.input_hw)
    for image in read_coco(trained / "split/val.json")["images"]:
        image_bgr = read_image(trained / "dataset/images" / image["file_name"])
        region_bgr = cv2.resize(image_bgr[:, 200:740], (side, side))
        ours = detector(region_bgr)
        theirs = frigate_boxes(served(region_bgr[None])[0], side, corners_as_sizes)
        assert corners_as_sizes or len(theirs) == len(ours)
        assert len(theirs) >= bool(len(ours)), "the best box is always kept"
        for label, score, *box_yxyx in theirs:
            box_xyxy = side * np.array(box_yxyx)[[1, 0, 3, 2]].clip(0, 1)
            apart = np.abs(ours.xyxy - box_xyxy).max(axis=1)
            assert apart.min() < 0.01 and abs(ours.confidence[apart.argmin()] - score) < 1e-4
            assert ours.class_id[apart.argmin()] == label
        found += len(theirs)
    assert found > 5


# --- files that describe a service


def test_the_unit_is_hardened_and_starts_what_is_in_the_bundle(tiny):
    text = (tiny / "detector.service").read_text()
    parsed = configparser.RawConfigParser(strict=False)  # Environment is there twice
    parsed.optionxform = str
    parsed.read_string(text)
    assert parsed.sections() == ["Unit", "Service", "Install"]
    service = dict(parsed["Service"])
    yes = ("DynamicUser", "NoNewPrivileges", "PrivateDevices", "PrivateTmp", "ProtectHome",
           "ProtectControlGroups", "ProtectKernelModules", "ProtectKernelTunables",
           "RestrictNamespaces", "RestrictSUIDSGID", "LockPersonality")  # fmt: skip
    assert {service[key] for key in yes} == {"yes"}
    assert service["ProtectSystem"] == "strict" and service["CapabilityBoundingSet"] == ""
    assert "MemoryDenyWriteExecute" not in service, "OpenVINO writes machine code"
    program, *options = shlex.split(service["ExecStart"])
    assert program == "/opt/detector/.venv/bin/detect"
    assert Path(options[options.index("--model") + 1]).relative_to("/opt/detector") == Path("model")
    told = subprocess.run(
        [sys.executable, "-m", "detector", "no such camera", *options[1:]],
        cwd=tiny, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert told.returncode == 1, "the options are those of `detect`"
    assert "no such camera" in told.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_understands_the_unit(tiny, tmp_path):
    """Its program is put where the unit expects it, or systemd would miss that and no more."""
    here = tmp_path / "detector.service"
    text = (tiny / "detector.service").read_text()
    here.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    done = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if here.name in line] == []


def test_the_container_copies_what_is_there_and_runs_as_nobody_special(tiny):
    text = (tiny / "Containerfile").read_text().replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line[:1] not in ("#", "")]
    assert steps[0][0] == "FROM"
    names = [name for name, _ in steps]
    assert names.index("USER") < names.index("ENTRYPOINT") and ["USER", "10001"] in steps
    for words in (shlex.split(rest) for name, rest in steps if name == "COPY"):
        assert all((tiny / source).exists() for source in words[:-1])
    commands = [c.split() for name, rest in steps if name == "RUN" for c in rest.split(" && ")]
    assert [words[0] for words in commands] == ["apt-get", "apt-get", "rm", "pip", "useradd"]
    assert {"install", "--require-hashes", "requirements.txt"} <= set(commands[3])


# --- what a stranger does


def test_the_lock_is_that_of_the_project_and_names_the_wheel(tiny):
    lines = (tiny / "requirements.txt").read_text().splitlines(keepends=True)
    wheel, digest = re.fullmatch(r"\./(\S+) --hash=sha256:(\w+)\n", lines[1]).groups()
    assert hashlib.sha256((tiny / wheel).read_bytes()).hexdigest() == digest
    whole = LOCK.read_text()
    packages = re.split(r"^(?=\w)", "".join(lines[2:]), flags=re.MULTILINE)[1:]
    assert all(package in whole for package in packages)
    assert {package.split("==")[0] for package in packages} == RUNTIME


def test_licences_are_those_that_the_packages_name(tiny):
    text = (tiny / "THIRD_PARTY.md").read_text()
    table = re.findall(r"^\| ([\w-]+) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)[2:]
    assert {name for name, _, _ in table} == RUNTIME
    for name, versions, licence in table:
        facts = metadata(name)
        assert facts["Version"] in versions.split(" or ")
        given = [facts["License-Expression"], facts["License"], *facts.get_all("Classifier", [])]
        assert licence.split("-")[0].split()[0] in " ".join(filter(None, given)), name
    assert "Megvii" in text
    assert (tiny / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_bundles_are_artifacts_that_dvc_can_fetch(pipeline):
    artifacts = yaml.safe_load((ROOT / "dvc.yaml").read_text())["artifacts"]
    for key in ("int8", "fp16"):
        assert artifacts[f"bundle-{key}"]["path"] in pipeline[f"bundle@{key}"]["outs"]


def offline() -> list[str]:
    """What begins a command that has no network; nothing where that is not allowed."""
    words = ["unshare", "--user", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*words, "true"]).returncode == 0
    return words if allowed else []


@pytest.mark.slow
def test_the_readme_leads_a_stranger_to_the_boxes_of_the_detector(real, trained, tmp_path):
    """Its commands in an empty environment, in a folder with spaces, first its wheels by the way
    that it names for machines without a network, then all of the rest without one."""
    assert " " in str(real)
    image = read_coco(trained / "split/val.json")["images"][0]["file_name"]
    picture = tmp_path / "a picture.png"
    shutil.copy(trained / "dataset/images" / image, picture)
    readme = (real / "README.md").read_text()
    download = re.search("`(pip download .*?)`", readme)[1].replace(" wheels", f" {tmp_path}/w")
    venv.create(tmp_path / "loader", with_pip=True)
    run = {"cwd": real, "check": True, "text": True, "stdout": subprocess.PIPE}
    subprocess.run([tmp_path / "loader/bin/python", "-m", *shlex.split(download), "-q"], **run)
    settings = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{tmp_path}/w", "https_proxy": "http://127.0.0.1:9",
    }  # fmt: skip
    said = []
    for command in re.search(r"```sh\n(.*?)```", readme, re.DOTALL)[1].splitlines():
        words = [str(picture) if w == "YOUR.jpg" else w for w in shlex.split(command)]
        said.append(subprocess.run([*offline(), *words], env=settings, **run).stdout)
    with Detector(real / "model") as detector:
        ours = detector(cv2.imread(str(picture)))
    rows = [line.split() for line in said[2].splitlines()]
    assert len(rows) == len(ours) > 0
    for row, label, score, box_xyxy in zip(
        rows, ours.class_names, ours.confidence, ours.xyxy, strict=True
    ):
        assert row[0] == label and float(row[1]) == pytest.approx(float(score), abs=0.006)
        np.testing.assert_allclose([float(value) for value in row[2:]], box_xyxy, atol=0.06)
    assert (real / "drawn").is_dir()
    where = subprocess.run(
        [real / ".venv/bin/python", "-c", "import detector; print(detector.__file__)"],
        env=settings, **run,
    ).stdout  # fmt: skip
    assert Path(where.strip()).is_relative_to(real / ".venv")
    done = subprocess.run(
        [real / ".venv/bin/python", "example.py", "missing.jpg"],
        cwd=real, env=settings, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, "OpenCV warns too, in a line before this one"
    assert done.stderr.splitlines()[-1].startswith("give the file of a picture")
