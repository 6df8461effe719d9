"""A memoryview as a file, for libraries that read from one: nothing is copied but what they ask for."""

import io
import os
from typing import IO, cast

_LARGEST_READ = 65536


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

    def read(self, size: int = -1) -> bytes:
        """Return bytes from the present position on; not all that are asked for, or a whole tile would be copied."""
        stop = len(self._view) if size < 0 else self._position + min(size, _LARGEST_READ)
        part = bytes(self._view[self._position : stop])
        self._position += len(part)
        return part

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
