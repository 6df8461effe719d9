"""POST /classify_batch: the files of a form are read, classified and forgotten while the form still arrives.

At any time as many files are in memory as the request holds places; the answers, which are small, are kept to the end:
a client that is still sending would not read them.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator

import anyio
from starlette.requests import ClientDisconnect, Request

from service import metrics
from service.inference import Inference
from service.multipart import MULTIPART, MalformedMultipart, Part, read_parts
from service.pieces import Piece
from service.problems import ProblemError, problem, traceback_without_values
from service.schemas import FileAnswer
from service.serving import Served
from service.upload import (
    FILE_FIELD,
    Parameters,
    announced_bytes,
    counted_body,
    malformed_form,
    media_type_of,
    parameters_of,
    require_content,
    require_file,
    too_large,
)

logger = logging.getLogger("samx.service")


async def answer_files(request: Request, inference: Inference, served: Served, *, num_places: int) -> list[FileAnswer]:
    """An answer for each file of a form, in their order; a file that cannot be used changes no other's answer.

    Args:
        request: with the body not yet read.
        inference: answers.
        served: the model, one and the same for all files.
        num_places: files in work at the same time.

    Raises:
        ProblemError: 400, 408, 413 or 415: the request as a whole cannot be read.
    """
    settings = inference.settings
    parameters = _parameters(request, served)
    body = _patient(counted_body(request, settings.max_files * settings.max_body_bytes), settings.body_timeout_seconds)
    content_type, limits = request.headers["content-type"], (settings.max_files, settings.max_body_bytes)
    room = asyncio.Semaphore(num_places)
    tasks: list[asyncio.Task[FileAnswer]] = []

    async def answer(part: Part) -> FileAnswer:
        try:
            return await _answer_file(part, inference, served, parameters)
        finally:
            room.release()

    try:
        async with _as_problems(settings.batch_timeout_seconds):
            parts = read_parts(
                content_type,
                body,
                max_files=limits[0],
                max_file_bytes=limits[1],
                announced_bytes=announced_bytes(request),
            )
            async for part in parts:
                if part.name != FILE_FIELD:
                    detail = f"A field is not known; only '{FILE_FIELD}' is, and parameters are given in the query."
                    raise ProblemError(400, "unknown_parameter", detail)
                await room.acquire()
                tasks.append(asyncio.create_task(answer(part)))
            if not tasks:
                raise ProblemError(400, "no_file", f"The form has no field '{FILE_FIELD}'.")
            return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _parameters(request: Request, served: Served) -> Parameters:
    if media_type_of(request) != MULTIPART:
        detail = f"Send the radiographs as fields '{FILE_FIELD}' of a {MULTIPART} body, each with a file name."
        raise ProblemError(415, "unsupported_media_type", detail)
    parameters = parameters_of(request.query_params.multi_items())
    if parameters.grad_cam:
        raise ProblemError(400, "invalid_grad_cam", "Heat maps are answered for one radiograph at a time: /classify.")
    served.model.check(parameters)
    return parameters


@contextlib.asynccontextmanager
async def _as_problems(seconds: float) -> AsyncIterator[None]:
    """What may be wrong with a batch as a whole."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except MalformedMultipart as error:
        raise malformed_form() from error
    except ClientDisconnect:
        raise ProblemError(400, "incomplete_body", "The connection ended before the body did.") from None
    except TimeoutError:
        detail = f"The batch took more than {seconds:g} seconds; send fewer files at a time."
        raise ProblemError(408, "batch_too_slow", detail) from None


async def _answer_file(part: Part, inference: Inference, served: Served, parameters: Parameters) -> FileAnswer:
    try:
        require_file(part)
        if part.too_large:
            raise too_large(inference.settings.max_body_bytes)
        require_content(part.data)
        classification = await inference.classify(served, part.data, parameters)
    except ProblemError as error:
        refused = error
    except Exception as error:  # the border between files: one must not fail the others
        logger.error("Unexpected: %s", traceback_without_values(error))
        refused = ProblemError(500, "internal_error", "The service failed; its log tells where.")
    else:
        return FileAnswer(classification=classification, problem=None)
    metrics.PROBLEMS.labels(refused.code).inc()
    return FileAnswer(classification=None, problem=problem(refused.status, refused.code, refused.detail))


async def _patient(stream: AsyncGenerator[Piece, None], seconds: float) -> AsyncGenerator[Piece, None]:
    """The stream, as long as its next piece comes in time."""
    while True:
        try:
            with anyio.fail_after(seconds):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ProblemError(408, "body_too_slow", f"Nothing arrived for {seconds:g} seconds.") from None
        yield chunk
