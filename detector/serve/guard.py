"""Who may ask, how much and how often: decided by a request's headers, before anything is read."""

import hmac
import ipaddress
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.routing import Match

from detector.serve.metrics import Metrics

MAX_BODY = 20 * 10**6  # bytes of one request
MAX_HELD = 256 * 10**6  # bytes of all requests that are not answered yet
QUEUE = 72  # requests that are not answered yet
RATE, BURST = 30.0, 60.0  # requests of a client, per second and at once
CLIENTS = 4096  # that are remembered
OPEN = {"/", "/page.css", "/page.js", "/icon.svg", "/v2/health/live", "/v2/health/ready"}
HERE = {"localhost", "127.0.0.1", "::1"}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
SECURE = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Refused(Exception):
    """A request that is not let in."""

    def __init__(self, status: int, error: str, **headers: str):
        self.status, self.error, self.headers = status, error, headers


class Guard:
    """An ASGI application around another one, which refuses, counts and adds headers.

    Args:
        app: the one that answers.
        queue: what limits the work that waits.
        metrics: counts all answers, also refusals.
        token: what clients must know; None: those of this machine may ask without.
    """

    def __init__(self, app: Starlette, queue: "Queue", metrics: Metrics, token: str | None):
        self.app, self.queue, self.metrics, self.token = app, queue, metrics, token
        self.clients = Clients()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 499  # as nginx counts clients that went away

        async def send_secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *SECURE]
            await send(message)

        try:
            await self.answer(scope, receive, send_secured)
        finally:
            self.metrics.answered(self.route(scope), status, time.perf_counter() - started)

    def route(self, scope: Message) -> str:
        """Return the path of a request's route: clients can make up others without end."""
        fitting = (route.path for route in self.app.routes if route.matches(scope)[0] != Match.NONE)
        return next(fitting, "other")

    async def answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            self.check_client(scope, headers)
            length = body_length(scope["method"], headers)
            with self.queue.place(length):
                await self.app(scope, receive, send)
        except Refused as refused:
            await drain(receive, headers)
            await send_error(send, refused)

    def check_client(self, scope: Message, headers: dict[str, str]) -> None:
        """Refuse pages of other sites, clients that ask too often, and those without the token."""
        host = headers.get("host", "")
        if self.token is None and hostname(host) not in HERE:
            raise Refused(403, f"this server is not {host}; open it as 127.0.0.1 or localhost")
        if scope["method"] not in ("GET", "HEAD") and foreign(headers, host):
            raise Refused(403, "pages of other sites may not ask this server")
        if not self.clients.admit(scope["client"][0]):
            raise Refused(429, f"at most {RATE:.0f} requests per second", **{"retry-after": "1"})
        known = self.token is None or scope["path"] in OPEN
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not known and not hmac.compare_digest(given.encode(), self.token.encode()):
            asked = {"www-authenticate": "Bearer"}
            raise Refused(401, "send the server's token as Authorization: Bearer TOKEN", **asked)


def hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def foreign(headers: dict[str, str], host: str) -> bool:
    """Return whether a browser says that another site's page is asking.

    Behind TLS browsers name the relation itself; else the origin's host must be ours.
    """
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != host


def body_length(method: str, headers: dict[str, str]) -> int | None:
    """Return the bytes that follow the headers, None for a method that has no body here.

    HTTP's parser takes exactly so many: fewer are a client that went away, more the next request.
    """
    if method != "POST":
        return None
    if "content-encoding" in headers:
        raise Refused(415, "a compressed request is not read; send it as it is")
    if "content-length" not in headers or "transfer-encoding" in headers:
        raise Refused(411, "a request needs a Content-Length, and no Transfer-Encoding")
    if (length := int(headers["content-length"])) > MAX_BODY:
        raise Refused(413, f"{length} bytes are too many; at most {MAX_BODY} are read")
    return length


class Queue:
    """The requests that hold memory: those that are uploaded, wait, or are computed."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def __len__(self) -> int:
        return len(self.lengths)

    @contextmanager
    def place(self, length: int | None) -> Iterator[None]:
        """Hold a place for a request with so many bytes; None needs none.

        Raises:
            Refused: there is none.
        """
        if length is None:
            yield
            return
        if len(self.lengths) >= QUEUE or sum(self.lengths) + length > MAX_HELD:
            raise Refused(503, "too many requests are waiting; try again", **{"retry-after": "1"})
        self.lengths.append(length)
        try:
            yield
        finally:
            self.lengths.remove(length)


class Clients:
    """A token bucket for each of the last CLIENTS addresses; this machine's own is not limited."""

    def __init__(self) -> None:
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admit(self, client: str) -> bool:
        """Count a request; return whether the client may make it."""
        if (key := network(client)) is None:
            return True
        now = time.monotonic()
        left, since = self.buckets.pop(key, (BURST, now))
        left = min(BURST, left + (now - since) * RATE)
        self.buckets[key] = max(0.0, left - 1), now
        if len(self.buckets) > CLIENTS:
            self.buckets.popitem(last=False)
        return left >= 1


def network(client: str) -> str | None:
    """Return what one client has: an IPv4 address or a /64 of IPv6; None for this machine."""
    try:
        address = ipaddress.ip_address(client.split("%")[0])
    except ValueError:  # a proxy on this machine names clients as it likes
        return client
    if address.is_loopback:
        return None
    return str(address) if address.version == 4 else f"{int(address) >> 64:x}::/64"


async def drain(receive: Receive, headers: dict[str, str]) -> None:
    """Drop a body of allowed size: who is still sending would not read the answer."""
    length = headers.get("content-length", "0")
    more = 0 < int(length) <= MAX_BODY
    while more:
        more = (await receive()).get("more_body", False)


async def send_error(send: Send, refused: Refused) -> None:
    body = json.dumps({"error": refused.error}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    pairs = [(k.encode(), v.encode()) for k, v in {**headers, **refused.headers}.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
