"""Every question to a service, once for both clients: what is sent, and what the answer means."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar

import httpx
import pydantic

from samx.client import answers
from samx.client.bodies import Body, Source, form_body, raw_body
from samx.client.retrying import Attempts
from samx.errors import ServiceBusy, ServiceProblem, ServiceUnreachable, UnexpectedAnswer

_Answer = TypeVar("_Answer")

BATCH_SECONDS = 600.0
"""How long the answer to a batch may take; the service's own limit by default."""


@dataclass(frozen=True, slots=True)
class Call(Generic[_Answer]):
    """One question.

    Args:
        answer: type of the answer; bytes is the body as it is.
        method: of HTTP.
        path: below the service's URL.
        body: to be sent, if any.
        query: parameters.
        accept: media type that is asked for.
        seconds: how long the answer may take at least, whatever the client's timeout is.
    """

    answer: type[_Answer]
    method: str
    path: str
    body: Body | None = None
    query: dict[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    seconds: float = 0.0

    def options(self, timeout_seconds: float) -> dict[str, Any]:
        """What `httpx.Client.build_request` takes, but for the content.

        Raises:
            OSError: a file cannot be found.
        """
        headers = {"Accept": self.accept}
        if self.body is not None:
            headers |= {"Content-Type": self.body.media_type, "Content-Length": str(self.body.size_bytes)}
        timeout = max(timeout_seconds, self.seconds)
        return {"method": self.method, "url": self.path, "params": self.query, "headers": headers, "timeout": timeout}

    def pause(self, attempts: Attempts, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds until the next attempt; None where the outcome is an answer.

        Raises:
            ServiceUnreachable: there is neither an answer nor another attempt.
        """
        if isinstance(outcome, httpx.Response):
            return attempts.pause_after_answer(outcome)
        pause = attempts.pause_after_error(outcome)
        if pause is None:
            raise ServiceUnreachable(f"{self.method} {self.path}: {type(outcome).__name__}: {outcome}") from outcome
        return pause

    def read(self, response: httpx.Response) -> _Answer:
        """The answer.

        Raises:
            ServiceProblem: the service says no.
            UnexpectedAnswer: this is not what a SAM-X service answers.
        """
        if response.status_code >= 400:
            raise _problem(response)
        media_type = response.headers.get("content-type", "").partition(";")[0]
        if not response.is_success or media_type != self.accept:
            what = f"{response.status_code} {media_type or 'without a media type'}"
            raise UnexpectedAnswer(f"{self.method} {self.path} was answered {what}; is this a SAM-X service?")
        if self.answer is bytes:
            return response.content  # type: ignore[return-value]  # which is what `answer` says
        try:
            answer: _Answer = _reader(self.answer).validate_json(response.content)  # type: ignore[arg-type]  # types are hashable
        except pydantic.ValidationError as error:
            places = sorted({".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False)})
            detail = f"{self.method} {self.path}: these fields are not as documented: {', '.join(places)}"
            raise UnexpectedAnswer(detail) from None
        return answer


@cache
def _reader(answer: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(answer)


def _problem(response: httpx.Response) -> ServiceProblem:
    """What the service said; where something between says no instead, its status alone."""
    kind = ServiceBusy if response.status_code in (429, 503) else ServiceProblem
    try:
        body = json.loads(response.content)
        code, detail = str(body["code"]), str(body["detail"])
    except (ValueError, KeyError, TypeError):
        code, detail = "no_problem_document", f"{response.reason_phrase or 'Refused'}, without a SAM-X problem"
    return kind(response.status_code, code, detail, response.headers.get("x-request-id"))


def classify(source: Source, *, top_k: int | None, grad_cam: bool) -> Call[answers.Classification]:
    """POST /classify."""
    query = _top_k(top_k) | ({"grad_cam": "true"} if grad_cam else {})
    return Call(answers.Classification, "POST", "/classify", raw_body(source), query)


def overlay(source: Source) -> Call[bytes]:
    """POST /classify for a picture."""
    return Call(bytes, "POST", "/classify", raw_body(source), accept="image/png")


def classify_batch(sources: Sequence[Source], *, top_k: int | None) -> Call[answers.BatchClassification]:
    """POST /classify_batch."""
    body = form_body(sources)
    return Call(answers.BatchClassification, "POST", "/classify_batch", body, _top_k(top_k), seconds=BATCH_SECONDS)


def model() -> Call[answers.ModelDescription]:
    """GET /model."""
    return Call(answers.ModelDescription, "GET", "/model")


def reload_model() -> Call[answers.Reloaded]:
    """POST /model/reload."""
    return Call(answers.Reloaded, "POST", "/model/reload", Body("application/json", ()), seconds=BATCH_SECONDS)


def sort(**order: Any) -> Call[answers.SortJob]:
    """POST /sort."""
    return Call(answers.SortJob, "POST", "/sort", Body("application/json", (json.dumps(order).encode(),)))


def sort_job(job_id: str) -> Call[answers.SortJobWithProgress]:
    """GET /sort/{job_id}."""
    return Call(answers.SortJobWithProgress, "GET", f"/sort/{_segment(job_id)}")


def cancel(job_id: str) -> Call[answers.SortJob]:
    """DELETE /sort/{job_id}."""
    return Call(answers.SortJob, "DELETE", f"/sort/{_segment(job_id)}")


def jobs(after: str, page_size: int) -> Call[answers.SortJobs]:
    """GET /sort, one page."""
    return Call(answers.SortJobs, "GET", "/sort", query={"limit": str(page_size), "after": after})


def _top_k(top_k: int | None) -> dict[str, str]:
    return {} if top_k is None else {"top_k": str(top_k)}


def _segment(job_id: str) -> str:
    """The name, where it is one: another would be another path.

    Raises:
        ValueError: it is none.
    """
    if not job_id or not all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in job_id):
        raise ValueError(f"a job's name has letters, digits and hyphens only: {job_id!r}")
    return job_id
