"""Official weights: downloaded from a real server on loopback, checked, kept."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stages.common.run import UserError
from stages.yolox import weights

CONTENT = bytes(range(256)) * 4096
NAME = "yolox_nano.pth"


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; `server.cut` bytes of it, then it hangs up."""

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()

    def do_GET(self):
        self.server.asked += 1
        self.do_HEAD()
        self.wfile.write(CONTENT[: self.server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A release on loopback that this project takes for the real one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.cut = 0, None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(weights, "RELEASE", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setitem(weights.SHA256, NAME, hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield server
    server.shutdown()
    server.server_close()


def test_weights_are_downloaded_once_and_again_when_changed(server, tmp_path):
    for _ in range(2):
        path = weights.official_weights("yolox-nano")
        assert path.read_bytes() == CONTENT
    assert server.asked == 1
    path.write_bytes(b"changed")
    assert weights.official_weights("yolox-nano").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "yolox").iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("broken off", "invalid hash"),
        ("other bytes", 'expected "0000'),
        ("too long", "announces 1048576 bytes, expected 1 to 1000"),
        ("offline", "refused"),
    ],
)
def test_a_failed_download_leaves_nothing_and_names_the_remedy(
    server, tmp_path, monkeypatch, fault, reason
):
    if fault == "broken off":
        server.cut = 300_000
    elif fault == "other bytes":
        monkeypatch.setitem(weights.SHA256, NAME, "0" * 64)
    elif fault == "too long":
        monkeypatch.setattr(weights, "MAX_BYTES", 1000)
    else:
        server.shutdown()  # or its thread may still accept, and reset, one connection
        server.server_close()
    with pytest.raises(UserError, match=reason) as refused:
        weights.official_weights("yolox-nano")
    assert f"{weights.RELEASE}{NAME}" in str(refused.value)
    assert "Connect and try again, or put the file at" in str(refused.value)
    assert not list(tmp_path.glob("yolox/*"))
