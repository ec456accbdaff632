"""A server of `detect --serve` in a process of its own, and plain HTTP to ask it."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from conftest import ROOT


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Served:
    """A running server; `address` is what it printed."""

    def __init__(self, process: subprocess.Popen, address: str):
        self.process, self.address = process, address
        self.port = int(address.split(":")[2].split("/")[0])

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """GET, or POST a body, of a picture unless `content_type` says something else."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named = {"content-type": "image/png", **named}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET" if body is None else "POST", path, body, named)
            found = connection.getresponse()
            lowered = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, lowered, found.read())
        finally:
            connection.close()

    def connect(self, sent: bytes = b"") -> socket.socket:
        """Open a connection and send some bytes."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(sent)
        return connection

    def metric(self, name: str) -> float:
        """The value of a metric, named with its labels; 0 where it is not there yet."""
        lines = self.ask("/metrics").body.decode().splitlines()
        found = [line.rsplit(" ", 1)[1] for line in lines if line.rsplit(" ", 1)[0] == name]
        return float(found[0]) if found else 0.0


@contextmanager
def serving(*words: object, change: str = "", **environment: str) -> Iterator[Served]:
    """Start a server at a free port, and end it.

    Args:
        words: its options.
        change: a statement that its process executes first.
        environment: variables that are added to those of this process.
    """
    process = start(*words, change=change, **environment)
    try:
        printed = process.stdout.readline()
        assert " at http://" in printed, process.communicate()[1]
        yield Served(process, printed.split(" at ")[1].strip())
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


@contextmanager
def unharmed(*words: object) -> Iterator[Served]:
    """Start a server that is well, silent and empty after all that is done to it."""
    with serving(*words) as server:
        yield server
        assert server.metric("detect_queue_length") == 0
        server.process.terminate()
        stdout, stderr = server.process.communicate(timeout=60)
        assert stdout == re.sub("(?m)^libpng .*\n", "", stderr) == ""  # libpng cannot be hushed


def start(*words: object, change: str = "", **environment: str) -> subprocess.Popen:
    program = f"import sys; {change or 'pass'}\nfrom detector.video.cli import main; main()"
    given = [] if "--port" in words else ["--port", "0"]
    return subprocess.Popen(
        [sys.executable, "-c", program, "--serve", *given, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def request_of(path: str, body: bytes, length: int | None = None, kind: str = "image/png") -> bytes:
    """The bytes of a POST, which may claim another length than it has."""
    length = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode() + body


def status_of(connection: socket.socket) -> int | None:
    """The status of the answer; None if there was none."""
    try:
        first = connection.makefile("rb").readline()
    except ConnectionError:
        return None
    return int(first.split()[1]) if first else None


def picture(folder: Path, number: int = 5) -> bytes:
    """A picture of `tiny_dataset`, 160x90."""
    return (folder / f"dataset/images/default/{number}.png").read_bytes()
