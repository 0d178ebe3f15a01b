"""Spans for OpenTelemetry: one for each request, and within it one for each stage of the work.

They are made once a request has ended, of what was noted, so that the work itself is not slower.
"""

import os
import time
from collections.abc import Mapping

from gan.errors import GanServiceError
from serving.request_record import RequestRecord

try:
    from opentelemetry import propagate
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id, set_span_in_context
except ImportError as error:
    raise GanServiceError(f"GAN_TRACING needs the extra otel, {error.name} is missing: pip install '.[otel]'") from None

_PROTOCOL = "http/protobuf"


class TracingError(GanServiceError):
    """Settings of OpenTelemetry that cannot be followed."""


class Tracing:
    """Turns records into spans. The sampler, the resource and the propagators follow OpenTelemetry's environment variables."""

    def __init__(self, processor: SpanProcessor) -> None:
        """The processor exports the spans."""
        named = Resource({SERVICE_NAME: "gan-service"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=Resource.create().merge(named), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("gan-service")
        self._epoch = time.time_ns() - time.perf_counter_ns()  # of time.perf_counter()

    @classmethod
    def by_environment(cls) -> "Tracing":
        """Exports by OTLP, as OTEL_EXPORTER_OTLP_ENDPOINT and the other variables of the SDK say. Raises TracingError."""
        check_environment()
        return cls(BatchSpanProcessor(OTLPSpanExporter()))

    @property
    def headers(self) -> set[str]:
        """Names, in lower case, of the headers that say which trace a request belongs to: traceparent and its kin."""
        return {name.lower() for name in propagate.get_global_textmap().fields}

    def trace(self, record: RequestRecord) -> None:
        """Make the spans of a request that has ended, and note its trace."""
        parent = propagate.extract(record.headers)
        name = f"{record.method or 'HTTP'} {record.route}" if record.route else record.method or "HTTP"
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, _attributes(record), start_time=self._unix(record.began))
        context = set_span_in_context(span, parent)
        for stage, began, ended in record.stages:
            self._tracer.start_span(stage, context, start_time=self._unix(began)).end(self._unix(ended))
        if record.status is None or record.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(self._unix(record.ended))
        record.trace_id = format_trace_id(span.get_span_context().trace_id)

    def close(self) -> None:
        """Export what waits."""
        self._provider.shutdown()

    def _unix(self, seconds: float) -> int:
        """Nanoseconds since 1970 of a time of time.perf_counter()."""
        return self._epoch + int(seconds * 1e9)


def check_environment() -> None:
    """Raises TracingError for a protocol that is not there."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if os.environ.get(name) not in (None, "", _PROTOCOL):
            raise TracingError(f"{name}: spans are sent by {_PROTOCOL} alone, not {os.environ[name]!r}; unset it")


def _attributes(record: RequestRecord) -> Mapping[str, str | int]:
    """Names are OpenTelemetry's own for HTTP, and others of this service."""
    known = {
        "http.request.method": record.method,
        "http.route": record.route,
        "url.path": record.path,
        "http.response.status_code": record.status,
        "http.response.body.size": record.sent,
        "gan.request_id": record.id,
        "gan.model": record.model,
        "gan.images": record.images,
    }
    return {name: value for name, value in known.items() if value is not None}
