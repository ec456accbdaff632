"""Objects over frames: ids, lines and zones, the table of events."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.core.frame_detector import Detections
from detector.tracking.followed import Followed
from detector.tracking.objects import EVENTS, detail, event_folder
from detector.tracking.tracker import Tracker
from detector.tracking.zones import Crossings, Shape, points_of, read_shapes
from detector.video.sources import Frame, OptionError

FPS = 10
SIDE = 40


def found(*centers_scores: tuple[float, float, float], class_id: int = 0, ids=None) -> Detections:
    """Detections of squares around centers."""
    x, y, score = np.array(centers_scores, np.float32).reshape(-1, 3).T
    boxes_xyxy = np.stack([x - SIDE / 2, y - SIDE / 2, x + SIDE / 2, y + SIDE / 2], 1)
    classes = np.full(len(x), class_id)
    given = None if ids is None else np.array(ids)
    return Detections(boxes_xyxy, score, classes, ["LP"] * len(x), {}, given)


def frame(number: int, source: str = "a.mp4", moving: bool = True) -> Frame:
    image_bgr = np.zeros((400, 600, 3), np.uint8)
    return Frame(source, number, number / FPS, image_bgr, 0.0, 0.0, moving=moving)


def ids_of(per_frame: list[Detections], confidence: float = 0.5) -> list[list[int]]:
    tracker = Tracker(confidence, classes=2)
    return [tracker(one, number / FPS).tracker_id.tolist() for number, one in enumerate(per_frame)]


RIGHT = [(100 + 10 * n, 100, 0.9) for n in range(12)]


@pytest.mark.parametrize(
    ("per_frame", "expected"),
    [
        ([found(one) for one in RIGHT], [[-1]] + [[1]] * 11),
        (
            [found(one, (500 - 10 * n, 300, 0.8)) for n, one in enumerate(RIGHT)],
            [[-1, -1]] + [[1, 3]] * 11,
        ),
        # Not found in two frames, it is the same object afterwards.
        (
            [found(one) if n not in (5, 6) else found() for n, one in enumerate(RIGHT)],
            [[-1]] + [[1]] * 4 + [[], []] + [[1]] * 5,
        ),
        # A low score goes on with a track, and begins none.
        (
            [found((*one[:2], 0.2 if n in (4, 5) else 0.9)) for n, one in enumerate(RIGHT)],
            [[-1]] + [[1]] * 11,
        ),
        ([found((*one[:2], 0.2)) for one in RIGHT], [[]] * 12),
    ],
    ids=["one object", "two objects", "a gap", "a low score in between", "low scores only"],
)
def test_an_object_keeps_its_id(per_frame, expected):
    assert ids_of(per_frame) == expected


def test_after_a_second_it_is_another_object():
    tracker = Tracker(0.5, classes=1)
    times_s = [0.0, 0.1, 0.2, 1.6, 1.7]
    ids = [tracker(found((100, 100, 0.9)), time_s).tracker_id.tolist() for time_s in times_s]
    assert ids == [[-1], [1], [1], [-1], [2]]


def test_classes_have_confidences_of_their_own_and_share_no_id():
    tracker = Tracker(np.array([0.8, 0.3], np.float32), classes=2)
    for number in range(3):
        low = tracker(found((100, 100, 0.5), class_id=0), number / FPS)
        assert len(low) == 0
    ids = set()
    tracker = Tracker(np.array([0.3, 0.3], np.float32), classes=2)
    for number in range(3):
        for class_id in (0, 1):
            both = tracker(found((100, 100, 0.5), class_id=class_id), number + class_id / 2)
            ids.add((class_id, *both.tracker_id.tolist()))
    assert len({number for _, number in ids if number >= 0}) in (0, 2)


def test_between_detections_a_box_moves_on_as_it_did():
    tracker = Tracker(0.5, classes=1)
    for number in range(3):
        tracker(found((100 + 10 * number, 100, 0.9)), number / FPS)
    moved = tracker.carried_on(0.25)
    assert moved.xyxy[0] == pytest.approx([120 + 5 - 20, 80, 120 + 5 + 20, 120], abs=0.1)
    assert moved.tracker_id.tolist() == [1]


# Seen downwards, its left is the right side of the picture.
LINE = Shape("door", points_of([[300, 0], [300, 400]]))
ZONE = Shape("gate", points_of([[250, 50], [350, 50], [350, 150], [250, 150]]))


@pytest.mark.parametrize(
    ("path_xy", "expected"),
    [
        ([(200 + 20 * n, 100) for n in range(10)], {"left": 1, "right": 0, "gate": 1}),
        ([(400 - 20 * n, 100) for n in range(10)], {"left": 0, "right": 1, "gate": 1}),
        ([(200 + 20 * n, 300) for n in range(10)], {"left": 1, "right": 0, "gate": 0}),
        ([(200 + 5 * n, 100) for n in range(10)], {"left": 0, "right": 0, "gate": 0}),
        # It turns back beyond the line.
        (
            [(200 + 10 * min(n, 32 - n), 100) for n in range(33)],
            {"left": 1, "right": 1, "gate": 1},
        ),
        # A box that trembles on the line has not crossed it.
        ([(290, 100)] * 4 + [(302, 100), (298, 100)] * 4, {"left": 0, "right": 0, "gate": 1}),
    ],
    ids=["to the right", "to the left", "past the zone", "stops before", "turns back", "trembles"],
)
def test_lines_and_zones_count_objects(path_xy, expected):
    followed = Followed(lambda: Tracker(0.5, 1), [LINE, ZONE], None)
    for number, (x, y) in enumerate([path_xy[0], *path_xy]):
        followed(frame(number), found((x, y, 0.9)), True)
    counts = followed.log.counts
    assert {key.removeprefix("door "): value for key, value in counts.items()} == expected


def test_right_and_left_are_those_of_somebody_who_walks_along_the_line():
    """From (0, 200) to (600, 200) one walks to the right; the bottom is on one's right hand."""
    crossings = Crossings([Shape("a", points_of([[0, 200], [600, 200]]))])
    did = [crossings(found((300, y, 0.9), ids=[7])) for y in (150, 150, 250, 250)]
    assert did == [[], [], [], [(7, "a right")]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no lines and zones; expected"),
        ("{}", None),
        ('[{"name": "a"}]', "holds no lines and zones"),
        ('[{"name": "a", "points_xy": [[1, 2]]}]', "holds no lines and zones"),
        ('[{"name": "a", "points_xy": [[1, 2], [1, 2]]}]', "holds no lines and zones"),
        ('[{"name": "a", "points_xy": [[1, 2], [3, 1e9]]}]', "holds no lines and zones"),
        ('[{"name": "a", "points_xy": [[1, 2], [3, NaN]]}]', "holds no lines and zones"),
        ('[{"name": "a", "points_xy": [[1, 2], ["x", 4]]}]', "holds no lines and zones"),
        ("[" * 10_000, "holds no lines and zones"),
        ('[{"name": "a", "points_xy": [[1, 2], [3, 4]]}] ' * 1, None),
        (
            '[{"name": "a", "points_xy": [[1, 2], [3, 4]]}, '
            '{"name": "a", "points_xy": [[1, 2], [3, 4], [5, 9]]}]',
            "gives two lines or zones one name",
        ),
    ],
)
def test_a_file_of_lines_and_zones(tmp_path, content, message):
    path = tmp_path / "zones.json"
    path.write_text(content)
    if message is None:
        assert all(shape.is_line for shape in read_shapes(path))
    else:
        with pytest.raises(OptionError, match=message):
            read_shapes(path)


def rows_of(folder: Path) -> list[dict]:
    with (folder / EVENTS).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_events_hold_each_object_and_its_sharpest_view(tmp_path):
    """Of a plate that comes closer, the view that is large and in focus."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    with event_folder(tmp_path / "ev") as ended:
        followed = Followed(lambda: Tracker(0.5, 1), [ZONE], ended)
        for number in range(10):
            one = frame(number, source="=cmd.mp4")
            view = texture if number == 6 else cv2.GaussianBlur(texture, (0, 0), 3)
            one.image_bgr[80:120, 280:320] = view
            followed(one, found((300, 100, 0.6 + 0.01 * number)), True)
        assert rows_of(tmp_path / "ev") == []  # it is still there
        followed(frame(30, source="=cmd.mp4"), found(), True)
        (row,) = rows_of(tmp_path / "ev")
    assert (row["event"], row["id"], row["label"], row["did"]) == ("1", "1", "LP", "gate")
    assert (row["first_s"], row["last_s"], row["frames"]) == ("0.1", "0.9", "9")
    assert float(row["score"]) == pytest.approx(0.69) and row["source"] == "'=cmd.mp4"
    saved_bgr = cv2.imread(str(tmp_path / "ev/000001.jpg"))
    assert saved_bgr.shape == (SIDE, SIDE, 3)
    assert detail(saved_bgr) > 0.5 * detail(texture)
    with event_folder(tmp_path / "ev") as ended:  # a later run goes on with the table
        followed = Followed(lambda: Tracker(0.5, 1), [], ended)
        for number in range(3):
            followed(frame(number, "b.mp4"), found((300, 100, 0.9)), True)
        followed.log.close()
    assert [row["event"] for row in rows_of(tmp_path / "ev")] == ["1", "2"]
    assert {path.name for path in (tmp_path / "ev").iterdir()} == {
        EVENTS, "000001.jpg", "000002.jpg"
    }  # fmt: skip


def test_each_video_of_a_folder_has_objects_of_its_own():
    left = []
    followed = Followed(lambda: Tracker(0.5, 1), [], left.append)
    for source in ("a.mp4", "b.mp4"):
        for number in range(4):
            followed(frame(number, source), found((100, 100, 0.9)), True)
    followed.log.close()
    assert [(one.source, one.number) for one in left] == [("a.mp4", 1), ("b.mp4", 1)]
    assert followed.log.total == 2


def test_an_object_that_stands_still_keeps_its_id_while_nothing_moves():
    """The frames in between do not go through the model, for longer than a track lasts."""
    followed = Followed(lambda: Tracker(0.5, 1), [], None)
    here = found((100, 100, 0.9))
    for number in range(60):
        detected = number < 3 or number == 50
        seen = followed(frame(number, moving=detected), here, detected)
        assert seen.tracker_id.tolist() == ([-1] if number == 0 else [1])


def test_an_object_that_got_its_id_in_a_still_frame_has_a_view(tmp_path):
    """Only its first frame went through the model."""
    with event_folder(tmp_path) as ended:
        followed = Followed(lambda: Tracker(0.5, 1), [], ended)
        for number in range(5):
            followed(frame(number, moving=number == 0), found((100, 100, 0.9)), number == 0)
        followed.log.close()
    (row,) = rows_of(tmp_path)
    assert (row["frames"], row["score"]) == ("4", "0.9") and (tmp_path / "000001.jpg").exists()
