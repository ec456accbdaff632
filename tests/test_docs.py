"""The README: its picture, its table and its commands are those of the project."""

import re
from itertools import pairwise, permutations

import pytest
from conftest import PARAMS, ROOT
from test_dvc_yaml import declared

from stages.report.table import HEADINGS, NAMES

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
DOCS = ["README.md", "CONTRIBUTING.md", *PAGES]


def blocks(language: str, document: str = "README.md") -> list[str]:
    """The fenced blocks of a document in a language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_picture_shows_every_stage_and_only_real_edges(pipeline):
    drawn = set()
    for line in blocks("mermaid")[0].splitlines()[1:]:
        drawn |= set(pairwise(name.strip() for name in line.split("-->")))
    assert {name for edge in drawn for name in edge} == {name.split("@")[0] for name in pipeline}
    real = set()
    for before, after in permutations(pipeline, 2):
        written = declared(pipeline[before], "outs", "metrics", "plots")
        paths = declared(pipeline[after], "deps")
        given = {"${data.export}": PARAMS.data.export, "${data.pool}": PARAMS.data.pool}
        read = {given.get(path, path) for path in paths}
        if any(
            f"{path}/".startswith(f"{out}/") or out.startswith(f"{path}/")
            for path in read
            for out in written
        ):
            real.add((before.split("@")[0], after.split("@")[0]))
    assert drawn <= real


def test_the_results_have_the_columns_and_rows_of_the_report():
    shown = re.search(r"<!-- results: .*? -->\n(.*?)<!-- end of results -->", README, re.DOTALL)[1]
    table = [line for line in shown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert tuple(cells[0]) == HEADINGS
    assert [row[0] for row in cells[2:]] == list(NAMES.values())


def first_column(head: str) -> list[str]:
    """The cells of the first column of a table of the README."""
    table = README.split(head)[1].split("\n\n")[0]
    return re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[1:]


def test_paths_named_in_the_table_of_folders_exist():
    names = re.findall(r"`(.*?)`", "".join(first_column("| path | what is there |")))
    assert names and not [name for name in names if not (ROOT / name).exists()]


@pytest.mark.parametrize("document", DOCS)
def test_links_to_files_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)(.*?)\)", text):
        assert (ROOT / document).parent.joinpath(target).exists(), target


def test_dependencies_named_are_those_that_are_installed():
    named = {name.strip() for name in ",".join(first_column("| package | for |")).split(",")}
    lists = "\n".join(path.read_text() for path in (ROOT / "requirements").glob("*.in"))
    assert named == set(re.findall(r"^([^#\s\[<>=-][^\[<>=\s]*)", lists, re.MULTILINE))
