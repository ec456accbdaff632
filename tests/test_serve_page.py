"""The page of `detect --serve`, driven in a real browser as a person would."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import find_chromium
from playwright.sync_api import Browser, Page, expect, sync_playwright
from served import Served, serving
from test_video_files import encode

if find_chromium() is None:
    pytest.skip("there is no Chromium here to show the page", allow_module_level=True)

KINDS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def served(models) -> Iterator[Served]:
    with serving("--model", models / "int8", "--compare", models / "ir") as server:
        yield server


@pytest.fixture
def image(tiny_dataset) -> Path:
    return tiny_dataset / "dataset/images/default/5.png"


def opened(browser: Browser, address: str, **options: object) -> Page:
    """Open the page; whatever its console says is an error, and `asked` lists its requests."""
    page = browser.new_context(**options).new_page()
    page.problems, page.asked = [], []
    page.on("console", lambda message: page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    return page


def look_at(page: Page, image: Path) -> None:
    """Choose a picture, and show all that was found in it."""
    page.set_input_files("#file", image)
    page.wait_for_selector("article:nth-child(2)", state="attached")
    page.locator("#confidence").fill("0.05")
    page.wait_for_selector("article:nth-child(2) .box", state="attached")


def boxes(page: Page) -> list[int]:
    """The number of boxes drawn for each model."""
    return [article.locator("svg .box").count() for article in page.locator("article").all()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_and_the_slider(browser, served, image, kind, scheme):
    page = opened(browser, served.address, color_scheme=scheme, **KINDS[kind])
    look_at(page, image)
    expect(page.locator("article h2")).to_have_text(["int8", "ir"])
    answer = served.ask("/detect?confidence=0.05", image.read_bytes()).json
    posted = len(page.asked)
    for confidence in ("0.05", "0.3", "1", "0.25"):
        page.locator("#confidence").fill(confidence)
        expected = [
            [box for box in own["detections"] if box["score"] >= float(confidence)]
            for own in (answer, answer["compare"])
        ]
        assert boxes(page) == list(map(len, expected))
        shown = page.locator("article:first-child tbody tr").all_text_contents()
        assert [f"{box['label']}{box['score']:.2f}" for box in expected[0]] == [
            re.match(r"\D+\d\.\d\d", row)[0] for row in shown
        ]
    assert len(page.asked) == posted, "the slider asked the server"
    assert all(url.startswith((served.address, "blob:")) for url in page.asked)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    left, right = (article.bounding_box() for article in page.locator("article").all())
    assert (left["y"] == right["y"]) == (kind == "desktop")
    assert page.locator("#photo").is_visible() == (kind == "phone")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 384) == (scheme == "dark")
    assert page.problems == []


def test_boxes_lie_where_the_objects_are(browser, served, image):
    page = opened(browser, served.address)
    look_at(page, image)
    box = served.ask("/detect?confidence=0.05", image.read_bytes()).json["detections"][0]
    for width in (1200, 500):
        page.set_viewport_size({"width": width, "height": 900})
        picture = page.locator("article:first-child img").bounding_box()
        drawn = page.locator("article:first-child .edge").last.bounding_box()
        scale = picture["width"] / 160
        x0, y0, x1, y1 = (scale * value for value in box["box_xyxy"])
        middle = drawn["x"] + drawn["width"] / 2, drawn["y"] + drawn["height"] / 2
        assert middle == pytest.approx(
            (picture["x"] + (x0 + x1) / 2, picture["y"] + (y0 + y1) / 2), abs=1.5
        )


def test_a_clip_frame_by_frame(browser, served, tmp_path):
    encode(tmp_path / "a.mp4", [number / 10 for number in range(12)])
    page = opened(browser, served.address)
    page.set_input_files("#file", tmp_path / "a.mp4")
    expect(page.locator("#status")).to_contain_text(re.compile(r"\d+ frames were looked at"))
    count = int(re.match(r"\d+", page.locator("#status").inner_text())[0])
    assert 5 <= count <= 7
    assert sum("/detect" in url for url in page.asked) == count
    expect(page.locator("#shown-frame")).to_have_text(
        f"{count} of {count}, {(count - 1) / 5:.1f} s"
    )
    page.locator("#frame").press("Home")
    expect(page.locator("#shown-frame")).to_have_text(f"1 of {count}, 0.0 s")
    assert page.problems == []


def test_by_keyboard_alone(browser, served, image):
    page = opened(browser, served.address)
    names = []
    for _ in range(2):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id"))
        outlined = page.evaluate(
            "[document.activeElement, document.activeElement.parentElement]"
            ".map(one => getComputedStyle(one).outlineStyle)"
        )
        assert "solid" in outlined
    assert names == ["file", "confidence"]
    page.keyboard.press("Shift+Tab")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")  # Enter may come before Playwright listens
    chooser.value.set_files(image)
    page.wait_for_selector("article:nth-child(2)", state="attached")
    page.keyboard.press("Tab")
    before = page.locator("#confidence").input_value()
    page.keyboard.press("ArrowRight")
    assert float(page.locator("#confidence").input_value()) == pytest.approx(float(before) + 0.01)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is not None


def test_everything_has_a_name_for_screen_readers(browser, served, image):
    page = opened(browser, served.address)
    look_at(page, image)
    for name in ("Choose a picture or clip", "Lowest confidence"):
        assert page.get_by_label(name).count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    described = page.get_by_role("img").all()
    assert [re.match(r"\w+: \d+ objects?\. ", one.get_attribute("aria-label"))[0].split(":")[0]
            for one in described] == ["int8", "ir"]  # fmt: skip
    assert page.locator("[role=status]").get_attribute("id") == "status"
    # Sliders say their values themselves.
    live = [one.get_attribute("aria-live") for one in page.locator("output").all()]
    assert live == ["off", "off"]


def test_a_label_is_only_text(browser, served, image):
    page = opened(browser, served.address)
    hostile = "<img src=x onerror=alert(1)>"
    box = {"box_xyxy": [1, 1, 50, 50], "score": 0.9, "label": hostile}
    steps_ms = {"decode": 1, "pre": 1, "infer": 1, "post": 1}
    answer = {"model": hostile, "confidence": 0.2, "steps_ms": steps_ms, "compare": None}
    body = json.dumps({**answer, "detections": [box]})
    page.route(
        "**/detect*", lambda route: route.fulfill(body=body, content_type="application/json")
    )
    page.set_input_files("#file", image)
    expect(page.locator("h2")).to_have_text(hostile)
    expect(page.locator("svg text")).to_have_text(f"{hostile} 0.90")
    assert page.locator("article img").count() == 1 and page.problems == []


def test_what_the_server_refuses_and_what_is_no_picture_is_said(browser, served, tmp_path):
    page = opened(browser, served.address)
    for name, content, said in (
        ("a.png", b"broken", "The server refused: this is no JPEG, PNG, WEBP, BMP"),
        ("a.txt", b"words", "a.txt is no picture and no clip that this browser can open."),
        ("a.mp4", b"broken", "a.mp4 cannot be decoded by this browser."),
    ):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", tmp_path / name)
        expect(page.locator("#status")).to_contain_text(said)
        assert page.locator("#status.bad").count() == 1


def test_the_token_of_the_address_or_of_a_form(browser, models, image):
    with serving("--model", models / "int8", "--host", "0.0.0.0") as server:
        token = server.address.split("#token=")[1]
        address = f"http://127.0.0.1:{server.port}/"
        page = opened(browser, f"{address}#token={token}")
        assert page.url == address and not [url for url in page.asked if token in url]
        page.set_input_files("#file", image)
        page.wait_for_selector("article", state="attached")
        page = opened(browser, address)
        page.set_input_files("#file", image)
        for given, said in (("wrong-wrong-wrong", "another token"), (token, "")):
            expect(page.locator("#token")).to_be_focused()
            page.keyboard.type(given)
            page.keyboard.press("Enter")
            expect(page.locator("#status")).to_contain_text(said)
        page.wait_for_selector("article", state="attached")
        assert page.locator("#login").is_hidden()


def test_a_busy_server_is_asked_again(browser, served, image):
    page = opened(browser, served.address)
    answers = iter((503, 429))

    def busy(route):
        status = next(answers, None)
        if status is None:
            route.continue_()
        else:
            route.fulfill(status=status, headers={"Retry-After": "1"}, body='{"error": "busy"}')

    page.route("**/detect*", busy)
    page.set_input_files("#file", image)
    page.wait_for_selector("article", state="attached", timeout=20_000)
