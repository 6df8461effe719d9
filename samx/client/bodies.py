"""Request bodies that can be sent again: files are opened anew for each attempt and never held in memory as a whole."""

import io
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

Source = str | os.PathLike[str] | bytes
"""A radiograph: the path of its file, or its bytes."""

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Body:
    """Pieces that are sent one after the other.

    Args:
        media_type: value of Content-Type.
        pieces: bytes, and paths of files whose content stands in their place.
    """

    media_type: str
    pieces: tuple[bytes | Path, ...]

    @property
    def size_bytes(self) -> int:
        """Of all pieces together, for Content-Length.

        Raises:
            OSError: a file cannot be found.
        """
        return sum(len(piece) if isinstance(piece, bytes) else piece.stat().st_size for piece in self.pieces)

    def chunks(self) -> Iterator[bytes]:
        """The body from its beginning.

        Raises:
            OSError: a file cannot be read.
        """
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield from _slices(piece)
            else:
                with _open(piece) as file:
                    while chunk := file.read(CHUNK_BYTES):
                        yield chunk

    async def chunks_async(self) -> AsyncIterator[bytes]:
        """The same for an event loop, which is not held up while a disk is slow.

        Raises:
            OSError: a file cannot be read.
        """
        for piece in self.pieces:
            if isinstance(piece, bytes):
                for chunk in _slices(piece):
                    yield chunk
            else:
                with await anyio.to_thread.run_sync(_open, piece) as file:
                    while chunk := await anyio.to_thread.run_sync(file.read, CHUNK_BYTES):
                        yield chunk


def raw_body(source: Source) -> Body:
    """One radiograph as the body itself."""
    return Body("application/octet-stream", (_piece(source),))


def form_body(sources: Sequence[Source]) -> Body:
    """Radiographs as the fields `file` of a form (RFC 7578); all get the same file name."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="radiograph"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    pieces = [piece for source in sources for piece in (head, _piece(source), b"\r\n")]
    return Body(f"multipart/form-data; boundary={boundary}", (*pieces, f"--{boundary}--\r\n".encode()))


def _piece(source: Source) -> bytes | Path:
    return source if isinstance(source, bytes) else Path(source)


def _open(path: Path) -> io.FileIO:
    return path.open("rb", buffering=0)


def _slices(data: bytes) -> Iterator[bytes]:
    """A slice at a time: of the whole, httpx copies after every send what the socket did not take."""
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
