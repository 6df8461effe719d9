"""A memoryview as a file, for libraries that read from one: nothing is copied but what they ask for."""

import io
import os
from typing import IO, cast


class _ByteStream(io.RawIOBase):
    """Reads a memoryview; `io.BytesIO` would copy it first."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._position = 0

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it can be moved in: yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed: Buffer, 3.12
        """Fill a buffer from the present position on; returns how many bytes there were."""
        part = self._view[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; returns the new position."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._view)}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def tell(self) -> int:
        """The present position."""
        return self._position


def as_file(view: memoryview) -> IO[bytes]:
    """Opens a memoryview for reading."""
    return cast("IO[bytes]", _ByteStream(view))
