"""What FastAPI cannot see for itself: a body that is read by hand, problems, and the routes that BentoML answers."""

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
    403: "Not allowed: the storage refuses, the place may not be used, or the service does not sort.",
    404: "There is no such job.",
    405: "The path does not take this method.",
    408: "The body took too long to arrive.",
    409: "The job has ended already.",
    413: "The body, or the radiograph inside it, is larger than what is taken.",
    415: "Not a format in which radiographs are read: DICOM, PNG, JPEG, TIFF.",
    422: "What was sent or named cannot be used; `code` says why, `detail` names the attribute or place.",
    503: "Too many requests in work or waiting, a storage out of reach, or the model not ready; see `Retry-After`.",
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
        status: {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
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


def document_system_paths(app: FastAPI) -> None:
    """Make /openapi.json name the problems' schema and the routes that BentoML answers."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"]["Problem"] = problem
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
