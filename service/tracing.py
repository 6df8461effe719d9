"""One span for each request and one below it for each phase of a radiograph, sent to a collector where one is named.

BentoML can trace, too, but its middleware is not in the way of the routes (border.py), and its spans carry raw paths.
Ours carry what the metrics do - method, route, status, bytes, seconds - and the request's identifier; nothing of the
file, its name or the client. The caller's traceparent (W3C Trace Context, section 3.2) is taken up; its tracestate,
free text, is not.

OpenTelemetry's SDK is imported only where a collector is named.
"""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

from samx import __version__
from service.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span

_SPAN: ContextVar["Span | None"] = ContextVar("span", default=None)
"""Of the request that is being answered, where it is traced."""

_providers: "list[TracerProvider]" = []
"""What spans come from: one, or none where nothing is traced."""


def start_tracing(settings: Settings) -> None:
    """Send spans to `settings.traces_url` from now on, where it names a collector."""
    if not settings.traces_url:
        return
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  # see above

    from service.otlp import OtlpExporter  # noqa: PLC0415

    trace_to(BatchSpanProcessor(OtlpExporter(settings.traces_url)), share=settings.traces_share)


def trace_to(processor: "SpanProcessor", *, share: float = 1.0) -> None:
    """Give all spans to a processor; of `share` of the requests, where the caller has not decided that already."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    stop_tracing()
    resource = Resource({"service.name": "samx", "service.version": __version__})
    provider = TracerProvider(ParentBased(TraceIdRatioBased(share)), resource, shutdown_on_exit=False)
    provider.add_span_processor(processor)
    _providers.append(provider)


def stop_tracing() -> None:
    """Send what is left, and trace no longer. Blocks, for seconds where the collector does not answer."""
    while _providers:
        _providers.pop().shutdown()


def begin_request(method: str, route: str, headers: Mapping[str, str], request_id: str) -> None:
    """Begin the span of a request; what its context awaits or starts belongs to it.

    Args:
        method: of HTTP.
        route: a path that is served, or its template.
        headers: of which traceparent is read.
        request_id: of the request.
    """
    if not _providers:
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    parent = TraceContextTextMapPropagator().extract({"traceparent": headers.get("traceparent", "")})
    # The names are those of OpenTelemetry's semantic conventions for HTTP.
    attributes = {"http.request.method": method, "http.route": route, "samx.request_id": request_id}
    tracer = _providers[0].get_tracer("samx.service", __version__)
    _SPAN.set(tracer.start_span(f"{method} {route}", parent, SpanKind.SERVER, attributes))


def record_phase(phase: str, seconds: float, *, ago: float = 0.0) -> None:
    """A span below the request's of what took so many seconds and ended so many ago."""
    span = _SPAN.get()
    if span is None or not _providers:
        return
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

    end = time.time_ns() - round(ago * 1e9)
    tracer = _providers[0].get_tracer("samx.service", __version__)
    tracer.start_span(phase, set_span_in_context(span), start_time=end - round(seconds * 1e9)).end(end)


def end_request(status: int, num_received: int) -> None:
    """End the span of the request that is being answered.

    Args:
        status: of HTTP; 0 where nothing was answered.
        num_received: bytes of its body that came.
    """
    span = _SPAN.get()
    if span is None:
        return
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    span.set_attributes({"http.response.status_code": status, "http.request.body.size": num_received})
    if status >= 500 or not status:
        span.set_status(StatusCode.ERROR)
    span.end()
    _SPAN.set(None)
