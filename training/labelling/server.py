"""The labelling page over HTTP: routes, and what they answer. See training.labelling.desk for what happens.

GET  /                              the page; /static/... its files
GET  /api/run, /api/state           what does not change, and what does
GET  /api/clusters/{id}[/split]     a closer look; what a split would give
GET  /api/tiles                     radiographs side by side as one JPEG
GET  /api/radiographs/{position}[/pixels]
GET  /api/map[/points], /api/audit, /api/second-reading, /api/agreement
POST /api/decisions                 a decision; answers what changed
GET  /livez
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pydantic
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from samx.anatomy import ANATOMY, DISCARD, MIXED
from samx.errors import ObjectNotFound, StorageError
from training.labelling.access import Access, problem
from training.labelling.desk import Conflict, Desk, Request
from training.labelling.pool import Pictures
from training.labelling.reading import NotAllowed

PAGE = Path(__file__).parent / "page"

_MOST_TILES = 200
_MOST_SUSPECTS = 500
_FOR_EVER = "private, max-age=31536000, immutable"
_VIEWS = ("AP", "PA", "LAT", "OBL", "AXIAL")
_LATERALITIES = ("L", "R", "B")
_COMPRESSED = (Middleware(GZipMiddleware, minimum_size=2000, compresslevel=3),)
"""For JSON; pictures are compressed already."""
_COMMON = ("reader", "seen", "seconds", "shown", "taken_out", "source", "force", "id")


def application(desk: Desk, pictures: Pictures, *, title: str, command: str, token: str | None = None) -> ASGIApp:
    """The page of one run as an ASGI application.

    Args:
        desk: the run, being labelled.
        pictures: of its radiographs.
        title: what the run is called on the page.
        command: how phase 2 is started.
        token: what visitors must know; None where only this machine can reach the page.
    """
    about = {
        "title": title,
        "num_radiographs": len(desk.pool.rows),
        "tile_size": pictures.tile_size,
        "labels": [
            {"label": one.label, "name": one.label.replace("_", " ").capitalize(),
             "body_part_examined": one.body_part_examined, "code": one.code.value}
            for one in sorted(ANATOMY.values(), key=lambda one: one.label)
        ],
        "reserved": [DISCARD, MIXED],
        "views": _VIEWS,
        "lateralities": _LATERALITIES,
        "attributes": desk.attributes,
    }  # fmt: skip
    routes = [
        Route("/", lambda _: FileResponse(PAGE / "index.html")),
        Route("/livez", lambda _: Response(b"ok", media_type="text/plain")),
        _answers("/api/run", lambda _: about | {"command": command + _again(desk)}),
        _answers("/api/state", lambda _: desk.state()),
        _answers("/api/clusters/{id:int}", lambda ask: desk.cluster(ask.path_params["id"])),
        _answers(
            "/api/clusters/{id:int}/split",
            lambda ask: desk.split_preview(ask.path_params["id"], _number(ask, "parts", 2, 9)),
        ),
        _answers("/api/radiographs/{position:int}", lambda ask: desk.radiograph(ask.path_params["position"])),
        Route("/api/radiographs/{position:int}/pixels", _sends(lambda ask: _pixels(desk, pictures, ask))),
        Route("/api/tiles", _sends(lambda ask: _tiles(desk, pictures, ask))),
        _answers("/api/map", lambda ask: desk.map("tsne" if _text(ask, "layout") == "tsne" else "pca")),
        Route("/api/map/points", _sends(lambda _: Response(desk.map_points(), media_type="application/octet-stream"))),
        _answers("/api/audit", lambda ask: desk.audit(_number(ask, "limit", 1, _MOST_SUSPECTS, 60))),
        _answers("/api/second-reading", lambda ask: desk.second_reading(_text(ask, "reader"))),
        _answers("/api/agreement", lambda _: desk.agreement()),
        Route("/api/decisions", _decides(desk), methods=["POST"], middleware=_COMPRESSED),
        Mount("/static", StaticFiles(directory=PAGE)),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Access, token=token)],
        exception_handlers={HTTPException: _http_problem},
    )


def _again(desk: Desk) -> str:
    return " --again-from label" if desk.went_through_phase_2 else ""


Handler = Callable[[HttpRequest], Awaitable[Response]]


def _answers(path: str, ask: Callable[[HttpRequest], Any]) -> Route:
    """A route that answers what a function of the request returns, as JSON."""
    return Route(path, _sends(lambda request: JSONResponse(ask(request))), middleware=_COMPRESSED)


def _sends(make: Callable[[HttpRequest], Response]) -> Handler:
    async def handle(request: HttpRequest) -> Response:
        return await run_in_threadpool(_guarded, lambda: make(request))

    return handle


def _decides(desk: Desk) -> Handler:
    async def handle(request: HttpRequest) -> Response:
        body = await request.body()
        return await run_in_threadpool(_guarded, lambda: _decide(desk, body))

    return handle


def _decide(desk: Desk, body: bytes) -> Response:
    try:
        content = json.loads(body)
        common = {name: content.pop(name) for name in _COMMON if name in content}
        request = Request.model_validate({**common, "wish": content})
    except (ValueError, AttributeError, RecursionError) as error:  # ValueError: pydantic's too
        return problem(422, "invalid_decision", _what_is_wrong(error))
    try:
        return JSONResponse(desk.decide(request))
    except Conflict as conflict:
        return problem(409, conflict.code, str(conflict), **desk.changes(request.seen))


def _what_is_wrong(error: Exception) -> str:
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return "The body is no JSON object."


def _guarded(make: Callable[[], Response]) -> Response:
    try:
        return make()
    except NotAllowed as refusal:
        status = {"not_found": 404, "invalid_decision": 422}.get(refusal.code, 409)
        return problem(status, refusal.code, str(refusal))
    except StorageError as error:
        return problem(503, "out_of_reach", f"The run cannot be reached; nothing was decided. {error}")


def _tiles(desk: Desk, pictures: Pictures, request: HttpRequest) -> Response:
    asked = [one for one in _text(request, "of").split(",") if one]
    if not 1 <= len(asked) <= _MOST_TILES or not all(
        one.isascii() and one.isdigit() and len(one) < 12 for one in asked
    ):
        raise NotAllowed("invalid_decision", f"`of` must be 1 to {_MOST_TILES} positions.")
    positions = [int(one) for one in asked]
    if max(positions) >= len(desk.pool.rows):
        raise NotAllowed("not_found", f"There is no radiograph {max(positions)}.")
    sprite = pictures.sprite(positions, _number(request, "columns", 1, _MOST_TILES, 6))
    return Response(sprite, media_type="image/jpeg", headers={"Cache-Control": _FOR_EVER})


def _pixels(desk: Desk, pictures: Pictures, request: HttpRequest) -> Response:
    position = int(request.path_params["position"])
    desk.radiograph(position)  # whether there is one
    try:
        return Response(pictures.radiograph(position), media_type="image/png", headers={"Cache-Control": _FOR_EVER})
    except ObjectNotFound:
        return problem(404, "not_found", "The radiograph is no longer in the source, or can no longer be read.")


def _text(request: HttpRequest, name: str) -> str:
    return request.query_params.get(name, "")


def _number(request: HttpRequest, name: str, least: int, most: int, default: int | None = None) -> int:
    text = _text(request, name) or ("" if default is None else str(default))
    if not (_is_number(text) and least <= int(text) <= most):
        raise NotAllowed("invalid_decision", f"`{name}` must be a number from {least} to {most}.")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12


async def _http_problem(_request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for these alone"
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return problem(error.status_code, code, error.detail)
