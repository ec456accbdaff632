"""Official weights: downloaded from a real server on loopback, resumed, verified."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stages.common.run import UserError
from stages.yolox import download

CONTENT = bytes(range(256)) * 4096
NAME = "yolox_nano.pth"


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; `server.cut` bytes of each answer, then it hangs up."""

    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:] if self.server.ranges else CONTENT
        self.send_response(206 if start and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A release on loopback that this project takes for the real one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.cut, server.ranges = [], None, True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(download, "RELEASE", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setitem(download.SHA256, NAME, hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield server
    server.shutdown()
    server.server_close()


def cached(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "yolox").iterdir())


def test_weights_are_downloaded_once(server, tmp_path):
    for _ in range(2):
        assert download.official_weights("yolox-nano").read_bytes() == CONTENT
    assert server.asked == [None]
    assert cached(tmp_path) == [NAME]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on(server, tmp_path, ranges):
    server.cut = 300_000
    with pytest.raises(UserError, match=r"broke after 300000 of 1048576 bytes.*put the file to"):
        download.official_weights("yolox-nano")
    assert cached(tmp_path) == ["yolox_nano.part"]
    server.cut, server.ranges = None, ranges
    assert download.official_weights("yolox-nano").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]


def test_other_bytes_are_refused_and_deleted(server, tmp_path, monkeypatch):
    monkeypatch.setitem(download.SHA256, NAME, "0" * 64)
    with pytest.raises(UserError, match="expected 0000"):
        download.official_weights("yolox-nano")
    assert cached(tmp_path) == []


def test_a_whole_part_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "yolox").mkdir()
    (tmp_path / "yolox/yolox_nano.part").write_bytes(CONTENT)
    assert download.official_weights("yolox-nano").read_bytes() == CONTENT


def test_a_changed_file_in_the_cache_is_replaced(server, tmp_path):
    download.official_weights("yolox-nano").write_bytes(b"changed")
    assert download.official_weights("yolox-nano").read_bytes() == CONTENT


def test_too_much_is_refused(server, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    with pytest.raises(UserError, match="more than 1000 bytes"):
        download.official_weights("yolox-nano")


def test_offline_the_refusal_names_the_alternatives(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=r"Connect, or put the file to .*bundled, none or a path"):
        download.official_weights("yolox-nano")
