"""Kinds of checkout that people work in: everywhere the same plan, and a review that works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

DRY = (sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing")
REVIEW = (sys.executable, "-m", "tools.review")


def run(folder: Path, *command: str, status: int | None = 0, **environment: str) -> str:
    """The output of a command that ends with a status, standard error included."""
    process = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )  # fmt: skip
    assert status in (None, process.returncode), process.stdout
    return process.stdout


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "-A")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    run(folder, "git", *author, "commit", "-q", "-m", message)


def planned(folder: Path) -> set[str]:
    """The stages that `dvc repro` would run; in a tree under work it stops at absent data."""
    told = run(folder, *DRY, status=None)
    assert "stage" in told
    return set(re.findall("^Running stage '(.*?)'", told, re.MULTILINE)) - {"host"}


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """This repository in two commits, of which the second changes a parameter and a figure."""
    folder = tmp_path_factory.mktemp("origin")
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard")
    for name in (name for name in listed.splitlines() if (ROOT / name).is_file()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    run(folder, "git", "init", "-q", "-b", "main")
    drop, params = folder / "metrics/drop.json", folder / "params.yaml"
    final = drop.read_text(), params.read_text()
    drop.write_text(re.sub(r'("int8": \{\s*"AP": )[\d.]+', r"\g<1>77.7", final[0]))
    params.write_text(re.sub(r"(?m)^  seconds: .*$", "  seconds: 7.7", final[1]))
    commit(folder, "before")
    drop.write_text(final[0])
    params.write_text(final[1])
    commit(folder, "after")
    return folder


def clone(origin: Path, path: Path, *options: str) -> Path:
    run(origin, "git", "clone", "-q", *options, origin.as_uri(), str(path))
    return path


def worktree(origin: Path, path: Path) -> Path:
    run(origin, "git", "worktree", "add", "-q", "--detach", str(path))
    return path


def submodule(origin: Path, path: Path) -> Path:
    path.mkdir()
    run(path, "git", "init", "-q")
    allowed = ("-c", "protocol.file.allow=always")
    run(path, "git", *allowed, "submodule", "--quiet", "add", origin.as_uri(), "detector project")
    return path / "detector project"


KINDS = {
    "a path with spaces, umlauts and #": lambda origin, folder: clone(origin, folder / "a b ü #1"),
    "a worktree": lambda origin, folder: worktree(origin, folder / "tree"),
    "a submodule": lambda origin, folder: submodule(origin, folder / "super"),
    "core.autocrlf": lambda origin, folder: clone(
        origin, folder / "crlf", "-c", "core.autocrlf=true"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_checkout_plans_the_same_and_is_reviewed(origin, tmp_path, kind):
    folder = KINDS[kind](origin, tmp_path)
    assert run(folder, "git", "status", "--porcelain") == ""
    assert planned(folder) == planned(origin)
    page = reviewed(folder, tmp_path)
    assert re.search(r"\| INT8 drop, AP points \| 77\.7 \|", page)
    assert "| benchmark.seconds | 7.7 |" in page


def reviewed(folder: Path, tmp_path: Path, *prefix: str) -> str:
    """The page of a review that writes nothing into the checkout."""
    run(folder, *prefix, *REVIEW, "HEAD~1", str(tmp_path / "review.md"))
    assert run(folder, "git", "status", "--porcelain") == ""
    return (tmp_path / "review.md").read_text(encoding="utf-8")


def test_a_read_only_clone_is_reviewed_and_a_shared_clone_of_it_knows_all_of_dvc(origin, tmp_path):
    folder = clone(origin, tmp_path / "fixed")
    # Root may write everywhere, unless it gives that up.
    given_up = "--bounding-set=-dac_override,-dac_read_search"
    prefix = () if os.getuid() else ("setpriv", given_up)
    run(folder, "chmod", "-R", "a-w", ".")
    try:
        assert run(folder, *prefix, "touch", "new", status=1)
        assert "| benchmark.seconds | 7.7 |" in reviewed(folder, tmp_path, *prefix)
        run(folder, *prefix, "git", "clone", "-q", "--shared", ".", str(tmp_path / "copy"))
    finally:
        run(folder, "chmod", "-R", "u+w", ".")
    diff = run(tmp_path / "copy", sys.executable, "-m", "dvc", "metrics", "diff", "HEAD~1")
    assert "77.7" in diff


def test_a_shallow_clone_and_another_owner_are_told_what_to_do(origin, tmp_path):
    folder = clone(origin, tmp_path / "shallow", "--depth", "1")
    command = (*REVIEW, "HEAD~1", str(tmp_path / "review.md"))
    told = run(folder, *command, status=1)
    assert "invalid object name 'HEAD~1'" in told and "fetch that first" in told
    run(folder, "git", "fetch", "-q", "--deepen", "1")
    assert "review.md" in run(folder, *command)
    told = run(folder, *command, status=1, GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert "dubious ownership" in told and "safe.directory" in told
    assert told.count("\n") == 1
