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
