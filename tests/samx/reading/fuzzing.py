"""Broken radiographs: a corpus of whole ones, and mutations that know the formats. The n-th input is always the same.

Used by test_fuzzing.py (a few thousand) and `python -m tests.benchmarks.fuzzing` (a hundred thousand).
"""

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from samx.phantom import LABELS
from samx.phantom.export import phantom_radiograph
from tests.samx.files import dataset_of, dicom, lut, picture

INTERESTING = (0, 1, 2, 7, 8, 12, 15, 16, 17, 31, 32, 33, 64, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
TAGS = [
    struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    for tag in (
        *(0x00080005, 0x00080016, 0x00080060, 0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011),
        *(0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280120, 0x00281050, 0x00281051, 0x00281052),
        *(0x00281053, 0x00283000, 0x00283002, 0x00283006, 0x00283010, 0x20500020, 0x7FE00010, 0x00020010),
    )
]
VRS = (b"US", b"SS", b"OW", b"OB", b"SQ", b"UN", b"DS", b"CS", b"LO", b"\0\0", b"ZZ")
ITEM = b"\xfe\xff\x00\xe0"


@cache
def corpus(real: Path | None) -> list[bytes]:
    """Small synthetic files of every syntax and format, phantoms, and where they are present the real files."""
    y, x = np.indices((90, 70))
    twelve = np.rint(2000 + 1500 * np.sin(x / 9) * np.cos(y / 13)).astype(np.uint16)
    eight = (twelve >> 4).astype(np.uint8)
    attributes: dict[str, Any] = {
        "BodyPartExamined": "HAND",
        "PatientID": "7",
        "PixelPaddingValue": 0,
        "RescaleSlope": "1",
        "WindowCenter": ["2048", "100"],
        "WindowWidth": ["4096", "20"],
        "InstitutionName": "Clinique \xe9",
    }
    tables = {"VOILUTSequence": Sequence([lut(0, [0, 5, 9])]), "ModalityLUTSequence": Sequence([lut(0, [1, 2])])}
    twelve_bit: dict[str, Any] = {
        ExplicitVRLittleEndian: None,
        ImplicitVRLittleEndian: None,
        ExplicitVRBigEndian: None,
        DeflatedExplicitVRLittleEndian: None,
        RLELossless: None,
        JPEGLosslessSV1: imagecodecs.jpeg_encode(twelve, lossless=True, bitspersample=12),
        JPEGExtended12Bit: imagecodecs.jpeg_encode(twelve, level=90, bitspersample=12),
        JPEGLSLossless: imagecodecs.jpegls_encode(twelve),
        JPEG2000Lossless: imagecodecs.jpeg2k_encode(twelve, codecformat="j2k", resolutions=5),
        HTJ2KLossless: imagecodecs.htj2k_encode(twelve),
    }
    files = [dicom(twelve, syntax, frame, **attributes, **tables) for syntax, frame in twelve_bit.items()]
    files += [dicom(twelve, syntax, frame, **attributes) for syntax, frame in twelve_bit.items()]
    files += [dicom(eight, JPEGBaseline8Bit, imagecodecs.jpeg8_encode(eight), **attributes), dataset_of(files[1])]
    files += [picture(twelve), picture(eight), picture(np.dstack([eight] * 3)), picture(eight, "jpeg")]
    files += [picture(eight, "jpeg", progressive=True), picture(twelve, "tiff"), picture(eight, "tiff")]
    files += [picture(twelve, "tiff", compression=method) for method in ("tiff_lzw", "tiff_adobe_deflate", "packbits")]
    files += [phantom_radiograph(label=label, seed=seed) for seed, label in enumerate(sorted(LABELS)[::3])]
    if real is not None:
        files += [file.read_bytes() for file in sorted((real / "dicom").glob("*.dcm"))]
        files += [file.read_bytes() for file in sorted((real / "images").glob("*/*.jpg"))[::100]]
    return files


def broken_file(number: int, real: Path | None) -> bytes:
    """The n-th input: a file of the corpus after one to six mutations; a large file is chosen one time in ten."""
    rng = random.Random(number)
    files = corpus(real)
    small = [file for file in files if len(file) < 200_000]
    data = bytearray(rng.choice(files if rng.random() < 0.1 else small))
    for _ in range(rng.randint(1, 6)):
        mutation = rng.choice(_PNG if data.startswith(b"\x89PNG") else _ANY if len(data) < 140 else _MUTATIONS)
        mutation(data, rng)
    return bytes(data)


# ------------------------------------------------------------------------------------------------------------ any bytes


def _change_bytes(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), 0, 255, 0x7F))


def _change_the_beginning(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(min(len(data), 1500))] = rng.randrange(256)


def _delete(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    if len(data) > 200:
        del data[place : place + rng.choice((1, 2, 7, 40, len(data) // 3))]
    data += b"\0" * max(0, 4 - len(data))


def _insert(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    data[place:place] = rng.choice((rng.randbytes(rng.randint(1, 40)), ITEM + b"\xff" * 4, b"\0" * 64, b"\xff\xd9"))


def _repeat(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    data[place:place] = data[place : place + rng.choice((2, 8, 64, 1000))]


def _change_behind_a_marker(data: bytearray, rng: random.Random) -> None:
    """JPEG and JPEG 2000 markers: sizes, components, precision, tables, levels and tiles stand right behind them."""
    marker = bytes([0xFF, rng.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xF7, 0xC4, 0xDA, 0xDB, 0xDD, 0x51, 0x52, 0x5C, 0x90))])
    place = data.find(marker, rng.randrange(max(1, len(data) // 2)))
    place = place if place >= 0 else data.find(marker)
    if 0 <= place < len(data) - 60:
        for _ in range(rng.randint(1, 3)):
            data[place + 2 + rng.randrange(44)] = rng.choice((rng.randrange(256), 0, 255, 1))


# ---------------------------------------------------------------------------------------------------------------- DICOM


def _find_element(data: bytearray, rng: random.Random) -> int:
    return data.find(rng.choice(TAGS), 132)


def _change_a_value(data: bytearray, rng: random.Random) -> None:
    place = _find_element(data, rng)
    if 0 <= place < len(data) - 16:
        at = place + rng.choice((8, 8, 8, 12))
        value = rng.choice((struct.pack("<H", rng.choice(INTERESTING)), str(rng.choice(INTERESTING)).encode()[:2]))
        data[at : at + len(value)] = value


def _change_a_length(data: bytearray, rng: random.Random) -> None:
    place = _find_element(data, rng)
    if 0 <= place < len(data) - 16:
        at, form = rng.choice(((place + 6, "<H"), (place + 8, "<I"), (place + 4, "<I")))
        largest = 0xFFFF if form == "<H" else 0xFFFFFFFF
        length = rng.choice((*INTERESTING, largest, largest - 1, len(data), len(data) - at, rng.randrange(5000)))
        data[at : at + struct.calcsize(form)] = struct.pack(form, min(length, largest))


def _change_a_vr(data: bytearray, rng: random.Random) -> None:
    place = _find_element(data, rng)
    if 0 <= place < len(data) - 16:
        data[place + 4 : place + 6] = rng.choice(VRS)


def _change_fragments(data: bytearray, rng: random.Random) -> None:
    place = data.rfind(ITEM) if rng.random() < 0.5 else data.find(ITEM, 132)
    if 0 <= place < len(data) - 16:
        length = rng.choice((0, 1, 8, 0xFFFFFFFF, 0xFFFFFFF0, len(data), rng.randrange(5000)))
        data[place + 4 : place + 8] = struct.pack("<I", length)
        if rng.random() < 0.3:
            data[place:place] = ITEM + struct.pack("<I", 4) + rng.randbytes(4)


def _change_inside_deflated(data: bytearray, rng: random.Random) -> None:
    """Inflate, mutate, deflate; sometimes with a bomb of zeros behind it."""
    start = 144 + int.from_bytes(data[140:144], "little")
    if DeflatedExplicitVRLittleEndian.encode() not in data[132:start]:
        return _change_bytes(data, rng)
    try:
        inside = bytearray(zlib.decompressobj(-15).decompress(data[start:], 10_000_000))
    except zlib.error:
        return None
    if len(inside) > 140:
        rng.choice((_change_a_value, _change_a_length, _change_a_vr, _change_bytes))(inside, rng)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"\0" * rng.choice((0, 0, 1000, 30_000_000))
    data[start:] = deflater.compress(bytes(inside)) + deflater.compress(bomb) + deflater.flush()
    return None


# ----------------------------------------------------------------------------------------------------------- PNG, TIFF


def _change_a_chunk(data: bytearray, rng: random.Random) -> None:
    """Change a chunk of a PNG and make its checksum right, so that it is looked at."""
    places, place = [], 8
    while place + 12 <= len(data):
        places.append(place)
        place += 12 + min(int.from_bytes(data[place : place + 4], "big"), len(data))
    if not places:
        return
    place = rng.choice(places)
    length = int.from_bytes(data[place : place + 4], "big")
    if place + 12 + length <= len(data) and length:
        for _ in range(rng.randint(1, 3)):
            data[place + 8 + rng.randrange(length)] = rng.choice((rng.randrange(256), 0, 255, 16, 3))
        checksum = zlib.crc32(data[place + 4 : place + 8 + length])
        data[place + 8 + length : place + 12 + length] = struct.pack(">I", checksum)


def _change_a_tiff_entry(data: bytearray, rng: random.Random) -> None:
    if not data.startswith(b"II*\0") or len(data) < 20:
        return _change_bytes(data, rng)
    directory = int.from_bytes(data[4:8], "little")
    if directory + 14 > len(data):
        return None
    count = max(1, min(int.from_bytes(data[directory : directory + 2], "little"), 40))
    entry = directory + 2 + 12 * rng.randrange(count)
    at = entry + rng.choice((0, 2, 4, 8))
    data[at : at + 4] = struct.pack("<I", rng.choice((*INTERESTING, 0xFFFFFFFF, 100_000, rng.randrange(2**32))))
    return None


_Mutation = Callable[[bytearray, random.Random], None]
_ANY: list[_Mutation] = [_change_bytes, _delete, _insert, _repeat]
_PNG: list[_Mutation] = [*_ANY, _change_a_chunk, _change_a_chunk, _change_a_chunk]
_MUTATIONS: list[_Mutation] = [
    *(*_ANY, _change_the_beginning, _change_behind_a_marker, _change_behind_a_marker, _change_a_tiff_entry),
    *(_change_a_value, _change_a_value, _change_a_length, _change_a_vr, _change_fragments, _change_inside_deflated),
]
