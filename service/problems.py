"""Every way in which the service says no: one exception, one body (RFC 9457), and logs without a patient's data."""

import json
import traceback
from collections.abc import Mapping
from http import HTTPStatus

from samx.errors import NotARadiographFormat, RadiographError, RadiographTooLarge

MEDIA_TYPE = "application/problem+json"

_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""RFC 9110 titles where this Python still has the older ones."""


class ProblemError(Exception):
    """A request that is answered with a problem.

    Args:
        status: HTTP status.
        code: stable reason in snake case.
        detail: what was found and what is allowed; never a value that the client sent.
        headers: of the answer, for example Retry-After.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def problem_of(error: RadiographError) -> ProblemError:
    """The answer for a file that cannot be used: 415, 413 or 422, as drawn in samx.errors."""
    match error:
        case NotARadiographFormat():
            status = 415
        case RadiographTooLarge():
            status = 413
        case _:
            status = 422
    return ProblemError(status, error.code, error.detail)


def problem_body(status: int, code: str, detail: str) -> bytes:
    """The JSON body of a problem, see `schemas.Problem`."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    return json.dumps(problem, ensure_ascii=False).encode()


def traceback_without_values(error: BaseException) -> str:
    """Where an unexpected error came from, for the log: types and lines, no messages, which may hold patient data."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 5:
        frames = traceback.extract_tb(current.__traceback__)
        places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
        chain.append(f"{type(current).__module__}.{type(current).__qualname__} at {places or 'unknown place'}")
        current = current.__cause__ or current.__context__
    return "; caused by ".join(chain)
