import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pydantic
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.otlp import OtlpExporter
from service.settings import Settings
from service.tracing import start_tracing, stop_tracing, trace_to
from tests.service.conftest import PROJECT, App
from tests.service.files import PATIENT, dicom_file
from tests.small_artifact import synthetic_png

PNG = synthetic_png(3)
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
REQUEST_ID = "0123456789abcdef"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    trace_to(SimpleSpanProcessor(exporter))
    yield exporter
    stop_tracing()


def requests_of(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if "http.route" in (span.attributes or {})]


def phases_below(exporter: InMemorySpanExporter, request: ReadableSpan) -> dict[str, ReadableSpan]:
    context = request.get_span_context()
    assert context is not None
    spans = exporter.get_finished_spans()
    return {span.name: span for span in spans if span.parent and span.parent.span_id == context.span_id}


def test_request_is_a_span_with_its_phases_in_their_order(app: App, exporter: InMemorySpanExporter) -> None:
    app.classify(PNG, "/classify?grad_cam=true", headers={"X-Request-ID": REQUEST_ID})
    (request,) = requests_of(exporter)
    assert request.name == "POST /classify"
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/classify",
        "http.response.status_code": 200,
        "http.request.body.size": len(PNG),
        "samx.request_id": REQUEST_ID,
    }
    phases = phases_below(exporter, request)
    assert set(phases) == {"receive", "read", "queue", "network", "grad_cam"}
    times = [(phases[name].start_time, phases[name].end_time) for name in ("receive", "read", "queue", "network")]
    moments = [moment or 0 for pair in times for moment in pair]
    slack = 2_000_000  # nanoseconds; durations and ends come from two clocks
    assert all(earlier <= later + slack for earlier, later in itertools.pairwise(moments))
    assert (request.start_time or 0) - slack <= moments[0]
    assert moments[-1] <= (request.end_time or 0)


def test_trace_of_the_caller_goes_on(app: App, exporter: InMemorySpanExporter) -> None:
    app.classify(PNG, headers={**PARENT, "tracestate": f"vendor={PATIENT}"})
    (request,) = requests_of(exporter)
    context = request.get_span_context()
    assert context is not None
    assert request.parent is not None
    assert (f"{context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE_ID, SPAN_ID)
    assert len(context.trace_state) == 0
    app.classify(PNG, headers={"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-00"})  # the caller does not want it traced
    assert len(requests_of(exporter)) == 1


def test_every_file_of_a_batch_has_its_phases_below_its_request(app: App, exporter: InMemorySpanExporter) -> None:
    files = [("file", ("a.png", PNG)), ("file", ("b.png", PNG))]
    app.request("POST", "/classify_batch", files=files)
    app.classify(PNG)
    batch, single = requests_of(exporter)
    names = [span.name for span in exporter.get_finished_spans() if span.context.trace_id == batch.context.trace_id]
    assert sorted(names) == ["POST /classify_batch", "network", "network", "queue", "queue", "read", "read"]
    assert set(phases_below(exporter, single)) == {"receive", "read", "queue", "network"}


def test_spans_hold_nothing_of_file_client_or_path(app: App, exporter: InMemorySpanExporter) -> None:
    name = PATIENT.split("^", maxsplit=1)[0]
    app.classify(dicom_file(BodyPartExamined=PATIENT.upper()), f"/classify?patient={name}")
    app.request("GET", f"/{name}", headers={"X-Request-ID": name, "User-Agent": name})
    assert [request.name for request in requests_of(exporter)] == ["POST /classify", "GET /unknown"]
    written = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert name.lower() not in written.lower()


def test_share_is_of_requests_that_nobody_has_decided_about(app: App) -> None:
    exporter = InMemorySpanExporter()
    trace_to(SimpleSpanProcessor(exporter), share=0.0)
    try:
        app.classify(PNG)
        assert not exporter.get_finished_spans()
        app.classify(PNG, headers=PARENT)
        assert len(requests_of(exporter)) == 1
    finally:
        stop_tracing()


class _Collector(BaseHTTPRequestHandler):
    received: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append({"path": self.path, "type": self.headers["Content-Type"], "body": json.loads(body)})
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_collector_is_sent_otlp(app: App) -> None:
    collector = type("Collector", (_Collector,), {"received": []})
    with HTTPServer(("127.0.0.1", 0), collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            start_tracing(Settings(traces_url=f"http://127.0.0.1:{server.server_port}/v1/traces"))
            app.classify(PNG, headers=PARENT)
            stop_tracing()  # sends what is left
        finally:
            server.shutdown()
            thread.join()
    (delivery,) = collector.received  # type: ignore[attr-defined]
    assert (delivery["path"], delivery["type"]) == ("/v1/traces", "application/json")
    (resource_spans,) = delivery["body"]["resourceSpans"]
    assert {"key": "service.name", "value": {"stringValue": "samx"}} in resource_spans["resource"]["attributes"]
    (scope_spans,) = resource_spans["scopeSpans"]
    spans = {span["name"]: span for span in scope_spans["spans"]}
    assert set(spans) == {"POST /classify", "receive", "read", "queue", "network"}
    request = spans["POST /classify"]
    assert (request["traceId"], request["parentSpanId"], request["kind"]) == (TRACE_ID, SPAN_ID, 2)
    assert {"key": "http.response.status_code", "value": {"intValue": "200"}} in request["attributes"]
    assert spans["read"]["parentSpanId"] == request["spanId"]
    assert int(spans["read"]["startTimeUnixNano"]) <= int(spans["read"]["endTimeUnixNano"])


def test_collector_that_is_away_harms_no_request(
    app: App, exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    assert app.classify(PNG).status_code == 200
    away = OtlpExporter("http://127.0.0.1:9/v1/traces")
    spans = exporter.get_finished_spans()
    assert [away.export(spans), away.export(spans)] == [SpanExportResult.FAILURE] * 2
    assert caplog.text.count("Spans cannot be delivered") == 1


def test_nothing_is_imported_where_nothing_is_traced(small_artifact: Path) -> None:
    program = (
        "import sys, service.border, service.inference, service.routes, service.tracing\n"
        "from service.settings import Settings\n"
        "service.tracing.start_tracing(Settings())\n"
        "service.tracing.begin_request('GET', '/', {}, ''); service.tracing.end_request(200, 0)\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'service.otlp'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_collector_is_named_by_http() -> None:
    with pytest.raises(pydantic.ValidationError):
        Settings(traces_url="file:///etc/passwd")
