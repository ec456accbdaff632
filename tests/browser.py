"""A page as a headless Chromium shows it."""

import html
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

PROBE = """<!doctype html><title>none</title>
<iframe width="{width}" height="900" srcdoc="{page}"></iframe>
<script>
  onload = () => {{
    const inside = document.querySelector("iframe").contentDocument;
    document.title = JSON.stringify({{
      width: inside.documentElement.scrollWidth,
      pictures: inside.images.length,
      broken: [...inside.images].filter(image => !image.naturalWidth).length,
      drawings: inside.querySelectorAll("svg").length,
      words: inside.body.innerText.length,
      loaded: inside.defaultView.performance.getEntriesByType("resource")
        .map(entry => entry.name).filter(name => !name.startsWith("data:")),
    }});
  }};
</script>
"""


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def look_at(page: Path, width: int, scratch: Path) -> dict:
    """Render a page at a width in pixels, without any network, and measure it.

    Returns:
        width that it needs, pictures, how many of them are broken, drawings, words, and what it
        loaded from elsewhere.
    """
    probe = scratch / "probe.html"
    text = html.escape(page.read_text(encoding="utf-8"))
    probe.write_text(PROBE.format(width=width, page=text), encoding="utf-8")
    shown = chromium(scratch, "--dump-dom", "--window-size=1400,1000", probe.as_uri())
    return json.loads(html.unescape(re.search("<title>(.*?)</title>", shown)[1]))


def chromium(scratch: Path, *arguments: str) -> str:
    return subprocess.run(
        command(scratch, *arguments), capture_output=True, text=True, check=True, timeout=120
    ).stdout


def console(scratch: Path, page: Path) -> object:
    """Open a page, wait for the first line `RESULT <JSON>` on its console, and return that JSON."""
    browser = subprocess.Popen(
        command(scratch, "--enable-logging=stderr", page.as_uri()),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    limit = threading.Timer(100, browser.kill)
    limit.start()
    try:
        found = (re.search('"RESULT (.*?)", source:', line) for line in browser.stderr)
        return json.loads(next(match for match in found if match)[1])
    finally:
        limit.cancel()
        browser.kill()
        browser.wait()


def command(scratch: Path, *arguments: str) -> list[str]:
    return [
        find_chromium(), "--headless", "--no-sandbox", "--disable-gpu",
        "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={scratch / 'profile'}", *arguments,
    ]  # fmt: skip
