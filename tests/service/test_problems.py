import json

import pytest

from samx.errors import (
    NotARadiographFormat,
    RadiographError,
    RadiographTooLarge,
    UnreadableRadiograph,
    UnsupportedRadiograph,
)
from service.problems import problem_body, problem_of, traceback_without_values
from service.schemas import Problem


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotARadiographFormat("text", "This is text."), 415),
        (RadiographTooLarge("too_many_pixels", "Rows are 70000."), 413),
        (UnreadableRadiograph("truncated", "Pixel Data ends early."), 422),
        (UnsupportedRadiograph("multi_frame", "Number of Frames is 3."), 422),
    ],
)
def test_reading_errors_have_the_status_drawn_in_the_tree(error: RadiographError, status: int) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.detail) == (status, error.code, error.detail)


@pytest.mark.parametrize("status", [400, 404, 405, 408, 413, 415, 422, 500, 503, 504])
def test_body_follows_the_documented_schema(status: int) -> None:
    body = json.loads(problem_body(status, "some_code", "Größer als erlaubt."))
    assert Problem.model_validate(body).model_dump() == body
    assert body["status"] == status
    assert body["title"]


def test_titles_are_those_of_rfc_9110() -> None:
    assert json.loads(problem_body(413, "x", "y"))["title"] == "Content Too Large"
    assert json.loads(problem_body(422, "x", "y"))["title"] == "Unprocessable Content"


def test_log_of_a_failure_tells_places_and_types_but_no_messages() -> None:
    def fail() -> None:
        try:
            raise KeyError("Wunibald")
        except KeyError as error:
            raise ValueError("birth date of Wunibald") from error

    with pytest.raises(ValueError) as caught:  # noqa: PT011  # its message is what must not be logged
        fail()
    text = traceback_without_values(caught.value)
    assert "Wunibald" not in text
    assert "builtins.ValueError at" in text
    assert "caused by builtins.KeyError" in text
    assert "test_problems.py" in text
