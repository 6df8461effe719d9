"""A deflated data set, inflated as far as is asked for."""

import zlib
from collections.abc import Iterator

from samx.errors import RadiographTooLarge
from samx.reading.limits import ReadLimits

_DEFLATED_PIECE = 65536


class Inflater:
    """A raw deflate stream (PS3.5 section A.5), inflated as far as is asked for."""

    def __init__(self, deflated: memoryview, limits: ReadLimits) -> None:
        self._pieces = (deflated[at : at + _DEFLATED_PIECE] for at in range(0, len(deflated), _DEFLATED_PIECE))
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._limits = limits
        self._first = b""
        self.finished = False
        """Whether there is nothing more."""

    def first(self, num_bytes: int) -> bytes:
        """Returns the first bytes; fewer if there are no more."""
        if num_bytes > self._limits.header_bytes:
            raise RadiographTooLarge(
                "inflates_too_large",
                f"more than {self._limits.header_bytes} bytes of the deflated data set stand before the pixels",
            )
        self._first += b"".join(self._more(num_bytes - len(self._first)))
        return self._first

    def then(self, begun: memoryview, num_bytes: int) -> memoryview:
        """Returns a value of which a part has been inflated already; it is shorter if there is no more."""
        value = memoryview(bytearray(num_bytes))
        filled = min(len(begun), num_bytes)
        value[:filled] = begun[:filled]
        for inflated in self._more(num_bytes - filled):
            value[filled : filled + len(inflated)] = inflated
            filled += len(inflated)
        return value[:filled]

    def _more(self, num_bytes: int) -> Iterator[bytes]:
        while num_bytes > 0 and not self.finished:
            piece = self._inflater.unconsumed_tail or next(self._pieces, b"")
            inflated = self._inflater.decompress(piece, num_bytes)
            self.finished = self._inflater.eof or not (piece or inflated)
            num_bytes -= len(inflated)
            yield inflated
