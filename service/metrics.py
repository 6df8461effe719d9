"""What is measured while serving, for Prometheus. Labels are bounded: nothing that a client wrote becomes one.

They are kept in memory. BentoML has the client library keep them in files, where several processes would meet: there is
one here, and a full disk would end it, since what is mapped into memory has no page to be written to.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest, values

from service.tracing import record_phase

values.ValueClass = values.MutexValue  # whatever PROMETHEUS_MULTIPROC_DIR says

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
"""Of `exposition`."""
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Phase = Literal["receive", "read", "queue", "network", "grad_cam"]

REQUESTS: Final = Counter("samx_requests", "Requests answered.", ["method", "path", "status"])
REQUEST_SECONDS: Final = Histogram(
    "samx_request_seconds", "From the first byte of a request to the last of its answer.", ["path"], buckets=_SECONDS
)
REQUESTS_IN_PROGRESS: Final = Gauge("samx_requests_in_progress", "Requests begun and not ended.", ["path"])
RECEIVED_BYTES: Final = Counter("samx_received_bytes", "Bytes of bodies received.", ["path"])
PHASE_SECONDS: Final = Histogram(
    "samx_phase_seconds",
    "A radiograph's way: body received, file read, waiting for the network, network, pictures of the heat map.",
    ["phase"],
    buckets=_SECONDS,
)
BATCH_SIZE: Final = Histogram(
    "samx_batch_size", "Radiographs that went through the network together.", buckets=(1, 2, 4, 8, 16, 32)
)
PLACES_TAKEN: Final = Gauge(
    "samx_places_taken",
    "Radiographs in work or waiting; /classify answers 503 at the limit.",
)
PLACES: Final = Gauge("samx_places", "The limit of samx_places_taken.")
PROBLEMS: Final = Counter("samx_problems", "Radiographs and requests refused, by the problem's code.", ["code"])
DECISIONS: Final = Counter("samx_decisions", "Answers by decision.", ["decision"])
CLASSES: Final = Counter("samx_classes", "Answers by most probable class.", ["label"])
PROBABILITY: Final = Histogram(
    "samx_probability",
    "Probability of the most probable class.",
    buckets=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0),
)
TAGS: Final = Counter("samx_tags", "Answers by agreement with the DICOM tag: yes, no, or unknown.", ["agrees"])
MODEL: Final = Gauge("samx_model", "1 for the version that is served.", ["name", "version"])
REFERENCE_CLASS_SHARE: Final = Gauge(
    "samx_reference_class_share", "Share of a class in the model's hold-out.", ["label"]
)
REFERENCE_ACCEPTED_SHARE: Final = Gauge(
    "samx_reference_accepted_share", "Share of the hold-out that the model accepted."
)


def exposition() -> bytes:
    """All that is measured, in Prometheus' text format."""
    return generate_latest()


def observe_phase(phase: Phase, seconds: float, *, ago: float = 0.0) -> None:
    """Count one radiograph's time in a phase that ended so many seconds ago; in the context of its request."""
    PHASE_SECONDS.labels(phase).observe(seconds)
    record_phase(phase, seconds, ago=ago)


def announce_model(name: str, version: str, metrics: Mapping[str, Any] | None) -> None:
    """Say which version is served now, and what it answered for its hold-out, against which drift is seen.

    Args:
        name: of the model.
        version: of the model.
        metrics: content of the artifact's metrics.json; what is not in it is not announced.
    """
    for gauge in (MODEL, REFERENCE_CLASS_SHARE):
        gauge.clear()  # of the version before
    MODEL.labels(name, version).set(1)
    measured = (metrics or {}).get("holdout", {}).get("holdout", {})
    REFERENCE_ACCEPTED_SHARE.set(measured.get("accepted", {}).get("value") or 0)
    counts = {label: entry["recall"]["n"] for label, entry in measured.get("per_class", {}).items()}
    for label, count in counts.items():
        REFERENCE_CLASS_SHARE.labels(label).set(count / max(1, sum(counts.values())))
