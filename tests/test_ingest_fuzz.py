"""Thousands of broken exports: `ingest` accepts the valid ones, refuses the rest, never crashes.

Each case is named by a seed and a number and can be run again from these alone.
"""

import json
import math
import random
import shutil
import signal
from copy import deepcopy
from pathlib import Path

import pytest
from test_ingest import JSON, as_folder, as_zip, encoded, rectangle

from stages.common.run import UserError
from stages.ingest import __main__ as ingest

WIDTH, HEIGHT = 8, 6
MAX_SECONDS = 10
LISTS = ("categories", "images", "annotations")
ODD = [
    None, True, False, 0, 1, -1, 2, 3, 99, 0.5, -0.5, 3.0, 1e9, -1e9, 1e18, 1e308, -1e308, 5e-324,
    10**30, -(10**30), 2**63, 10**400, math.nan, math.inf, -math.inf, "", " ", "1", "x", "a.png",
    "A.PNG", "../a.png", "/a.png", "a/../a.png", "./a.png", "a.png/", "\0", "\ud800", "\u202e",
    "é", "e\u0301", "a" * 300, "b/" * 600, "%s{0}$(x)", "\x1b[31m", "line\nbreak", [], {}, [[]],
    [0, 0, 0, 0], [1, 1, 2, 2], [-1, -1, 3, 3], [0, 0, 1e999, 1], {"counts": [1], "size": [6, 8]},
    {"rotation": 45}, {"rotation": 1e300}, {"id": 1}, {"rotation": "x"},
]  # fmt: skip


def base() -> dict:
    """Return a valid JSON with everything that CVAT may write."""
    size = {"width": WIDTH, "height": HEIGHT}
    boxes = [
        rectangle(1, 1, 1, [1.0, 1.0, 4.0, 3.0]),
        rectangle(2, 1, 2, [2.5, 0.25, 5.5, 4.75]),
        rectangle(3, 2, 2, [0.0, 0.0, 8.0, 6.0]),
        rectangle(4, 3, 3, [3, 2, 2, 2], attributes={"rotation": 30.0, "track_id": 1}),
        rectangle(5, 3, 1, [1, 1, 3, 3], segmentation=[[1, 1, 4, 1, 4, 4]]),
        rectangle(6, 3, 1, [1, 1, 3, 3], iscrowd=1, segmentation={"counts": [1], "size": [6, 8]}),
    ]
    return {
        "licenses": [],
        "info": {},
        "categories": [{"id": i, "name": n, "supercategory": ""} for i, n in enumerate("xyz", 1)],
        "images": [{"id": i, "file_name": f"{n}.png", **size} for i, n in enumerate("abcd", 1)],
        "annotations": boxes,
    }


def image_files() -> dict[str, bytes]:
    return {
        f"images/default/{name}.png": encoded(seed, "PNG", (WIDTH, HEIGHT))
        for seed, name in enumerate("abcd")
    }


def places(node: object) -> list[tuple[list | dict, int | str]]:
    """Return all values below a node: their container, and the index or key in it."""
    if not isinstance(node, list | dict):
        return []
    keys = list(node) if isinstance(node, dict) else range(len(node))
    return [(node, key) for key in keys] + [p for key in keys for p in places(node[key])]


def mutate(content: dict, rng: random.Random) -> None:
    """Change the structure once, in place."""
    every = places(content)
    if not every:
        return
    (holder, key), (other, other_key) = rng.choice(every), rng.choice(every)
    value, kind = holder[key], rng.randrange(8)
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(rng.randint(0, len(holder)), deepcopy(value))
    elif kind == 2:
        holder[key] = rng.choice([[value], {"id": value}, str(value), [value, deepcopy(value)]])
    elif kind == 3:
        holder[key] = deepcopy(other[other_key])
    elif kind in (4, 5) and number:
        steps = [-value, value + 1, value - 1, value * 10, value + 0.004, value / 3, float(value)]
        holder[key] = rng.choice(steps)
    elif kind == 6 and isinstance(holder, dict):
        holder[rng.choice(["id", "bbox", "file_name", "iscrowd", "é"])] = holder.pop(key)
    else:
        holder[key] = deepcopy(rng.choice(ODD))


def mutated_text(text: bytes, rng: random.Random) -> bytes:
    """Change the bytes once."""
    start = rng.randrange(len(text))
    end = min(len(text), start + rng.choice([1, 1, 2, 8, 100]))
    byte = bytes([rng.randrange(256)])
    inserted = rng.choice([b"", byte, text[start:end] * 2, b"\xff\xfe", b"{["])
    return text[:start] + inserted + text[end:]


def case_of(rng: random.Random) -> bytes:
    content = base()
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        mutate(content, rng)
    text = json.dumps(content).encode()
    return mutated_text(text, rng) if rng.random() < 0.3 else text


def check(out: Path) -> None:
    """Check what holds for every data set, without the code of the stage."""
    coco = json.loads((out / "annotations.json").read_text(encoding="utf-8"))
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))["boxes"] > 0
    for key in LISTS:
        assert [entry["id"] for entry in coco[key]] == list(range(1, len(coco[key]) + 1))
    names = [category["name"] for category in coco["categories"]]
    assert all(name.strip() for name in names)
    assert len(set(names)) == len(names)
    images = {image["id"]: image for image in coco["images"]}
    files = {p.relative_to(out / "images").as_posix() for p in out.rglob("*.png") if p.is_file()}
    assert {image["file_name"] for image in images.values()} == files
    for box in coco["annotations"]:
        image = images[box["image_id"]]
        assert 1 <= box["category_id"] <= len(names)
        x, y, width, height = box["bbox"]
        assert min(x, y) >= 0
        assert min(width, height) > 0
        assert x + width <= image["width"] + 1e-9
        assert y + height <= image["height"] + 1e-9


def judge(export: Path, out: Path) -> bool:
    """Run one case under a time limit; return whether it was accepted."""

    def too_slow(*_: object) -> None:
        pytest.fail(f"took more than {MAX_SECONDS} s")

    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(MAX_SECONDS)
    try:
        ingest.main(export, out)
    except UserError as refusal:
        assert len(str(refusal).splitlines()) == 1
        assert str(refusal).isprintable()
        assert {path.name for path in out.parent.iterdir()} == {export.name}
        return False
    finally:
        signal.alarm(0)
    check(out)
    shutil.rmtree(out)
    return True


SEEDS = [pytest.param(seed, 1000, marks=pytest.mark.slow, id=f"{seed}") for seed in range(10)]


@pytest.mark.parametrize(("seed", "count"), [pytest.param(0, 100, id="fast"), *SEEDS])
def test_mutated_annotation_files(tmp_path, monkeypatch, capsys, seed, count):
    monkeypatch.chdir(tmp_path)
    export = as_folder(tmp_path / "in", {JSON: base(), **image_files()})
    accepted = 0
    for number in range(count):
        print(f"case {number}")  # shown where it fails
        (export / JSON).write_bytes(case_of(random.Random(f"{seed} {number}")))
        accepted += judge(export, tmp_path / "out")
        capsys.readouterr()
    assert count / 10 < accepted < count / 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_mutated_zips(tmp_path, monkeypatch, capsys, seed):
    monkeypatch.chdir(tmp_path)
    export = as_zip(tmp_path / "in.zip", {JSON: base(), **image_files()})
    whole = export.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    accepted = 0
    for number in range(100):
        print(f"case {number}")
        rng = random.Random(f"{seed} {number}")
        data = bytearray(whole[: rng.randrange(len(whole))] if number % 5 == 0 else whole)
        for _ in range(rng.choice([1, 2, 20])):
            # Half of the changes go into the list of members, the part that zips are read by.
            first = rng.choice([0, min(directory, len(data) - 1)])
            data[rng.randrange(first, len(data))] ^= 1 << rng.randrange(8)
        export.write_bytes(data)
        accepted += judge(export, tmp_path / "out")
        capsys.readouterr()
    assert 0 < accepted < 60
