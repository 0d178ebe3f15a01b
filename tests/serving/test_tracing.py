"""Spans: one for each request, within the caller's trace, and one for each stage within it."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.testclient import TestClient

from serving.observing import Observer, check, observer_for
from serving.request_record import RequestRecord
from serving.settings import Settings
from serving.tracing import Tracing, TracingError
from tests.services import routes, with_lifespan

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(scope="module")
def traced(trained):
    """A client of the routes, and the spans that its requests made."""
    exporter, logged = InMemorySpanExporter(), []
    tracing = Tracing(SimpleSpanProcessor(exporter))
    observer = Observer([tracing.trace, logged.append], tracing.headers, [tracing.close])
    with (
        routes(trained.models) as api,
        TestClient(observer.observe(with_lifespan(api)), raise_server_exceptions=False) as client,
    ):
        client.exporter, client.logged, client.api = exporter, logged, api
        yield client
    observer.close()


@pytest.fixture
def spans(traced):
    traced.exporter.clear()
    traced.logged.clear()
    return lambda: {span.name: span for span in traced.exporter.get_finished_spans()}


def test_a_request_has_a_span_with_one_for_each_stage_in_it(traced, spans):
    answer = traced.post("/generate", json={"seed": 1, "n": 2})
    found = spans()
    assert set(found) == {"POST /generate", "queue", "infer", "encode"}
    whole = found["POST /generate"]
    assert (whole.kind, whole.parent, whole.status.status_code) == (SpanKind.SERVER, None, StatusCode.UNSET)
    assert whole.attributes["gan.model"] == answer.headers["x-model"]
    assert whole.attributes["gan.images"] == 2
    assert whole.attributes["gan.request_id"] == answer.headers["x-request-id"]
    assert whole.attributes["http.response.status_code"] == 200
    assert whole.resource.attributes["service.name"] == "gan-service"
    stages = [found[name] for name in ("queue", "infer", "encode")]
    assert {stage.parent.span_id for stage in stages} == {whole.context.span_id}
    times = [whole.start_time, *(time for stage in stages for time in (stage.start_time, stage.end_time)), whole.end_time]
    assert all(before <= after + 1000 for before, after in pairwise(times))  # a microsecond of rounding
    assert traced.logged[0].trace_id == format(whole.context.trace_id, "032x")


def test_it_belongs_to_the_callers_trace(traced, spans):
    traced.get("/generate?seed=1", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    whole = spans()["GET /generate"]
    assert format(whole.context.trace_id, "032x") == traced.logged[0].trace_id == TRACE
    assert format(whole.parent.span_id, "016x") == SPAN


def test_a_caller_who_does_not_sample_gets_no_spans(traced, spans):
    assert traced.get("/generate?seed=1", headers={"traceparent": f"00-{TRACE}-{SPAN}-00"}).status_code == 200
    assert spans() == {}


def test_names_do_not_grow_with_what_callers_make_up(traced, spans):
    traced.get("/models/a-name")
    traced.get("/made-up?secret=1")
    assert set(spans()) == {"GET /models/{name}", "GET none"}
    assert "secret" not in str([span.to_json() for span in spans().values()])


def test_failures_are_errors_and_refusals_are_not(traced, spans, monkeypatch):
    traced.post("/generate", json={"n": 0})
    assert spans()["POST /generate"].status.status_code == StatusCode.UNSET
    monkeypatch.setattr(traced.api._models, "get", lambda _: 1 / 0)
    traced.get("/generate")
    assert spans()["GET /generate"].status.status_code == StatusCode.ERROR


def test_what_could_not_be_read_has_a_span_too(traced, spans):
    tracing = Tracing(SimpleSpanProcessor(traced.exporter))
    record = RequestRecord.begin(None, None, [])
    record.status, record.ended = 400, record.began
    tracing.trace(record)
    assert set(spans()) == {"HTTP"}


def test_spans_are_sent_where_the_environment_says(monkeypatch):
    """By OTLP over HTTP, to a collector on this machine."""
    came = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append((self.path, self.headers["Api-Key"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "faces")
        observer = observer_for(Settings(tracing=True))
        record = observer.begin("GET", "/readyz", [])
        record.status = 200
        observer.end(record)
        observer.close()
        server.shutdown()
        thread.join()
    ((path, key, body),) = came
    assert (path, key) == ("/v1/traces", "k")
    (sent,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert [span.name for span in sent.scope_spans[0].spans] == ["GET"]
    assert "faces" in {attribute.value.string_value for attribute in sent.resource.attributes if attribute.key == "service.name"}


def test_another_protocol_stops_the_start(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TracingError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL: .*http/protobuf.*'grpc'"):
        check(Settings(tracing=True))


def test_without_the_setting_it_is_not_imported_and_without_the_extra_the_start_says_so():
    program = """
import sys
from serving.observing import check
from serving.settings import Settings
check(Settings())
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
sys.modules["opentelemetry.exporter"] = None
try:
    check(Settings(tracing=True))
except Exception as error:
    print(type(error).__name__, error)
"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert said.startswith("GanServiceError GAN_TRACING needs the extra otel")
    assert "'.[otel]'" in said
