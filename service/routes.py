"""The public routes, as a FastAPI application that knows nothing of BentoML."""

from pathlib import Path
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response

from samx import __version__
from service.border import TruePath
from service.inference import Inference
from service.openapi import document_classify, document_problems, document_system_paths
from service.problems import MEDIA_TYPE, ProblemError, problem_body
from service.schemas import Classification, ModelDescription
from service.sort_routes import add_sort_routes
from service.upload import read_upload

PAGE_FOLDER: Final = Path(__file__).parent / "page"
PAGE_FILES: Final = {"/": "index.html", "/app.js": "app.js", "/style.css": "style.css", "/icon.svg": "icon.svg"}

_DESCRIPTION = """\
Tells which anatomical entity a musculoskeletal radiograph shows. Research use; not a medical device.

Every error is a problem as RFC 9457 describes it (`application/problem+json`) with a stable `code`.
Nothing that is sent is stored. Nothing is fetched from anywhere, but for the buckets that `/sort` is told to sort.
"""
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}


def create_app() -> FastAPI:
    """The application; `app.state.inference` and `app.state.sorting` have to be set before it answers."""
    app = FastAPI(
        title="SAM-X",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(TruePath)
    app.exception_handler(ProblemError)(_answer_problem)
    app.exception_handler(RequestValidationError)(_answer_invalid_parameter)
    app.add_api_route(
        "/classify",
        _classify,
        methods=["POST"],
        operation_id="classify",
        summary="Classify one radiograph",
        response_model=Classification,
        responses=document_problems(400, 405, 408, 413, 415, 422, 503),
        openapi_extra=document_classify(),
    )
    app.add_api_route(
        "/model",
        _describe_model,
        methods=["GET"],
        operation_id="describe_model",
        summary="The model that is served",
        response_model=ModelDescription,
        responses=document_problems(405, 503),
    )
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
    """Tells what a radiograph shows: the most probable classes, a decision, and whether the DICOM tag agrees."""
    inference = _inference(request)
    with inference.admitted() as model:
        upload = await read_upload(
            request,
            max_body_bytes=inference.settings.max_body_bytes,
            timeout_seconds=inference.settings.body_timeout_seconds,
        )
        answer = await inference.answer(model, upload)
    return Response(answer, media_type="application/json", headers={"Cache-Control": "no-store"})


async def _describe_model(request: Request) -> ModelDescription:
    """Name, version, classes, thresholds, measured quality and provenance of the model."""
    return _inference(request).model.description


def _page_file(path: Path) -> Any:
    async def send_page_file() -> FileResponse:
        return FileResponse(path, headers=_PAGE_HEADERS)

    return send_page_file


def _inference(request: Request) -> Inference:
    return cast("Inference", request.app.state.inference)


async def _answer_invalid_parameter(_: Request, error: RequestValidationError) -> Response:
    """Of a path or query; says which and what is allowed, and repeats nothing."""
    (fault, *_rest) = error.errors()
    detail = f"{fault['loc'][-1]}: {fault['msg']}"
    return Response(problem_body(400, "invalid_parameter", detail), status_code=400, media_type=MEDIA_TYPE)


async def _answer_problem(_: Request, error: ProblemError) -> Response:
    body = problem_body(error.status, error.code, error.detail)
    return Response(body, status_code=error.status, media_type=MEDIA_TYPE, headers=error.headers)
