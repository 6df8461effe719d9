"""What FastAPI cannot see for itself: a body that is read by hand, problems, and health and metrics."""

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.border import SYSTEM_PATHS
from service.multipart import MULTIPART
from service.problems import MEDIA_TYPE
from service.schemas import Problem
from service.upload import FILE_FIELD, RAW_MEDIA_TYPES, Parameters

_MEANINGS = {
    400: "Malformed: no file, text in place of a file, an empty file, or a parameter that is unknown or wrong.",
    401: "The service asks for a key, and the request has none that is known.",
    403: "Not allowed: the storage refuses, the place may not be used, or nobody may do this as the service is set up.",
    404: "There is no such job.",
    405: "The path does not take this method.",
    408: "The body took too long to arrive.",
    409: "The job has ended already; or the current version cannot be served, and the one before goes on.",
    413: "The body, or the radiograph inside it, is larger than what is taken.",
    415: "Not a format in which radiographs are read: DICOM, PNG, JPEG, TIFF.",
    422: "What was sent or named cannot be used; `code` says why, `detail` names the attribute or place.",
    431: "The request's headers are too long.",
    503: "Too much in work or waiting, too slow an answer, a storage out of reach, or no model yet; see `Retry-After`.",
}
_SYSTEM_MEANINGS = {
    "/livez": "Whether the process works; 503 if its model could not be loaded.",
    "/readyz": "Whether the model is loaded, self-tested and warmed up; 503 until then.",
    "/healthz": "The same as /livez.",
    "/metrics": "Counters and durations in Prometheus' text format.",
}


def document_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer these errors."""
    schema = {"$ref": "#/components/schemas/Problem"}
    documented: dict[int | str, dict[str, Any]] = {
        status: {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in (*statuses, 431)
    }
    if 503 in documented:
        retry_after = {"description": "Seconds until a new attempt makes sense.", "schema": {"type": "integer"}}
        documented[503]["headers"] = {"Retry-After": retry_after}
    return documented


def document_classify() -> dict[str, Any]:
    """Parameters and both kinds of body of POST /classify."""
    properties = Parameters.model_json_schema()["properties"]
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "required": [FILE_FIELD], "properties": {FILE_FIELD: binary, **properties}}
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": schema["description"], "schema": schema}
            for name, schema in properties.items()
        ],
        "requestBody": {
            "required": True,
            "description": "The radiograph. Parameters may be given in the query or as form fields, once.",
            "content": {MULTIPART: {"schema": form}}
            | {media_type: {"schema": binary} for media_type in RAW_MEDIA_TYPES},
        },
    }


def document_batch() -> dict[str, Any]:
    """Parameter and body of POST /classify_batch."""
    schema = Parameters.model_json_schema()["properties"]["top_k"]
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1}
    form = {"type": "object", "required": [FILE_FIELD], "properties": {FILE_FIELD: files}}
    return {
        "parameters": [
            {"name": "top_k", "in": "query", "required": False, "description": schema["description"], "schema": schema}
        ],
        "requestBody": {
            "required": True,
            "description": f"The radiographs, each as a field `{FILE_FIELD}`.",
            "content": {MULTIPART: {"schema": form}},
        },
    }


def document_overlay() -> dict[int | str, dict[str, Any]]:
    """The other kind of answer of POST /classify."""
    return {200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}}


def document_keys() -> dict[str, Any]:
    """How a key is sent, where one is asked for."""
    return {"security": [{}, {"bearer": []}, {"api_key": []}]}


def prefers_png(accept: str) -> bool:
    """Whether a client asks for the picture (RFC 9110, section 12.5.1): named, and not less wanted than JSON.

    Args:
        accept: value of the Accept header, "" where there is none.
    """
    wanted: dict[str, float] = {}
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        wanted[media_range] = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
    return wanted.get("image/png", 0.0) > wanted.get("application/json", 0.0)


def document_system_paths(app: FastAPI) -> None:
    """Make /openapi.json name the problems' schema and the paths for those who watch the service."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"]["Problem"] = problem
            document["components"]["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            for path in SYSTEM_PATHS:
                document["paths"][path] = {"get": _system_operation(path)}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _system_operation(path: str) -> dict[str, Any]:
    answers: dict[str, Any] = {
        "200": {"description": "Yes.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    }
    if path != "/metrics":
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        answers["503"] = {"description": "No.", "content": content}
    return {"operationId": path.strip("/"), "summary": _SYSTEM_MEANINGS[path], "responses": answers}
