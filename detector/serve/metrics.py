"""The figures that Prometheus reads at /metrics."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counts requests and inferences.

    Args:
        queue: its length is the number of requests that are uploaded, wait or are computed.
    """

    def __init__(self, queue: object):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, open files, processor time
        self.requests = Counter(
            "detect_requests", "Requests that were answered.", ["path", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "detect_request_seconds", "From a request's headers to the end of its answer.",
            ["path"], buckets=BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self.inferences = Counter(
            "detect_inferences", "Pictures and tensors that a model was run on.", ["model"],
            registry=self.registry,
        )  # fmt: skip
        length = Gauge(
            "detect_queue_length", "Requests that are uploaded, wait or are computed.",
            registry=self.registry,
        )  # fmt: skip
        length.set_function(lambda: len(queue))

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is that of a route, so that there are only a few."""
        self.requests.labels(path, status).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self.registry)
