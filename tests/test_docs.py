"""The README: its picture, its table and its commands are those of the project."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT
from test_dvc_yaml import DVC_YAML, declared

from stages.report.table import HEADINGS, NAMES

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]


def blocks(language: str, document: str = "README.md") -> list[str]:
    """The fenced blocks of a document in a language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def edges() -> set[tuple[str, str]]:
    """Pairs of stages of dvc.yaml: one writes what the other reads."""
    stages = {name: stage.get("do", stage) for name, stage in DVC_YAML["stages"].items()}
    items = {name: stage.get("foreach", {}) for name, stage in DVC_YAML["stages"].items()}
    outs, deps = {}, {}
    for name, stage in stages.items():
        expand = [
            lambda text, k=k, v=v: text.replace("${key}", k).replace("${item}", v)
            for k, v in items[name].items()
        ] or [lambda text: text.replace("${data.export}", "data/synthetic.zip")]
        outs[name] = {f(p) for f in expand for p in declared(stage, "outs", "metrics", "plots")}
        deps[name] = {f(p) for f in expand for p in declared(stage, "deps")}
    return {
        (before, after)
        for before, written in outs.items()
        for after, read in deps.items()
        if any(r == w or r.startswith(f"{w}/") for r in read for w in written)
    }


def test_the_picture_shows_every_stage_and_only_real_edges():
    drawn = set()
    for line in blocks("mermaid")[0].splitlines()[1:]:
        names = [name.strip() for name in line.split("-->")]
        drawn |= set(pairwise(names))
    assert {name for edge in drawn for name in edge} == set(DVC_YAML["stages"])
    assert drawn <= edges()


def test_the_results_have_the_columns_and_rows_of_the_report():
    shown = re.search(r"<!-- results: .*? -->\n(.*?)<!-- end of results -->", README, re.DOTALL)[1]
    table = [line for line in shown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert tuple(cells[0]) == HEADINGS
    assert [row[0] for row in cells[2:]] == list(NAMES.values())


def test_paths_named_in_the_table_of_folders_exist():
    table = README.split("| path | what is there |")[1].split("\n\n")[0]
    for cell in re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[1:]:
        for name in re.findall(r"`(.*?)`", cell):
            assert Path(ROOT, name).exists(), name


@pytest.mark.parametrize("document", DOCS)
def test_links_to_files_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)(.*?)\)", text):
        assert (ROOT / document).parent.joinpath(target).exists(), target


def test_dependencies_named_are_those_that_are_installed():
    table = README.split("| package | for | licence |")[1].split("\n\n")[0]
    cells = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[1:]
    named = {name.strip() for cell in cells for name in cell.split(",")}
    wanted = set()
    for file in ("openvino.in", "openvino-dev.in", "dev.in", "modelapi.in"):
        for line in (ROOT / "requirements" / file).read_text().splitlines():
            if line and not line.startswith(("#", "-")):
                wanted.add(re.split(r"[\[<>=]", line)[0])
    assert named == wanted
