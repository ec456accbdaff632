"""A stage as a command: its options, and files that cannot be read or written."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

from detector import ModelError
from stages.common import run as runner
from stages.common.run import UserError, explain, parser_of

# A stage as any other: it writes IN to OUT, with a file that may be missing on the way.
STAGE = """
from pathlib import Path
from stages.common.run import run_stage
from stages.common.files import write_text

def main(source: Path, out: Path, *, extra_file: Path | None = None) -> None:
    text = source.read_text()
    if extra_file:
        with extra_file.open("w") as handle:
            handle.write(text)
    write_text(out, text)

run_stage(main)
"""


def positional(one: Path, name: str, three: Path | None) -> None:
    """Takes no option."""


def optional(export: Path | None, out: Path, *, images: Path | None = None, up_to: str = "x"):
    """Takes two options."""


PARSED = {
    "no option": (positional, ["a", "b"], {"one": Path("a"), "name": "b", "three": None}),
    "options left out": (optional, ["o"], {"export": None, "out": Path("o"), "images": None}),
    "option last": (optional, ["e", "o", "--images", "i"], {"images": Path("i"), "up_to": "x"}),
    "option first": (optional, ["--images", "i", "o"], {"images": Path("i"), "export": None}),
    "option between": (optional, ["e", "--images", "i", "o"], {"export": Path("e")}),
    "with a hyphen": (optional, ["--up-to", "y", "o"], {"up_to": "y", "out": Path("o")}),
    "with an equals sign": (optional, ["--images=i i", "o"], {"images": Path("i i")}),
}


@pytest.mark.parametrize("case", PARSED)
def test_arguments_follow_the_signature(case):
    main, words, expected = PARSED[case]
    arguments = vars(parser_of(main, "stage").parse_intermixed_args(words))
    assert {key: arguments[key] for key in expected} == expected


@pytest.mark.parametrize("words", [[], ["a", "b", "c"], ["--images"], ["o", "--image-dir", "i"]])
def test_other_words_are_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parser_of(optional, "stage").parse_intermixed_args(words)
    assert ended.value.code == 2
    assert "--images" in capsys.readouterr().err


def run(folder: Path, *words: str, max_bytes: int | None = None) -> subprocess.CompletedProcess:
    def limit() -> None:
        if max_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))

    (folder / "in").write_text("x" * 5000)
    (folder / "stage.py").write_text(STAGE)
    return subprocess.run(
        [sys.executable, "-m", "stage", *words],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )


FULL = Path("/dev/full")
# Words of the command, the largest file in bytes, the error, and the file that it names.
FAILURES = {
    "no such input": (["nothing", "out"], None, errno.ENOENT, "nothing"),
    "a folder as input": ([".", "out"], None, errno.EISDIR, "."),
    "output too large": (["in", "deep/out"], 4096, errno.EFBIG, "deep/out"),
    "a file in place of a folder": (["in", "in/deep/out"], None, errno.ENOTDIR, "in/deep"),
    "a name too long": (["in", "o" * 300], None, errno.ENAMETOOLONG, "o" * 300),
    "no folder for the option": (["in", "out", "--extra-file", "no/x"], None, errno.ENOENT, "no/x"),
    "full device": (["in", "out", "--extra-file", "/dev/full"], None, errno.ENOSPC, "a file"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_an_error_of_a_file_ends_in_one_line(tmp_path, case):
    words, max_bytes, number, named = FAILURES[case]
    if "/dev/full" in words and not FULL.exists():
        pytest.skip("/dev/full is not here")
    done = run(tmp_path, *words, max_bytes=max_bytes)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("stage: cannot")
    assert named in line
    assert os.strerror(number) in line
    assert {path.name for path in tmp_path.iterdir()} == {"in", "stage.py"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b: No space left on device"),
        (OSError("image file is truncated"), "a file or stream: image file is truncated"),
        (BrokenPipeError(), "a file or stream: BrokenPipeError"),
    ],
)
def test_any_error_of_a_file_is_explained(error, told):
    assert told in explain(error)


@pytest.mark.parametrize(
    ("by_dvc", "import_s", "ends"), [(True, 0, True), (True, 1, True), (False, 0, False)]
)
def test_a_stage_ends_with_the_dvc_that_started_it(tmp_path, by_dvc, import_s, ends):
    """DVC is killed and cannot tell; a stage that a user started in the background goes on."""
    stage = STAGE.replace("write_text(out, text)", "time.sleep(9)")
    slow = f"import stages, time; print(1, flush=True); time.sleep({import_s})"
    (tmp_path / "stage.py").write_text(slow + stage)
    (tmp_path / "in").write_text("x")
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'stage', 'in', 'out'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    variables = {"DVC_STAGE": "stage"} if by_dvc else {}
    dvc = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", **variables},
    )  # fmt: skip
    stage_id = int(dvc.stdout.readline())
    assert dvc.stdout.readline() == "1\n"
    dvc.kill()
    dvc.wait()
    time.sleep(2.5)
    running = psutil.pid_exists(stage_id) and (
        psutil.Process(stage_id).status() != psutil.STATUS_ZOMBIE
    )
    assert running != ends
    if running:
        os.kill(stage_id, signal.SIGKILL)


def example(first: Path, name: str, last: Path | None) -> None:
    """Does nothing."""
    raise {"refuse": UserError, "model": ModelError, "stop": KeyboardInterrupt}[name](
        json.dumps([str(first), str(last)], indent=1)
    )


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["a", "refuse", "b"], 'example: [ "a", "b" ]'),
        (["a", "refuse"], 'example: [ "a", "None" ]'),
        (["a", "model"], 'example: [ "a", "None" ]'),
        (["a", "stop"], 130),
        (["a"], 2),
        (["a", "refuse", "b", "c"], 2),
    ],
)
def test_exit_status(monkeypatch, arguments, status):
    """A text as status is printed on stderr, with exit status 1."""
    monkeypatch.setattr(sys, "argv", ["stages/example.py", *arguments])
    monkeypatch.setattr(runner.signal, "signal", lambda *_: None)
    monkeypatch.setitem(globals(), "__spec__", ModuleSpec("stages.example", None))
    with pytest.raises(SystemExit) as ended:
        runner.run_stage(example, ModelError)
    assert ended.value.code == status
