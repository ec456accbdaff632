"""The workflows: pinned, with few rights, and made of what runs here as well."""

import os
import re
import subprocess

import pytest
import yaml
from conftest import ROOT

WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text())
    for path in (ROOT / ".github/workflows").glob("*.yml")
}
JOBS = {name: job for workflow in WORKFLOWS.values() for name, job in workflow["jobs"].items()}
STEPS = [step for job in JOBS.values() for step in job["steps"]]
SCRIPTS = [step["run"] for step in STEPS if "run" in step]
# A stand-in for GitHub's client, which needs GitHub: it writes down what it is told.
GH = """#!/usr/bin/env bash
for word in "$@"; do case "$word" in body=@*) cat "${word#body=@}" > body ;; esac; done
printf '%s ' "$@" >> calls; echo >> calls
case "$*" in *--paginate*) cat ids ;; esac
"""


def test_actions_are_pinned_by_commit_and_named_by_version():
    text = "".join(path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml"))
    used = re.findall(r"uses: (.*)", text)
    assert len(used) >= 9
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_jobs_may_only_read_but_for_the_comment():
    assert all(w["permissions"] == {"contents": "read"} for w in WORKFLOWS.values())
    rights = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert rights == {"review": {"contents": "read", "pull-requests": "write"}}
    checkouts = [step for step in STEPS if "checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_step_pastes_what_a_pull_request_says_into_a_shell():
    assert SCRIPTS and not [script for script in SCRIPTS if "${{" in script]


def test_steps_run_what_is_in_the_repository():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for script in SCRIPTS:
        for command in re.split(r"&&|\|\|", script):
            words = command.split()
            if words[0] == "make":
                assert words[1] in targets
            elif words[0].startswith(".ci/"):
                assert os.access(ROOT / words[0], os.X_OK)
            else:
                assert words[0] in ("cat", "touch", "true", "false")


@pytest.mark.parametrize(
    ("ids", "call"),
    [
        ("", "--method POST repos/me/it/issues/7/comments "),
        ("11\n12\n", "--method PATCH repos/me/it/issues/comments/11 "),
    ],
)
def test_the_comment_is_made_once_and_updated_afterwards(tmp_path, ids, call):
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "ids").write_text(ids)
    (tmp_path / "review.md").write_text("# `$(touch no)` \"quoted\" 'text'\n" + "x" * 70_000)
    subprocess.run(
        [ROOT / ".ci/comment", "review.md"], cwd=tmp_path, check=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "REPOSITORY": "me/it", "NUMBER": "7"},
    )  # fmt: skip
    listed, written = (tmp_path / "calls").read_text().splitlines()
    assert "--paginate repos/me/it/issues/7/comments" in listed
    assert call in written
    body = (tmp_path / "body").read_text()
    assert body.startswith("<!-- review of metrics -->\n# `$(touch no)` \"quoted\" 'text'\nxxx")
    assert len(body) < 65_536 and not (tmp_path / "no").exists()
