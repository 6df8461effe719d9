import os

import pytest

from service.pieces import Pieces

DATA = os.urandom(700_001)


@pytest.mark.parametrize("announced", [0, 1, len(DATA), 3 * len(DATA)])
@pytest.mark.parametrize("size", [999, 65_536, len(DATA)])
def test_pieces_are_whole_however_many_were_announced(announced: int, size: int) -> None:
    pieces = Pieces(announced)
    for start in range(0, len(DATA), size):
        pieces.add(DATA[start : start + size])
    assert pieces.whole() == DATA


def test_nothing_is_nothing() -> None:
    assert len(Pieces().whole()) == len(Pieces(100).whole()) == 0


def test_others_may_write_where_the_next_bytes_go() -> None:
    pieces = Pieces(len(DATA))
    pieces.add(DATA[:1000])
    for start in range(1000, len(DATA), 200_000):
        part = DATA[start : start + 200_000]
        pieces.room(len(part))[:] = part
        pieces.fill(len(part))
    assert pieces.whole() == DATA
