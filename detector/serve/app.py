"""The server of `detect --serve`: it listens, answers until a signal comes, and ends in order."""

import argparse
import ipaddress
import os
import re
import secrets
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from detector.core.frame_detector import FrameDetector
from detector.runtime.detector import Detector
from detector.runtime.model_cache import default_cache_dir
from detector.serve import ServeError

try:
    import uvicorn

    from detector.serve.api import Service, build_api
    from detector.serve.guard import Guard, Queue
    from detector.serve.metrics import Metrics
    from detector.serve.patience import REQUEST_S, PatientProtocol
except ModuleNotFoundError as error:
    raise ServeError(
        f"the server needs {error.name}, which is not installed: pip install '.[serve]'"
    ) from error

TOKEN = re.compile("[!-~]{16,}")


def serve(arguments: argparse.Namespace) -> int:
    """Serve the models of `--model` and `--compare` until a signal comes.

    Args:
        arguments: model, compare, confidence, iou, host and port, as the command defines them.

    Returns:
        128 and the number of the signal.

    Raises:
        ServeError: the address, the token or the installation cannot be used.
        ModelError: a model cannot be loaded.
    """
    with ExitStack() as closing:
        listening = closing.enter_context(listen(arguments.host, arguments.port))
        local = ipaddress.ip_address(listening.getsockname()[0].split("%")[0]).is_loopback
        given = os.environ.get("DETECT_TOKEN")
        token = checked_token(given) if given else None if local else secrets.token_urlsafe(24)
        detectors = load(arguments, closing)
        threads = closing.enter_context(ThreadPoolExecutor(threads_for(detectors), "detect"))
        queue = Queue()
        metrics = Metrics(queue)
        api = build_api(Service(detectors, threads, metrics))
        server = Server(settings(Guard(api, queue, metrics, token)))
        made = f"#token={token}" if token and not given else ""
        address = f"http://{bracketed(arguments.host)}:{listening.getsockname()[1]}/{made}"
        print(f"{' and '.join(detectors)} at {address}", flush=True)
        server.run([listening])
        return 128 + server.received[0]


def listen(host: str, port: int) -> socket.socket:
    """Take the address before models are loaded, which takes longer."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServeError(
            f"{host} port {port} cannot be served: {reason}; choose another --host or --port"
        ) from error
    # Connections inherit it. Without it each answer waits 40 ms for the client's acknowledgement
    # of its headers; asyncio sets it only for sockets that name their protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def checked_token(token: str) -> str:
    if not TOKEN.fullmatch(token):
        raise ServeError(
            f"DETECT_TOKEN has {len(token)} characters; expected 16 or more ASCII characters "
            "without spaces, for example of `openssl rand -hex 16`"
        )
    return token


def load(arguments: argparse.Namespace, closing: ExitStack) -> dict[str, FrameDetector]:
    """Load the models; return them by the names of their folders or files.

    A single model works on several pictures at once. Two are compared on all cores each.
    """
    detectors: dict[str, FrameDetector] = {}
    for path in filter(None, (arguments.model, arguments.compare)):
        detector = Detector(
            path, arguments.confidence, arguments.iou,
            throughput=arguments.compare is None, cache_dir=default_cache_dir(),
        )  # fmt: skip
        name = model_name(path)
        detectors[f"{name}-2" if name in detectors else name] = closing.enter_context(detector)
    return detectors


def model_name(path: Path) -> str:
    """Return the name of a model's folder, or of its file if that is no .xml."""
    path = path.resolve()
    return path.parent.name if path.suffix == ".xml" else path.name


def threads_for(detectors: dict[str, FrameDetector]) -> int:
    """Count the threads that keep all requests busy: while they compute, one decodes."""
    return max(detector.num_requests for detector in detectors.values())


def settings(app: Guard) -> uvicorn.Config:
    """Return the settings of the server.

    uvicorn takes the client's address of `X-Forwarded-For` from a proxy on this machine.
    """
    return uvicorn.Config(
        app, http=PatientProtocol, ws="none", lifespan="off", log_level="error", access_log=False,
        server_header=False, timeout_keep_alive=5, timeout_graceful_shutdown=REQUEST_S,
    )  # fmt: skip


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Server(uvicorn.Server):
    """A server that a signal ends after the running requests, and a second one at once.

    Attributes:
        received: the signals that came.
    """

    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self.received: list[int] = []

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGHUP like the others, and leave the exit status to the command."""
        numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        self.force_exit, self.should_exit = self.should_exit, True
