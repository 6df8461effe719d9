import os
from collections.abc import AsyncIterator

import anyio
import pytest

from service.multipart import MalformedMultipart, Part, read_parts

BOUNDARY = "multipart/form-data; boundary=xyz"


def part(name: str, value: bytes, file_name: str | None = None) -> bytes:
    disposition = f'form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name else "")
    head = f"--xyz\r\nContent-Disposition: {disposition}\r\nContent-Type: application/dicom\r\n\r\n"
    return head.encode() + value + b"\r\n"


def parts_of(body: bytes, *, chunk: int = 1 << 20, max_files: int = 9, max_file_bytes: int = 1 << 20) -> list[Part]:
    async def stream() -> AsyncIterator[bytearray]:
        for start in range(0, len(body), chunk):
            room = bytearray(body[start : start + chunk])
            yield room
            room[:] = bytes(len(room))  # used again for the next piece

    async def read() -> list[Part]:
        parts = read_parts(BOUNDARY, stream(), max_files=max_files, max_file_bytes=max_file_bytes)
        return [part async for part in parts]

    return anyio.run(read)


TRAPS = b"--xyz\r\n--xy\r\n\r\n--\r--xyz" + os.urandom(3000).replace(b"\r\n--xyz", b"") + b"\r\n-\r\n--xy"
BODY = part("file", TRAPS, "a.dcm") + part("top_k", b"3") + part("file", b"", "b.dcm") + b"--xyz--\r\n"
PARTS = [Part("file", True, TRAPS, False), Part("top_k", False, b"3", False), Part("file", True, b"", False)]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1 << 20])
def test_parts_are_the_same_however_the_body_is_cut(chunk: int) -> None:
    assert parts_of(BODY, chunk=chunk) == PARTS


def test_part_is_given_before_the_rest_has_arrived() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield part("file", b"first", "a.dcm") + b"--xyz\r\n"
        raise AssertionError("the first part is complete already")

    async def first() -> Part:
        async for found in read_parts(BOUNDARY, stream(), max_files=2, max_file_bytes=9):
            return found
        raise AssertionError

    assert anyio.run(first).data == b"first"


def test_file_that_is_too_large_is_said_to_be_and_harms_no_other() -> None:
    body = part("file", b"x" * 100_000, "a.dcm") + part("file", b"small", "b.dcm") + b"--xyz--\r\n"
    large, small = parts_of(body, chunk=1000, max_file_bytes=5000)
    assert large.too_large
    assert len(large.data) <= 5000
    assert (small.too_large, small.data) == (False, b"small")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(BODY[:-9], id="no closing boundary"),
        pytest.param(b"", id="empty"),
        pytest.param(part("file", b"", "a") * 10 + b"--xyz--\r\n", id="too many files"),
        pytest.param(part("field", b"") * 9 + b"--xyz--\r\n", id="too many fields"),
        pytest.param(b"--xyz\r\n\r\nno header\r\n--xyz--\r\n", id="no headers"),
        pytest.param(b"--xyz\r\n" + b"X-Y: z\r\n" * 20 + b"\r\n\r\n--xyz--\r\n", id="too many headers"),
        pytest.param(b"--xyz\r\nX-Y: " + b"z" * 5000 + b"\r\n\r\n\r\n--xyz--\r\n", id="header too long"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        parts_of(body)
