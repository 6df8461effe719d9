"""Bytes that arrive in pieces: each is copied once, to where it stays."""

import numpy as np

Piece = bytes | bytearray
"""Of a body; a bytearray is filled anew once the next piece is asked for."""
_FIRST_ROOM = 128 * 1024


class Pieces:
    """Room for bytes, made in one go where it is known how many will come.

    What grows with every piece is copied again and again, and its memory is new to the processor each time: of 7.5 MB
    that took more processor time than all the rest of receiving them. Room that was announced and never filled costs
    no memory: the system gives a page when it is written to.

    Args:
        announced: how many bytes will come at most; 0 where nobody said.
    """

    def __init__(self, announced: int = 0) -> None:
        self._announced, self._num_bytes = announced, 0
        self._room = memoryview(bytearray())

    def add(self, piece: Piece | memoryview) -> None:
        """Append a piece."""
        self.room(len(piece))[:] = piece
        self.fill(len(piece))

    def room(self, num_bytes: int) -> memoryview:
        """Where the next bytes go, for who writes them there and calls `fill`."""
        end = self._num_bytes + num_bytes
        if end > len(self._room):
            wanted = max(end, 2 * len(self._room), _FIRST_ROOM)
            room = np.empty(max(wanted, self._announced) if end > _FIRST_ROOM else wanted, np.uint8).data
            room[: self._num_bytes] = self._room[: self._num_bytes]
            self._room = room
        return self._room[self._num_bytes : end]

    def fill(self, num_bytes: int) -> None:
        """So many bytes have been written into `room`."""
        self._num_bytes += num_bytes

    def whole(self) -> memoryview:
        """All of them, without a copy; nothing may be added afterwards."""
        return self._room[: self._num_bytes]
