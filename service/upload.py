"""From a request to the bytes of one radiograph and its parameters.

The body is counted while it arrives and never touches the disk. A file is bytes, in a multipart part with a file name
or as the body itself; text in its place is refused, and nothing is ever fetched from a URL.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated

import anyio
import pydantic
from starlette.requests import ClientDisconnect, Request

from service.direct_body import RECEIVE_INTO
from service.multipart import MULTIPART, MalformedMultipart, Part, read_parts
from service.pieces import Piece, Pieces
from service.problems import ProblemError

FILE_FIELD = "file"
RAW_MEDIA_TYPES = ("application/dicom", "application/octet-stream", "image/png", "image/jpeg", "image/tiff")
"""What a raw body may be called; the bytes decide what it is."""

_AT_A_TIME = 1024 * 1024
"""Bytes of a form that are waited for at once where they come directly: in less, waiting costs more than copying."""
_WORTH_IT = 64 * 1024
"""What is missing at least; less is on its way already."""
_HOW_TO_SEND = (
    f"Send the radiograph as the field '{FILE_FIELD}' of a {MULTIPART} body, or as the body itself with Content-Type "
    "application/dicom, image/png, image/jpeg, image/tiff or application/octet-stream."
)


class Parameters(pydantic.BaseModel):
    """What may be asked for beside the file, in the query or as form fields."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    top_k: Annotated[int, pydantic.Field(ge=1)] | None = None
    """How many classes to answer, 1 to the model's number of classes; 3 where not given."""
    grad_cam: bool = False
    """Whether to answer a heat map too."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One radiograph as it was sent."""

    data: memoryview
    parameters: Parameters


async def read_upload(request: Request, *, max_body_bytes: int, timeout_seconds: float) -> Upload:
    """Read a whole request.

    Args:
        request: with the body not yet read.
        max_body_bytes: largest body; a larger one is refused by its Content-Length or as soon as more has arrived.
        timeout_seconds: how long the body may take.

    Raises:
        ProblemError: 400 malformed, 408 too slow, 413 too large, 415 not a media type in which radiographs are sent.
    """
    media_type = media_type_of(request)
    if media_type == "application/x-www-form-urlencoded":
        raise ProblemError(400, "no_file", f"A URL-encoded form cannot hold a file. {_HOW_TO_SEND}")
    if media_type not in ("", MULTIPART, *RAW_MEDIA_TYPES) and not media_type.startswith("image/"):
        detail = f"The body's Content-Type is not one that is taken. {_HOW_TO_SEND}"
        raise ProblemError(415, "unsupported_media_type", detail)
    try:
        with anyio.fail_after(timeout_seconds):
            if media_type == MULTIPART:
                return await _read_form(request, max_body_bytes)
            return _upload_of(await _read_raw(request, max_body_bytes), request.query_params.multi_items())
    except TimeoutError:
        detail = f"The body did not arrive within {timeout_seconds:g} seconds."
        raise ProblemError(408, "body_too_slow", detail) from None
    except ClientDisconnect:
        raise ProblemError(400, "incomplete_body", "The connection ended before the body did.") from None


def media_type_of(request: Request) -> str:
    """The body's media type without parameters, in lower case; "" where none is given."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def counted_body(request: Request, max_body_bytes: int, whole: Pieces | None = None) -> AsyncGenerator[Piece, None]:
    """The body as it arrives.

    Args:
        request: with the body not yet read.
        max_body_bytes: largest body.
        whole: where what has been given is added; then what can go there directly does, and is not given.

    Raises:
        ProblemError: 413 it has, or announces, more than `max_body_bytes`; 415 it is compressed.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "unsupported_content_encoding", "Send the body as it is, without Content-Encoding.")
    if announced_bytes(request) > max_body_bytes:
        raise too_large(max_body_bytes)
    return _counted(request, max_body_bytes, whole)


def announced_bytes(request: Request) -> int:
    """The body's Content-Length; 0 where none is given."""
    announced = request.headers.get("content-length", "")
    return int(announced[:20]) if announced.isdecimal() else 0


async def _counted(request: Request, max_body_bytes: int, whole: Pieces | None) -> AsyncGenerator[Piece, None]:
    num_received, announced = 0, announced_bytes(request)
    receive_into, room = request.scope.get(RECEIVE_INTO), bytearray()
    async for chunk in request.stream():
        num_received += len(chunk)
        if num_received > max_body_bytes:
            raise too_large(max_body_bytes)
        yield chunk
        while receive_into is not None and (missing := announced - num_received) > _WORTH_IT:
            size = min(missing, _AT_A_TIME) if whole is None else missing
            if whole is None and len(room) != size:
                room = bytearray(size)
            if await receive_into(room if whole is None else whole.room(size)) < size:
                break
            num_received += size
            if whole is None:
                yield room
            else:
                whole.fill(size)


def too_large(max_body_bytes: int) -> ProblemError:
    """The answer for more bytes than are taken."""
    return ProblemError(
        413, "body_too_large", f"The body has more than {max_body_bytes} bytes, which is the most that is taken."
    )


async def _read_raw(request: Request, max_body_bytes: int) -> memoryview:
    pieces = Pieces(announced_bytes(request))
    async for chunk in counted_body(request, max_body_bytes, pieces):
        pieces.add(chunk)
    return pieces.whole()


async def _read_form(request: Request, max_body_bytes: int) -> Upload:
    content_type, stream = request.headers["content-type"], counted_body(request, max_body_bytes)
    try:
        parts = [
            part
            async for part in read_parts(
                content_type,
                stream,
                max_files=2,
                max_file_bytes=max_body_bytes,
                announced_bytes=announced_bytes(request),
            )
        ]
    except MalformedMultipart as error:
        raise malformed_form() from error
    if any(part.too_large and part.name != FILE_FIELD for part in parts):
        raise malformed_form()
    given = [
        *request.query_params.multi_items(),
        *((part.name, bytes(part.data).decode("utf-8", "replace")) for part in parts if part.name != FILE_FIELD),
    ]
    return _upload_of(_file_of([part for part in parts if part.name == FILE_FIELD]), given)


def malformed_form() -> ProblemError:
    """The answer for a body that is no form."""
    detail = f"The {MULTIPART} body cannot be read. {_HOW_TO_SEND}"
    return ProblemError(400, "malformed_multipart", detail)


def _file_of(parts: list[Part]) -> memoryview:
    if not parts:
        raise ProblemError(400, "no_file", f"The form has no field '{FILE_FIELD}'. {_HOW_TO_SEND}")
    if len(parts) > 1:
        detail = f"The form has several fields '{FILE_FIELD}'; POST /classify_batch takes several radiographs."
        raise ProblemError(400, "several_files", detail)
    require_file(parts[0])
    return parts[0].data


def require_file(part: Part) -> None:
    """Refuse text in a file's place.

    Raises:
        ProblemError: 400, the part is a text field.
    """
    if not part.is_file:
        detail = f"The field '{FILE_FIELD}' is text, not a file; URLs and paths are not followed. {_HOW_TO_SEND}"
        raise ProblemError(400, "file_is_text", detail)


def _upload_of(data: memoryview, given: list[tuple[str, str]]) -> Upload:
    require_content(data)
    return Upload(data, parameters_of(given))


def require_content(data: memoryview) -> None:
    """Refuse nothing at all.

    Raises:
        ProblemError: 400, the file is empty.
    """
    if not data:
        raise ProblemError(400, "empty_file", f"The file is empty. {_HOW_TO_SEND}")


def parameters_of(given: list[tuple[str, str]]) -> Parameters:
    """The parameters of a request; what is unknown, repeated or wrong is refused, and its value never quoted.

    Raises:
        ProblemError: 400.
    """
    allowed = tuple(Parameters.model_fields)
    if any(key not in allowed for key, _ in given):
        detail = f"A parameter is not known; {' and '.join(allowed)} are."
        raise ProblemError(400, "unknown_parameter", detail)
    if len({key for key, _ in given}) < len(given):
        raise ProblemError(400, "repeated_parameter", "A parameter is given more than once, in query or form.")
    try:
        return Parameters.model_validate(dict(given))
    except pydantic.ValidationError as error:
        (fault, *_) = error.errors(include_input=False, include_url=False)
        name = str(fault["loc"][0])
        raise ProblemError(400, f"invalid_{name}", f"{name} is not valid: {fault['msg']}.") from None
