"""Files are written whole or not at all."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from stages.common import files
from stages.common.files import (
    as_markdown,
    atomic_path,
    exchange,
    read_json,
    size_mb,
    write_csv,
    write_json,
)
from stages.common.metrics import read_metrics, with_details
from stages.common.run import UserError


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


# Replaces a folder of files that all hold one number, over and over, until it is killed.
REPLACER = """
import itertools, sys
from pathlib import Path
from stages.common.files import atomic_path
for number in itertools.count(int(sys.argv[2])):
    with atomic_path(Path(sys.argv[1])) as tmp:
        (tmp / "deep").mkdir(parents=True)
        for name in "abcdefgh":
            (tmp / "deep" / name).write_text(str(number))
    print(number, flush=True)
"""


def exchange_works(folder: Path) -> bool:
    for name in ("one", "other"):
        (folder / name).mkdir()
    works = exchange(folder / "one", folder / "other")
    for name in ("one", "other"):
        (folder / name).rmdir()
    return works


def test_a_killed_process_leaves_a_whole_folder_and_the_next_run_cleans_up(tmp_path):
    if not exchange_works(tmp_path):
        pytest.skip("this file system cannot exchange two names")
    out = tmp_path / "out"
    last = 0
    for attempt in range(25):
        child = subprocess.Popen(
            [sys.executable, "-c", REPLACER, str(out), str(last + 1)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert int(child.stdout.readline()) == last + 1
        until = time.monotonic() + attempt * 0.0013
        while time.monotonic() < until:
            assert out.is_dir()
        child.kill()
        done = [last + 1, *map(int, child.stdout.read().split())]
        child.wait()
        (number,) = {int(text) for text in left(out).values()}
        assert len(left(out)) == 8
        # Killed behind the exchange, it may not have told the last number.
        assert number in (done[-1], done[-1] + 1)
        scratch = [path for path in tmp_path.iterdir() if path != out]
        assert all(path.name.startswith(f".out-{child.pid}-") for path in scratch)
        last = number
    with atomic_path(out) as tmp:
        tmp.mkdir()
    assert list(tmp_path.iterdir()) == [out]


def test_only_leftovers_of_the_dead_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stays = [f".out-{os.getpid()}-abcdefgh", ".out-1-abcdefgh", f".o-{dead.pid}-abcdefgh",
             f".out-{dead.pid}", f"out-{dead.pid}-abcdefgh", ".out-x-abcdefgh"]  # fmt: skip
    for name in [*stays, f".out-{dead.pid}-abcdefgh"]:
        write_json(tmp_path / name / "deep/file", 1)
    write_json(tmp_path / "out.json", 1)
    assert {path.name for path in tmp_path.iterdir()} == {*stays, "out.json"}


@pytest.mark.parametrize("old", ["file", "folder", "link", "dangling link"])
def test_a_folder_replaces_anything_where_names_cannot_be_exchanged(tmp_path, monkeypatch, old):
    monkeypatch.setattr(files, "exchange", lambda one, other: False)
    out = tmp_path / "out"
    if old == "file":
        out.write_text("1")
    elif old == "folder":
        write_json(out / "old", 1)
    else:
        out.symlink_to("nowhere" if "dangling" in old else tmp_path)
    with atomic_path(out) as tmp:
        tmp.mkdir()
        (tmp / "new").write_text("2")
    assert not out.is_symlink()
    assert left(tmp_path) == {"out/new": "2"}


@pytest.mark.parametrize("failure", [ValueError, OSError(errno.ENOSPC, "full"), None])
def test_no_folder_that_was_created_stays_after_a_failure(tmp_path, failure):
    (tmp_path / "deep").mkdir()
    out = tmp_path / "deep/deeper/deepest/out"
    expected = UserError if isinstance(failure, OSError | None) else failure
    with pytest.raises(expected), atomic_path(out) as tmp:
        if failure:
            raise failure
        tmp.with_name("nothing").rename(tmp)
    assert [path.name for path in tmp_path.rglob("*")] == ["deep"]


def test_an_error_of_another_file_is_not_told_as_one_of_the_output(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic_path(tmp_path / "out"):
        (tmp_path / "elsewhere").read_text()
    with pytest.raises(OSError, match="damaged"), atomic_path(tmp_path / "out"):
        raise OSError("damaged")


def test_json_is_sorted_and_readable(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": "ü",\n  "b": 1\n}\n'
    assert size_mb(tmp_path) == size_mb(tmp_path / "a.json") == 0.0


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b"[" * 200_000])
def test_what_is_no_json_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_metrics_show_some_figures_and_keep_all(tmp_path):
    figures = {"AP": 0.5, "images": 3, "per_class": {"a": {"AP": 0.5}}, "interval": [0.1, 0.9]}
    written = with_details(figures, "AP")
    assert written == {"AP": 0.5, "details": [{k: v for k, v in figures.items() if k != "AP"}]}
    write_json(tmp_path / "m.json", {"int8": written, "host": {"cpu": "x"}})
    assert read_metrics(tmp_path / "m.json") == {"int8": figures, "host": {"cpu": "x"}}


@pytest.mark.parametrize(
    ("cell", "written"),
    [("LP", "LP"), ("=1+1", "'=1+1"), ("@SUM(1)", "'@SUM(1)"), ("+1", "'+1"), ("-x", "'-x"),
     (-1.5, "-1.5"), ("a=b", "a=b"), ("", "")],
)  # fmt: skip
def test_a_text_is_no_formula_in_a_table(tmp_path, cell, written):
    write_csv(tmp_path / "a.csv", ("class", "points"), [(cell, 1)])
    assert (tmp_path / "a.csv").read_text() == f"class,points\n{written},1\n"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("[320, 544] LP_1 *", "[320, 544] LP_1 *"),
        ("<script>", "&#60;script>"),
        (
            "![x](http://a/b.png) [y](javascript:z)",
            "![x]&#40;http://a/b.png) [y]&#40;javascript:z)",
        ),
        ("a | b", "a &#124; b"),
        ("@someone", "&#64;someone"),
    ],
)
def test_a_text_is_only_text_in_markdown(text, written):
    assert as_markdown(text) == written
