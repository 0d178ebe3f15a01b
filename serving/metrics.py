"""Metrics for Prometheus, beside BentoML's own. No label takes its value from a caller."""

from functools import cache
from typing import TYPE_CHECKING

from serving.memory import MemoryHeld

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# Values of the labels `reason` and `outcome`
DROPPED = ("deadline", "caller left", "not read")
REFUSED = ("queue full", "queue bytes full", "answers", "bodies", "cannot be read", "draining", "device lost")
RELOADS = ("taken", "dropped", "refused")


class Metrics:
    """The collectors of this process; get them from `metrics()`."""

    def __init__(self) -> None:
        # Its first import decides whether processes share their values, which BentoML configures only once a worker runs.
        from prometheus_client import Counter, Gauge, Histogram

        self.request_seconds = Histogram(
            "gan_request_seconds", "From request to answer, by route and status", ["route", "status"], buckets=_SECONDS
        )
        self.queue_seconds = Histogram("gan_queue_seconds", "What a request waited for the device", buckets=_SECONDS)
        self.infer_seconds = Histogram("gan_infer_seconds", "What the device spent on a batch", buckets=_SECONDS)
        self.encode_seconds = Histogram("gan_encode_seconds", "What a request's images took to encode", buckets=_SECONDS)
        self.queued_images = Gauge("gan_queue_pictures", "Images that no batch has taken yet", multiprocess_mode="livesum")
        self.batch_images = Histogram("gan_batch_pictures", "Images in a batch", buckets=(1, 2, 4, 8, 16, 32, 64))
        self.dropped = Counter("gan_dropped_requests_total", "Requests given up before they were answered", ["reason"])
        self.refused = Counter("gan_refused_requests_total", "Requests that were not let in", ["reason"])
        self.reloads = Counter(
            "gan_model_reloads_total", "Model folders that were taken, dropped, or refused, at the start too", ["outcome"]
        )
        self.model = ModelsServed()
        self.memory = MemoryHeld()
        # A counter that appears with its first increase has none for Prometheus, which compares it with the scrape before.
        for counter, values in ((self.dropped, DROPPED), (self.refused, REFUSED), (self.reloads, RELOADS)):
            for value in values:
                counter.labels(value)

    def text_of_this_moment(self) -> str:
        """Metrics that are read anew at each scrape, in the text format, for /metrics after those that all workers share."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self.model)
        registry.register(self.memory)
        return generate_latest(registry).decode()


class ModelsServed:
    """gan_model_info, 1 for each model served now by the worker that answers the scrape.

    Not a Gauge: a value in the files that processes share stays there, and each version would be reported for ever.
    """

    def __init__(self) -> None:
        self.now: set[tuple[str, str, str]] = set()  # name, version, runtime

    def describe(self) -> "list[GaugeMetricFamily]":
        """The metric without its values, for the registry of prometheus_client."""
        from prometheus_client.core import GaugeMetricFamily

        return [GaugeMetricFamily("gan_model_info", "1 for every model served", labels=["name", "version", "runtime"])]

    def collect(self) -> "list[GaugeMetricFamily]":
        """The metric with its values."""
        (family,) = self.describe()
        for labels in sorted(self.now):
            family.add_metric(labels, 1)
        return [family]


@cache
def metrics() -> Metrics:
    """The one set of collectors: the registry takes each name once."""
    return Metrics()
