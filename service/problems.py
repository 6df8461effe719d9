"""Every way in which the service says no: one exception, one body (RFC 9457), and logs without a patient's data."""

import re
import traceback
from collections.abc import Mapping
from http import HTTPStatus

from samx.errors import NotARadiographFormat, RadiographError, RadiographTooLarge
from service.schemas import Problem

MEDIA_TYPE = "application/problem+json"

_TITLES = {413: "Content Too Large", 422: "Unprocessable Content", 499: "Client Closed Request"}
"""RFC 9110 titles where this Python still has the older ones, and nginx's for who left."""


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


def problem(status: int, code: str, detail: str) -> Problem:
    """A problem as it is documented."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    return Problem(title=title, status=status, detail=detail, code=code)


def problem_body(status: int, code: str, detail: str) -> bytes:
    """The JSON body of a problem."""
    return problem(status, code, detail).model_dump_json().encode()


def without_secrets(text: str) -> str:
    """A text without what URLs in it may carry: user names, passwords, signatures."""
    return re.sub(r"[?#]\S*", "", re.sub(r"(?<=://)[^/@\s]+@", "", text))


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
