"""Files are written whole or not at all, and a command ends as it says."""

import json
import sys
from pathlib import Path

import pytest

from detector.errors import ModelError
from stages.common import cli
from stages.common.errors import Refusal
from stages.common.files import atomic_path, read_json, size_mb, write_json


def left(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("before", [{}, {"out/old": "1"}])
def test_a_failure_leaves_what_was_there(tmp_path, failure, before):
    for name, text in before.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    with pytest.raises(failure), atomic_path(tmp_path / "out") as tmp:
        tmp.mkdir()
        (tmp / "new").write_text("2")
        raise failure
    assert left(tmp_path) == before


@pytest.mark.parametrize("old", ["nothing", "file", "folder"])
@pytest.mark.parametrize("new", ["file", "folder"])
def test_a_new_output_replaces_the_old_one(tmp_path, old, new):
    out = tmp_path / "deep" / "out"
    if old == "file":
        write_json(out, 1)
    elif old == "folder":
        write_json(out / "old", 1)
    with atomic_path(out) as tmp:
        if new == "file":
            tmp.write_text("2")
        else:
            tmp.mkdir()
            (tmp / "new").write_text("2")
    assert left(tmp_path) == {"deep/out" if new == "file" else "deep/out/new": "2"}


def test_json_is_sorted_and_readable(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": "ü",\n  "b": 1\n}\n'
    assert size_mb(tmp_path) == size_mb(tmp_path / "a.json") == 0.0


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b"[" * 200_000])
def test_what_is_no_json_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(Refusal, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def example(first: Path, name: str, last: Path | None) -> None:
    """Does nothing."""
    raise {"refuse": Refusal, "model": ModelError, "stop": KeyboardInterrupt}[name](
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
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.run_stage(example)
    assert ended.value.code == status
