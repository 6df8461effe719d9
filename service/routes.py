"""The public routes, as a FastAPI application that knows nothing of BentoML."""

import time
from pathlib import Path
from typing import Any, Final, cast

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response

from samx import __version__
from samx.errors import SamxError
from service import metrics
from service.access import require_admin_key, require_key
from service.batch_answers import answer_files
from service.inference import Inference
from service.leaving import unless_client_leaves
from service.openapi import (
    document_batch,
    document_classify,
    document_keys,
    document_overlay,
    document_problems,
    document_system_paths,
    prefers_png,
)
from service.problems import MEDIA_TYPE, ProblemError, problem_body, without_secrets
from service.schemas import BatchClassification, Classification, ModelDescription, Reloaded
from service.sort_routes import add_sort_routes
from service.upload import read_upload

PAGE_FOLDER: Final = Path(__file__).parent / "page"
PAGE_PARTS: Final = (
    *("style.css", "icon.svg", "app.js", "answer.js", "client.js", "csv.js", "dom.js", "entries.js", "failures.js"),
    *("files.js", "list.js", "model.js", "pictures.js", "queue.js", "summary.js", "viewer.js"),
)
PAGE_FILES: Final = {"/": "index.html"} | {f"/{name}": name for name in PAGE_PARTS}

_DESCRIPTION = """\
Tells which anatomical entity a musculoskeletal radiograph shows. Research use; not a medical device.

Every error is a problem as RFC 9457 describes it (`application/problem+json`) with a stable `code`.
Nothing that is sent is stored. Nothing is fetched from anywhere, but for the buckets that `/sort` is told to sort.
`X-Request-ID` comes back with every answer.
"""
_NOT_STORED = {"Cache-Control": "no-store"}
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}


def create_app() -> FastAPI:
    """The application; `app.state` needs `inference`, `access` and `sorting` before it answers."""
    app = FastAPI(
        title="SAM-X",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.exception_handler(ProblemError)(_answer_problem)
    app.exception_handler(RequestValidationError)(_answer_invalid_parameter)
    app.exception_handler(405)(_answer_wrong_method)
    app.add_api_route(
        "/classify",
        _classify,
        methods=["POST"],
        operation_id="classify",
        summary="Classify one radiograph",
        response_model=Classification,
        responses=document_problems(400, 401, 405, 408, 413, 415, 422, 503) | document_overlay(),
        openapi_extra=document_classify() | document_keys(),
        dependencies=[Depends(require_key)],
    )
    app.add_api_route(
        "/classify_batch",
        _classify_batch,
        methods=["POST"],
        operation_id="classify_batch",
        summary="Classify several radiographs",
        response_model=BatchClassification,
        responses=document_problems(400, 401, 405, 408, 413, 415, 503),
        openapi_extra=document_batch() | document_keys(),
        dependencies=[Depends(require_key)],
    )
    app.add_api_route(
        "/model",
        _describe_model,
        methods=["GET"],
        operation_id="describe_model",
        summary="The model that is served",
        response_model=ModelDescription,
        responses=document_problems(401, 405, 503),
        openapi_extra=document_keys(),
        dependencies=[Depends(require_key)],
    )
    app.add_api_route(
        "/model/reload",
        _reload_model,
        methods=["POST"],
        operation_id="reload_model",
        summary="Serve the version that is current now",
        response_model=Reloaded,
        responses=document_problems(401, 403, 405, 409),
        openapi_extra=document_keys(),
        dependencies=[Depends(require_admin_key)],
    )
    app.add_api_route("/metrics", _expose_metrics, methods=["GET"], include_in_schema=False)
    add_sort_routes(app)
    for path, name in PAGE_FILES.items():
        app.add_api_route(
            path,
            _page_file(PAGE_FOLDER / name),
            methods=["GET", "HEAD"],
            include_in_schema=False,
        )
    document_system_paths(app)
    return app


def served_paths(app: FastAPI) -> list[str]:
    """All paths of the application."""
    return [route.path for route in app.routes if hasattr(route, "path")]


async def _classify(request: Request) -> Response:
    """Tells what a radiograph shows: the most probable classes, a decision, and whether the DICOM tag agrees.

    With `Accept: image/png` the answer is the radiograph with the heat map of the most probable class over it.
    """
    inference = _inference(request)
    with inference.admitted() as served:
        begun = time.perf_counter()
        upload = await read_upload(
            request,
            max_body_bytes=inference.settings.max_body_bytes,
            timeout_seconds=inference.settings.body_timeout_seconds,
        )
        metrics.observe_phase("receive", time.perf_counter() - begun)
        if prefers_png(request.headers.get("accept", "")):
            overlay = inference.overlay(served, upload.data, upload.parameters)
            return Response(await unless_client_leaves(request, overlay), media_type="image/png", headers=_NOT_STORED)
        answer = await unless_client_leaves(request, inference.classify(served, upload.data, upload.parameters))
    return _json(answer.model_dump_json())


async def _classify_batch(request: Request) -> Response:
    """Tells what each of several radiographs shows, in their order; a bad file harms no other."""
    inference = _inference(request)
    num_places = inference.settings.threads
    with inference.admitted(num_places) as served:
        answers = await answer_files(request, inference, served, num_places=num_places)
    return _json(BatchClassification(answers=answers).model_dump_json())


async def _describe_model(request: Request) -> ModelDescription:
    """Name, version, classes, thresholds, measured quality and provenance of the model."""
    return _inference(request).serving.served.model.description


async def _reload_model(request: Request) -> Reloaded:
    """Looks which version is current, and serves it once it is loaded, tested and warm; until then the one before is.

    After a roll back this serves the version before.
    """
    try:
        served, changed = await _inference(request).serving.reload()
    except SamxError as error:
        detail = f"The current version cannot be served; the one before goes on. {without_secrets(str(error))}"
        raise ProblemError(409, "model_refused", detail) from error
    return Reloaded(model=served.model.name, changed=changed)


async def _expose_metrics() -> Response:
    return Response(metrics.exposition(), media_type=metrics.MEDIA_TYPE)


def _page_file(path: Path) -> Any:
    async def send_page_file() -> FileResponse:
        return FileResponse(path, headers=_PAGE_HEADERS)

    return send_page_file


def _inference(request: Request) -> Inference:
    return cast("Inference", request.app.state.inference)


def _json(body: str) -> Response:
    return Response(body, media_type="application/json", headers=_NOT_STORED)


async def _answer_invalid_parameter(request: Request, error: RequestValidationError) -> Response:
    """Of a path or query; says which and what is allowed, and repeats nothing."""
    (fault, *_) = error.errors()
    return await _answer_problem(request, ProblemError(400, "invalid_parameter", f"{fault['loc'][-1]}: {fault['msg']}"))


async def _answer_wrong_method(request: Request, _: HTTPException) -> Response:
    """With the methods of all routes of a path; Starlette names those of the first."""
    here = [route for route in request.app.routes if route.path_regex.match(request.url.path)]
    allowed = ", ".join(sorted({method for route in here for method in route.methods}))
    detail = "This path does not take this method; /openapi.json lists what it takes."
    return await _answer_problem(request, ProblemError(405, "method_not_allowed", detail, {"Allow": allowed}))


async def _answer_problem(_: Request, error: ProblemError) -> Response:
    metrics.PROBLEMS.labels(error.code).inc()
    body = problem_body(error.status, error.code, error.detail)
    return Response(body, status_code=error.status, media_type=MEDIA_TYPE, headers=error.headers)
