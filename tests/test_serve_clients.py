"""`detect --serve` and its clients: who may ask, how often, how slowly, and for how long."""

import http.client
import json
import threading
import time

import pytest
from served import picture, request_of, serving, status_of, unharmed
from test_serve_limits import infer

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def served(models):
    with unharmed("--model", models / "int8") as server:
        yield server


# name: (headers, status of GET /v2, status of POST /detect)
BROWSERS = {
    "none": ({}, 200, 200),
    "our page": ({"origin": "http://localhost:1", "host": "localhost:1"}, 200, 200),
    "our page by its relation": ({"sec_fetch_site": "same-origin"}, 200, 200),
    "IPv6": ({"host": "[::1]:8000"}, 200, 200),
    "another page": ({"origin": "http://evil.test"}, 200, 403),
    "another port": ({"origin": "http://localhost:2", "host": "localhost:1"}, 200, 403),
    "a file": ({"origin": "null"}, 200, 403),
    "another site": ({"sec_fetch_site": "cross-site"}, 200, 403),
    "a subdomain": ({"sec_fetch_site": "same-site"}, 200, 403),
    "a rebound name": ({"host": "evil.test"}, 403, 403),
    "a name like ours": ({"host": "localhost.evil.test"}, 403, 403),
    "an address like ours": ({"host": "127.0.0.1.evil.test:80"}, 403, 403),
    "a user named like us": ({"host": "localhost@evil.test"}, 403, 403),
    "no host": ({"host": ""}, 403, 403),
    "brackets": ({"host": "[::1"}, 403, 403),
}


@pytest.mark.parametrize("case", BROWSERS)
def test_pages_of_other_sites(served, tiny_dataset, case):
    headers, get, post = BROWSERS[case]
    answers = served.ask("/v2", **headers), served.ask("/detect", picture(tiny_dataset), **headers)
    assert tuple(answer.status for answer in answers) == (get, post)
    for answer in answers:
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


def test_a_token_is_made_for_other_machines_and_printed_once(models, tiny_dataset):
    with serving("--model", models / "int8", "--host", "0.0.0.0") as server:
        token = server.address.split("#token=")[1]
        body = picture(tiny_dataset)
        # authorization, path: status
        for given, path, status in (
            (None, "/", 200), (None, "/page.js", 200), (None, "/v2/health/live", 200),
            (None, "/v2/health/ready", 200), (None, "/v2", 401), (None, "/metrics", 401),
            (None, "/detect", 401), (None, "/openapi.json", 401), (None, "/none", 401),
            (f"Bearer {token}", "/v2", 200), (f"Bearer {token}", "/detect", 200),
            (f"Bearer {token}", "/none", 404), (f"Bearer {token[:-1]}", "/v2", 401),
            (f"Bearer {token}a", "/v2", 401), ("Bearer ", "/v2", 401), ("Bearer ü", "/v2", 401),
            (f"Basic {token}", "/v2", 401),
        ):  # fmt: skip
            headers = {"authorization": given} if given else {}
            sent = body if path == "/detect" else None
            answer = server.ask(path, sent, host="a.test", **headers)
            assert answer.status == status, (given, path)
            assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)
        server.process.terminate()
        assert server.process.communicate(timeout=60) == ("", "")


def test_a_given_token_is_asked_for_on_loopback_too_and_never_printed(models):
    with serving("--model", models / "int8", DETECT_TOKEN=TOKEN) as server:
        assert server.address == f"http://127.0.0.1:{server.port}/"
        assert server.ask("/v2").status == 401
        assert server.ask("/v2", authorization=f"Bearer {TOKEN}", host="a.test").status == 200


def test_a_client_that_asks_too_often_is_refused_and_others_are_not(served):
    def asked(client: str, times: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", served.port)
        statuses = []
        for _ in range(times):
            connection.request("GET", "/v2", headers={"X-Forwarded-For": client})
            answer = connection.getresponse()
            answer.read()
            statuses.append((answer.status, answer.headers["Retry-After"]))
        return statuses

    assert asked("203.0.113.7", 50) == [(200, None)] * 50
    assert (429, "1") in asked("203.0.113.7", 400)
    assert asked("203.0.113.8", 1) == asked("nonsense", 1) == [(200, None)]
    assert (429, "1") in asked("2001:db8::1", 400) + asked("2001:db8::2", 1)
    assert asked("2001:db8::3", 1)[0][0] == 429 and asked("2001:db8:1::1", 1)[0][0] == 200
    assert set(asked("127.0.0.1", 400)) == {(200, None)}


def test_a_full_queue_refuses_at_once_and_serves_again_when_it_is_not(served, tiny_dataset):
    body = picture(tiny_dataset)
    held = [served.connect(request_of("/detect", body[:10], len(body))) for _ in range(72)]
    while served.metric("detect_queue_length") < 72:
        time.sleep(0.02)
    answer = served.ask("/detect", body)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert served.ask("/v2/health/ready").status == 200
    for connection in held:
        connection.sendall(body[10:])
    assert [status_of(connection) for connection in held] == [200] * 72
    large = [served.connect(request_of("/detect", b"1", 19_000_000)) for _ in range(13)]
    while served.metric("detect_queue_length") < 13:
        time.sleep(0.02)
    assert served.ask("/detect", bytes(15_000_000)).status == 503
    for connection in large:
        connection.close()
    while served.metric("detect_queue_length"):
        time.sleep(0.02)
    assert served.ask("/detect", body).status == 200


def test_slow_clients_are_cut_off(models, tiny_dataset):
    body = picture(tiny_dataset)
    change = "import detector.serve.patience as p; p.REQUEST_S = 2.0"
    with serving("--model", models / "int8", change=change) as server:
        slow = {
            "silent": server.connect(),
            "in the first line": server.connect(b"GET /v2"),
            "in the headers": server.connect(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n"),
            "in the body": server.connect(request_of("/detect", body[:10], len(body))),
            "after an answer": server.connect(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\nGET"),
        }
        reader = server.connect()
        reader.setblocking(False)
        fill(reader, b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        dripping = threading.Thread(target=drip, args=(slow["in the headers"],))
        dripping.start()
        time.sleep(5)
        dripping.join()
        assert {name: is_open(connection) for name, connection in slow.items()} == dict.fromkeys(
            slow, False
        )
        with pytest.raises(ConnectionError):
            for _ in range(10_000):
                fill(reader, b"GET / HTTP/1.1\r\n")
        assert server.metric("detect_queue_length") == 0
        assert server.metric("process_open_fds") < 60
        server.process.terminate()
        assert server.process.communicate(timeout=60) == ("", "")


def fill(connection, data: bytes) -> None:
    """Send until nothing more fits."""
    try:
        while True:
            connection.send(data)
    except BlockingIOError:
        time.sleep(0.001)


def drip(connection) -> None:
    """Send a header a letter at a time, as Slowloris does."""
    try:
        for _ in range(40):
            connection.sendall(b"a")
            time.sleep(0.1)
    except ConnectionError:
        pass


def is_open(connection) -> bool:
    """Whether the other end still holds the connection; reads what it sent before."""
    connection.settimeout(1)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return True
    except ConnectionError:
        pass
    return False


def test_more_connections_than_there_may_be(models):
    with serving("--model", models / "int8") as server:
        opened = [server.connect() for _ in range(300)]
        time.sleep(1)
        gone = [connection for connection in opened if not is_open_now(connection)]
        assert 40 <= len(gone) <= 60
        for connection in opened:
            connection.close()
        time.sleep(0.5)
        assert server.ask("/v2").status == 200
        assert server.metric("process_open_fds") < 60


def is_open_now(connection) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


@pytest.mark.slow
def test_memory_and_files_do_not_grow_with_requests(models, tiny_dataset):
    bodies = [picture(tiny_dataset, number) for number in range(1, 7)]
    tensor = json.dumps(infer()).encode()

    def ask(requests: int) -> None:
        connection, count = http.client.HTTPConnection("127.0.0.1", server.port), 0
        while count < requests:
            kinds = [("/detect", bodies[count % 6]), ("/detect", b"broken")]
            kinds += [("/v2/models/int8/infer", tensor)] * (count % 20 == 0)
            for path, body in kinds:
                connection.request("POST", path, body, {"Content-Type": "image/png"})
                connection.getresponse().read()
                count += 1
            if count % 100 < 3:
                connection.close()

    with serving("--model", models / "int8") as server:
        ask(500)
        before = [
            server.metric(f"process_{name}") for name in ("resident_memory_bytes", "open_fds")
        ]
        ask(4000)
        after = [server.metric(f"process_{name}") for name in ("resident_memory_bytes", "open_fds")]
    assert after[0] < before[0] + 30e6 and after[1] <= before[1] + 2
