"""From a request to the bytes of one radiograph and its parameters.

The body is counted while it arrives and never touches the disk. A file is bytes, in a multipart part with a file name
or as the body itself; text in its place is refused, and nothing is ever fetched from a URL.
"""

import io
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated

import anyio
import pydantic
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.problems import ProblemError

FILE_FIELD = "file"
MULTIPART = "multipart/form-data"
RAW_MEDIA_TYPES = ("application/dicom", "application/octet-stream", "image/png", "image/jpeg", "image/tiff")
"""What a raw body may be called; the bytes decide what it is."""

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

    data: bytes
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
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        raise ProblemError(400, "no_file", f"A URL-encoded form cannot hold a file. {_HOW_TO_SEND}")
    if media_type not in ("", MULTIPART, *RAW_MEDIA_TYPES) and not media_type.startswith("image/"):
        detail = f"The body's Content-Type is not one that is taken. {_HOW_TO_SEND}"
        raise ProblemError(415, "unsupported_media_type", detail)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "unsupported_content_encoding", "Send the body as it is, without Content-Encoding.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 20 or int(announced) > max_body_bytes):
        raise _too_large(max_body_bytes)
    stream = _counted(request, max_body_bytes)
    try:
        with anyio.fail_after(timeout_seconds):
            if media_type == MULTIPART:
                return await _read_form(request, stream)
            return _upload_of(await _read_raw(stream), request.query_params.multi_items())
    except TimeoutError:
        detail = f"The body did not arrive within {timeout_seconds:g} seconds."
        raise ProblemError(408, "body_too_slow", detail) from None
    except ClientDisconnect:
        raise ProblemError(400, "incomplete_body", "The connection ended before the body did.") from None


async def _counted(request: Request, max_body_bytes: int) -> AsyncGenerator[bytes, None]:
    num_received = 0
    async for chunk in request.stream():
        num_received += len(chunk)
        if num_received > max_body_bytes:
            raise _too_large(max_body_bytes)
        yield chunk


def _too_large(max_body_bytes: int) -> ProblemError:
    return ProblemError(
        413, "body_too_large", f"The body has more than {max_body_bytes} bytes, which is the most that is taken."
    )


async def _read_raw(stream: AsyncGenerator[bytes, None]) -> bytes:
    buffer = io.BytesIO()  # its value is handed out without another copy
    async for chunk in stream:
        buffer.write(chunk)
    return buffer.getvalue()


class _InMemoryParser(MultiPartParser):
    """Starlette's parser, without its temporary files: a patient's radiograph is not written to disk."""

    spool_max_size = sys.maxsize  # the body as a whole is limited

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers, self._checked(stream), max_files=2, max_fields=8)
        self._complete = False

    def on_end(self) -> None:
        """The closing boundary has been read."""
        self._complete = True

    async def _checked(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for chunk in stream:
            yield chunk
        if not self._complete:
            raise MultiPartException("no closing boundary")


async def _read_form(request: Request, stream: AsyncGenerator[bytes, None]) -> Upload:
    try:
        form = await _InMemoryParser(request.headers, stream).parse()
    except (ProblemError, ClientDisconnect):
        raise
    except Exception as error:  # whatever a client writes into part headers is its mistake, never a 500
        detail = f"The {MULTIPART} body cannot be read. {_HOW_TO_SEND}"
        raise ProblemError(400, "malformed_multipart", detail) from error
    try:
        fields = [(key, value) for key, value in form.multi_items() if key != FILE_FIELD]
        given = [*request.query_params.multi_items(), *fields]
        return _upload_of(await _file_of(form), given)
    finally:
        await form.close()


async def _file_of(form: FormData) -> bytes:
    files = form.getlist(FILE_FIELD)
    if not files:
        raise ProblemError(400, "no_file", f"The form has no field '{FILE_FIELD}'. {_HOW_TO_SEND}")
    if len(files) > 1:
        detail = f"The form has several fields '{FILE_FIELD}'; one radiograph is classified at a time."
        raise ProblemError(400, "several_files", detail)
    (file,) = files
    if not isinstance(file, UploadFile):
        detail = f"The field '{FILE_FIELD}' is text, not a file; URLs and paths are not followed. {_HOW_TO_SEND}"
        raise ProblemError(400, "file_is_text", detail)
    return await file.read()


def _upload_of(data: bytes, given: list[tuple[str, str]] | list[tuple[str, str | UploadFile]]) -> Upload:
    """The file with its parameters; what is unknown, repeated or wrong is refused, and never repeated."""
    if not data:
        raise ProblemError(400, "empty_file", f"The file is empty. {_HOW_TO_SEND}")
    allowed = tuple(Parameters.model_fields)
    if any(key not in allowed for key, _ in given):
        detail = f"A parameter is not known; {' and '.join(allowed)} are."
        raise ProblemError(400, "unknown_parameter", detail)
    if len({key for key, _ in given}) < len(given):
        raise ProblemError(400, "repeated_parameter", "A parameter is given more than once, in query or form.")
    try:
        return Upload(data, Parameters.model_validate(dict(given)))
    except pydantic.ValidationError as error:
        (fault, *_) = error.errors(include_input=False, include_url=False)
        name = str(fault["loc"][0])
        raise ProblemError(400, f"invalid_{name}", f"{name} is not valid: {fault['msg']}.") from None
