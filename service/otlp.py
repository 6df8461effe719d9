"""Spans to a collector as JSON over HTTP: OTLP 1.x, its JSON encoding of protobuf.

The library's own exporter needs six packages more, protobuf among them; a span of ours has few kinds of fields.
"""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

TIMEOUT_SECONDS = 5.0
"""For one delivery; what cannot be delivered is dropped."""
_KINDS = {SpanKind.INTERNAL: 1, SpanKind.SERVER: 2}

logger = logging.getLogger("samx.service")


class OtlpExporter(SpanExporter):
    """Delivers spans.

    Args:
        url: where a collector takes traces, `http://host:4318/v1/traces` by default of most.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._delivers = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Deliver them once; the log says when that begins to fail."""
        body = json.dumps(as_otlp(spans)).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})  # noqa: S310  # http or https: settings.py
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  # as above
                answer.read()
        except (OSError, ValueError) as error:  # of the network, of HTTP, of what is no answer
            if self._delivers:
                logger.warning("Spans cannot be delivered and are dropped: %s", type(error).__name__)
            self._delivers = False
            return SpanExportResult.FAILURE
        self._delivers = True
        return SpanExportResult.SUCCESS


def as_otlp(spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    """An ExportTraceServiceRequest of spans that come from one tracer."""
    scope, resource = spans[0].instrumentation_scope, spans[0].resource
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource.attributes)},
                "scopeSpans": [
                    {
                        "scope": {"name": scope.name, "version": scope.version} if scope else {},
                        "spans": [_span(span) for span in spans],
                    }
                ],
            }
        ]
    }


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    parent = {"parentSpanId": f"{span.parent.span_id:016x}"} if span.parent else {}
    return {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        **parent,
        "name": span.name,
        "kind": _KINDS[span.kind],
        "startTimeUnixNano": str(span.start_time),  # 64 bits are text in protobuf's JSON
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}}
        for key, value in attributes.items()
    ]
