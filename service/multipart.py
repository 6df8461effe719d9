"""multipart/form-data (RFC 7578) as a stream of parts, each in memory as a whole and none of them on disk.

python-multipart finds the boundaries; the bytes between them are copied once, straight to the part. What Starlette
builds around the same parser (a message list per chunk, temporary files, a thread per write) takes three times as long.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from python_multipart.multipart import MultipartParser, parse_options_header

from service.pieces import Piece, Pieces

MULTIPART: Final = "multipart/form-data"
MAX_FIELDS: Final = 8
MAX_FIELD_BYTES: Final = 1024
MAX_HEADERS: Final = 8
MAX_HEADER_BYTES: Final = 4096


class MalformedMultipart(Exception):
    """The body is not what its Content-Type says, or has more fields than are taken."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form."""

    name: str
    """Of the field."""
    is_file: bool
    """Whether it came with a file name, which itself is not kept."""
    data: memoryview
    """Its bytes; the first ones only where it is too large."""
    too_large: bool
    """Whether it had more bytes than were allowed."""


async def read_parts(
    content_type: str, stream: AsyncIterator[Piece], *, max_files: int, max_file_bytes: int, announced_bytes: int = 0
) -> AsyncIterator[Part]:
    """Give each part as soon as it is complete.

    Args:
        content_type: of the body, with the boundary.
        stream: the body.
        max_files: parts with a file name that are taken.
        max_file_bytes: largest file; what a larger one has beyond that is dropped.
        announced_bytes: of the body, 0 where nobody said.

    Raises:
        MalformedMultipart: no form, no closing boundary, or too many parts, fields or headers.
    """
    form = _Form(content_type, max_files=max_files, max_file_bytes=max_file_bytes, announced_bytes=announced_bytes)
    async for chunk in stream:
        form.feed(chunk)
        for part in form.take():
            yield part
    if not form.ended:
        raise MalformedMultipart("no closing boundary")


class _Form:
    """What the parser's callbacks fill."""

    def __init__(self, content_type: str, *, max_files: int, max_file_bytes: int, announced_bytes: int) -> None:
        self.ended = False
        self._max_files, self._max_file_bytes = max_files, max_file_bytes
        self._announced_bytes = min(announced_bytes, max_file_bytes)
        self._num_files = self._num_fields = 0
        self._complete: list[Part] = []
        self._header_name, self._header_value, self._disposition = b"", b"", b""
        self._name, self._is_file = "", False
        self._data, self._room, self._too_large = Pieces(), 0, False
        try:
            boundary = parse_options_header(content_type)[1][b"boundary"]
            callbacks: Any = {name: getattr(self, f"_{name}") for name in _CALLBACKS}
            self._parser = MultipartParser(
                boundary, callbacks, max_header_count=MAX_HEADERS, max_header_size=MAX_HEADER_BYTES
            )
        except Exception as error:  # whatever a client writes there is its mistake
            raise MalformedMultipart("no usable boundary") from error

    def feed(self, chunk: Piece) -> None:
        try:
            self._parser.write(chunk)  # type: ignore[arg-type]  # takes a bytearray as well: test_multipart
        except MalformedMultipart:
            raise
        except Exception as error:  # as above
            raise MalformedMultipart("not a form") from error

    def take(self) -> list[Part]:
        complete, self._complete = self._complete, []
        return complete

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_begin(self) -> None:
        self._header_name = self._header_value = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value

    def _on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if b"name" not in options:
            raise MalformedMultipart("a part without a name")
        self._name = options[b"name"].decode("utf-8", "replace")
        self._is_file = b"filename" in options
        self._num_files += self._is_file
        self._num_fields += not self._is_file
        if self._num_files > self._max_files or self._num_fields > MAX_FIELDS:
            raise MalformedMultipart("too many parts")
        self._data = Pieces(self._announced_bytes if self._is_file else 0)
        self._room = self._max_file_bytes if self._is_file else MAX_FIELD_BYTES
        self._too_large = False

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._room -= end - start
        if self._room >= 0:
            self._data.add(memoryview(data)[start:end])
        else:
            self._too_large = True

    def _on_part_end(self) -> None:
        self._complete.append(Part(self._name, self._is_file, self._data.whole(), self._too_large))
        self._data = Pieces()

    def _on_end(self) -> None:
        self.ended = True


_CALLBACKS = (
    *("on_part_begin", "on_header_begin", "on_header_field", "on_header_value", "on_header_end"),
    *("on_headers_finished", "on_part_data", "on_part_end", "on_end"),
)
