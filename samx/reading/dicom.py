"""A DICOM file as untrusted bytes: split into elements, whose values are decoded only where they are used.

A value is decoded as what the standard says it is: a broken one is then an absent one, and none reaches a warning or a
log. pydicom knows the names and the character sets.
"""

import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

from samx.errors import RadiographTooLarge, UnreadableRadiograph
from samx.reading.deflate import Inflater
from samx.reading.elements import (
    BIG_ENDIAN,
    DEFLATED,
    END_OF_ITEM,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    PIXEL_DATA,
    UNDEFINED,
    EndsTooEarlyError,
    Splitter,
    Value,
    is_vr,
)
from samx.reading.limits import ReadLimits
from samx.reading.quiet import without_warnings

_FIRST_INFLATED = 1024**2


class Elements:
    """The elements of a data set or of a sequence's item, by keyword. What is absent or broken is empty."""

    def __init__(
        self, values: Mapping[str, Value], syntax: str, limits: ReadLimits, encodings: Sequence[str] = ("ascii",)
    ) -> None:
        self._values = values
        self._syntax = syntax
        self._limits = limits
        self._encodings = list(encodings)

    @property
    def big_endian(self) -> bool:
        """Whether numbers are stored with their most significant byte first."""
        return self._syntax == BIG_ENDIAN

    def raw(self, keyword: str) -> memoryview:
        """Returns the bytes of a value; none where absent."""
        value = self._values.get(keyword)
        return value.data if value is not None else memoryview(b"")

    def vr(self, keyword: str) -> str:
        """Returns the value representation as the file gives it; "" where it gives none."""
        value = self._values.get(keyword)
        return value.vr if value is not None else ""

    def text(self, keyword: str) -> str:
        """Returns a value as printable text of at most 64 characters; "" where it cannot be decoded."""
        value = bytes(self.raw(keyword)[:256])
        if value.isascii() and b"\x1b" not in value:
            text = value.decode("ascii")
        else:
            with without_warnings():
                text = decode_bytes(value, self._encodings, TEXT_VR_DELIMS)
        text = "".join(character for character in text if character.isprintable()).strip()
        return "" if "\ufffd" in text else text[:64].strip()

    def uid(self, keyword: str) -> str:
        """Returns a unique identifier, PS3.5 section 9; "" where it is none."""
        text = self.text(keyword)
        return text if re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) else ""

    def shorts(self, keyword: str, *, signed: bool = False) -> list[int]:
        """Returns the first three values of VR US or SS; no attribute that is used has more."""
        value = self.raw(keyword)[:6]
        return list(
            struct.unpack(
                f"{'>' if self.big_endian else '<'}{len(value) // 2}{'h' if signed else 'H'}",
                value[: len(value) // 2 * 2],
            )
        )

    def decimals(self, keyword: str) -> list[float]:
        """Returns the values of VR DS or IS; none where one of them is broken."""
        try:
            text = bytes(self.raw(keyword)[:256]).decode("ascii")
            values = [float(part) for part in text.strip(" \0").split("\\")]
        except ValueError:
            return []
        return values if all(math.isfinite(value) for value in values) else []

    def first_item(self, keyword: str) -> "Elements | None":
        """Returns the first item of a sequence; None where there is none, or it is broken."""
        sequence = self.raw(keyword)
        splitter = Splitter(sequence, self._syntax, self._limits)
        try:
            tag, _, start, length = splitter.header(0)
            if tag != ITEM:
                return None
            if length != UNDEFINED:
                splitter.view = sequence[: start + length]
            values, _ = splitter.split(start, lambda tag: tag == END_OF_ITEM)
        except UnreadableRadiograph:
            return None
        return Elements(values, self._syntax, self._limits, self._encodings)


@dataclass(frozen=True, slots=True)
class PixelData:
    """Pixel Data (7FE0,0010)."""

    vr: str
    num_bytes: int
    """Of the value; for compressed frames, up to the end of the file."""
    read: Callable[[], memoryview]
    """Gives the value, shorter if the file ends before it does. What is deflated is inflated only now."""


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """A DICOM file, split."""

    elements: Elements
    """Those before the pixels that are used."""
    sop_class_uid: str
    """(0008,0016), else (0002,0002); "" where there is neither."""
    transfer_syntax_uid: str
    """(0002,0010); without file meta information, the uncompressed one that the bytes look like."""
    pixel_data: PixelData | None


def looks_like_dicom(data: bytes | memoryview) -> bool:
    """Tells whether bytes are a DICOM file, PS3.10 section 7.1, or a data set without preamble or meta information."""
    if data[128:132] == b"DICM":
        return True
    if data[:2] not in (b"\x02\x00", b"\x08\x00") or data[3:4] != b"\x00":
        return False
    return is_vr(data[4:6]) or int.from_bytes(data[4:8], "little") <= 64


def parse(data: bytes | memoryview, limits: ReadLimits) -> ParsedFile:
    """Splits a DICOM file up to its pixels.

    Raises:
        RadiographTooLarge: too many elements, or what stands before the pixels of a deflated data set is too large.
        UnreadableRadiograph: the elements cannot be told apart.
    """
    view = memoryview(data)
    start = 132 if data[128:132] == b"DICM" else 0
    meta_values, start = Splitter(view, EXPLICIT, limits).split(start, lambda tag: tag >> 16 != 2)
    meta = Elements(meta_values, EXPLICIT, limits)
    syntax = meta.uid("TransferSyntaxUID") or (EXPLICIT if is_vr(data[start + 4 : start + 6]) else IMPLICIT)
    if syntax == DEFLATED:
        values, pixel_data = _split_deflated(Inflater(view[start:], limits), limits)
    else:
        splitter = Splitter(view, syntax, limits)
        values, end = splitter.split(start, lambda tag: tag == PIXEL_DATA)
        pixel_data = _pixel_data(splitter, end)
    elements = Elements(values, syntax, limits, _encodings(Elements(values, syntax, limits)))
    return ParsedFile(elements, elements.uid("SOPClassUID") or meta.uid("MediaStorageSOPClassUID"), syntax, pixel_data)


def _encodings(elements: Elements) -> list[str]:
    """Of Specific Character Set (0008,0005), PS3.3 C.12.1.1.2."""
    with without_warnings():
        return convert_encodings(elements.text("SpecificCharacterSet").split("\\"))


def _pixel_data(splitter: Splitter, at: int) -> PixelData | None:
    if at + 8 > len(splitter.view):
        return None
    _, vr, start, length = splitter.header(at)
    if length == UNDEFINED:
        length = len(splitter.view) - start
    return PixelData(vr, length, lambda: splitter.view[start : start + length])


def _split_deflated(inflater: Inflater, limits: ReadLimits) -> tuple[dict[str, Value], PixelData | None]:
    """Inflates until the pixels begin, and no further."""
    wanted = _FIRST_INFLATED
    while True:
        view = memoryview(inflater.first(wanted))
        splitter = Splitter(view, EXPLICIT, limits)
        try:
            values, end = splitter.split(0, lambda tag: tag == PIXEL_DATA)
            if end + 12 <= len(view) or inflater.finished:
                break
            wanted = 8 * len(view)
        except EndsTooEarlyError as error:
            if inflater.finished:
                raise
            wanted = max(8 * len(view), error.needed)
    if end + 12 > len(view):
        return values, None
    _, vr, start, length = splitter.header(end)
    if length > limits.decoded_bytes + 1:
        raise RadiographTooLarge(
            "inflates_too_large", f"the deflated pixels have {length} bytes; allowed are {limits.decoded_bytes}"
        )
    return values, PixelData(vr, length, lambda: inflater.then(view[start:], length))
