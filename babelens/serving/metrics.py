"""What the service counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self.requests = Counter("babelens_requests", "Requests to predict, by HTTP status.", ["status"], registry=own)
        self.rows = Counter("babelens_rows", "Rows that the model has read.", registry=own)
        self.words = Counter("babelens_words", "Words that the model has read.", registry=own)
        self.pictures = Counter("babelens_pictures", "Pictures, by what became of them.", ["outcome"], registry=own)
        self.seconds = Histogram(
            "babelens_request_seconds", "From the headers of a request to its answer.", buckets=_SECONDS, registry=own
        )
        self.model_seconds = Histogram(
            "babelens_batch_seconds", "From a batch to its answers.", buckets=_SECONDS, registry=own
        )
        self.batch_rows = Histogram("babelens_batch_rows", "Rows of a batch.", buckets=_SIZES, registry=own)

    def watch(self, name: str, says: str, value: Callable[[], float]) -> None:
        """Add a figure that is read when it is asked for."""
        Gauge(f"babelens_{name}", says, registry=self._registry).set_function(value)

    def note_batch(self, rows: int, words: int, seconds: float) -> None:
        """Count a batch."""
        self.rows.inc(rows)
        self.words.inc(words)
        self.batch_rows.observe(rows)
        self.model_seconds.observe(seconds)

    def text(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self._registry)
