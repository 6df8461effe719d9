"""A DICOM file as untrusted bytes: split into elements, whose values are decoded only where they are used.

Nothing is copied, nested sequences are stepped over, and every element is counted against a limit. A value is decoded
as what the standard says it is: a broken one is then an absent one, and none reaches a warning or a log.
"""

import logging
import math
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import tag_for_keyword
from pydicom.valuerep import TEXT_VR_DELIMS

from samx.errors import RadiographTooLarge, UnreadableRadiograph
from samx.reading.limits import ReadLimits

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE_SYNTAXES = (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN)
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
CODESTREAM_SYNTAXES = (
    *("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"),  # JPEG Baseline, JPEG Extended
    *("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"),  # JPEG Lossless
    *("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"),  # JPEG-LS
    *("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"),  # JPEG 2000
    *("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"),  # High-Throughput JPEG 2000
)

_KEYWORDS = (
    *("TransferSyntaxUID", "MediaStorageSOPClassUID"),
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "Modality", "BodyPartExamined"),
    *("ViewPosition", "ImageLaterality", "Laterality", "InstitutionName", "StationName", "Manufacturer"),
    *("ManufacturerModelName", "SeriesDescription", "ProtocolName", "PatientID", "NumberOfFrames"),
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept"),
    *("ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape"),
    *("LUTDescriptor", "LUTData"),
)
_KEYWORD_OF_TAG = {tag_for_keyword(keyword): keyword for keyword in _KEYWORDS}
_PIXEL_DATA = 0x7FE00010
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED = 0xFFFFFFFF
_FIRST_INFLATED = 1024**2
_DEFLATED_PIECE = 65536

_LOCK = threading.RLock()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keeps what a library says about a file from warnings and log. For short calls: it goes for all threads."""
    logger = logging.getLogger("pydicom")
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disabled, logger.disabled = logger.disabled, True
        try:
            yield
        finally:
            logger.disabled = disabled


@dataclass(frozen=True, slots=True)
class Value:
    """An element's value, not decoded."""

    vr: str
    """Value representation as the file gives it; "" where it gives none."""
    data: memoryview


class Elements:
    """The elements of a data set or of a sequence's item, by keyword. What is absent or broken is empty."""

    def __init__(
        self, values: Mapping[str, Value], syntax: str, limits: ReadLimits, encodings: list[str] | None = None
    ) -> None:
        self._values = values
        self._syntax = syntax
        self._limits = limits
        self._given_encodings = encodings

    @property
    def big_endian(self) -> bool:
        """Whether numbers are stored with their most significant byte first."""
        return self._syntax == BIG_ENDIAN

    @cached_property
    def _encodings(self) -> list[str]:
        """Of Specific Character Set (0008,0005), PS3.3 C.12.1.1.2."""
        if self._given_encodings is not None:
            return self._given_encodings
        self._given_encodings = ["ascii"]  # for the value of the attribute itself
        with without_warnings():
            return convert_encodings(self.text("SpecificCharacterSet").split("\\"))

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
            encodings = self._encodings
            with without_warnings():
                text = decode_bytes(value, encodings, TEXT_VR_DELIMS)
        text = "".join(character for character in text if character.isprintable()).strip()
        return "" if "\ufffd" in text else text[:64].strip()

    def uid(self, keyword: str) -> str:
        """Returns a unique identifier, PS3.5 section 9; "" where it is none."""
        text = self.text(keyword)
        return text if re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) else ""

    def shorts(self, keyword: str, *, signed: bool = False) -> list[int]:
        """Returns the values of VR US or SS, or of OW that holds such."""
        value = self.raw(keyword)
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
        splitter = _Splitter(sequence, self._syntax, self._limits)
        try:
            tag, _, start, length = splitter.header(0)
            if tag != _ITEM:
                return None
            if length != _UNDEFINED:
                splitter.view = sequence[: start + length]
            values, _ = splitter.split(start, lambda tag: tag == _END_OF_ITEM)
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


def looks_like_dicom(data: bytes) -> bool:
    """Tells whether bytes are a DICOM file, PS3.10 section 7.1, or a data set without preamble or meta information."""
    if data[128:132] == b"DICM":
        return True
    if data[:2] not in (b"\x02\x00", b"\x08\x00") or data[3:4] != b"\x00":
        return False
    return _is_vr(data[4:6]) or int.from_bytes(data[4:8], "little") <= 64


def parse(data: bytes, limits: ReadLimits) -> ParsedFile:
    """Splits a DICOM file up to its pixels.

    Raises:
        RadiographTooLarge: too many elements, or what stands before the pixels of a deflated data set is too large.
        UnreadableRadiograph: the elements cannot be told apart.
    """
    view = memoryview(data)
    start = 132 if data[128:132] == b"DICM" else 0
    meta_values, start = _Splitter(view, EXPLICIT, limits).split(start, lambda tag: tag >> 16 != 2)
    meta = Elements(meta_values, EXPLICIT, limits, ["ascii"])
    syntax = meta.uid("TransferSyntaxUID") or (EXPLICIT if _is_vr(data[start + 4 : start + 6]) else IMPLICIT)
    if syntax == DEFLATED:
        values, pixel_data = _split_deflated(_Inflater(view[start:], limits), limits)
    else:
        splitter = _Splitter(view, syntax, limits)
        values, end = splitter.split(start, lambda tag: tag == _PIXEL_DATA)
        pixel_data = _pixel_data(splitter, end)
    elements = Elements(values, syntax, limits)
    return ParsedFile(elements, elements.uid("SOPClassUID") or meta.uid("MediaStorageSOPClassUID"), syntax, pixel_data)


def _pixel_data(splitter: "_Splitter", at: int) -> PixelData | None:
    if at + 8 > len(splitter.view):
        return None
    _, vr, start, length = splitter.header(at)
    if length == _UNDEFINED:
        length = len(splitter.view) - start
    return PixelData(vr, length, lambda: splitter.view[start : start + length])


def _split_deflated(inflater: "_Inflater", limits: ReadLimits) -> tuple[dict[str, Value], PixelData | None]:
    """Inflates until the pixels begin, and no further."""
    wanted = _FIRST_INFLATED
    while True:
        view = memoryview(inflater.first(wanted))
        splitter = _Splitter(view, EXPLICIT, limits)
        try:
            values, end = splitter.split(0, lambda tag: tag == _PIXEL_DATA)
            if end + 12 <= len(view) or inflater.finished:
                break
            wanted = 8 * len(view)
        except _EndsTooEarlyError as error:
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


class _EndsTooEarlyError(UnreadableRadiograph):
    """The data end before an element does."""

    def __init__(self, tag: int, needed: int) -> None:
        super().__init__(
            "truncated", f"the file ends in the middle of the element ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        )
        self.needed = needed


class _Splitter:
    """Finds where elements begin and end, PS3.5 section 7."""

    def __init__(self, view: memoryview, syntax: str, limits: ReadLimits) -> None:
        self.view = view
        self._order = ">" if syntax == BIG_ENDIAN else "<"
        self._implicit = syntax == IMPLICIT
        self._limits = limits
        self._num_elements = 0

    def split(self, at: int, stop: Callable[[int], bool]) -> tuple[dict[str, Value], int]:
        """Returns the values of elements from a position on, and where the first stands whose tag says stop."""
        if self._implicit and _is_vr(self.view[at + 4 : at + 6]):  # the meta information is wrong at times
            self._implicit = False
        values: dict[str, Value] = {}
        while at + 8 <= len(self.view):
            tag, vr, start, length = self.header(at)
            if stop(tag):
                return values, at
            end = self._end(tag, start, length, 0)
            if end > len(self.view):
                raise _EndsTooEarlyError(tag, end)
            if keyword := _KEYWORD_OF_TAG.get(tag):
                values[keyword] = Value(vr, self.view[start:end])
            at = end
        return values, len(self.view)

    def header(self, at: int) -> tuple[int, str, int, int]:
        """Returns tag, value representation, where the value begins, and its length."""
        self._num_elements += 1
        if self._num_elements > self._limits.elements:
            raise RadiographTooLarge("too_many_elements", f"more than {self._limits.elements} data elements")
        if at + 8 > len(self.view):
            raise _EndsTooEarlyError(0, at + 12)
        group, element = struct.unpack_from(self._order + "HH", self.view, at)
        tag = group << 16 | element
        vr = bytes(self.view[at + 4 : at + 6])
        # Items have no VR; some writers leave it out of private elements, and UN may hold implicit ones, PS3.5 6.2.2.
        if self._implicit or group == 0xFFFE or not _is_vr(vr):
            return tag, "", at + 8, struct.unpack_from(self._order + "I", self.view, at + 4)[0]
        if vr not in _LONG_VRS:
            return tag, vr.decode(), at + 8, struct.unpack_from(self._order + "H", self.view, at + 6)[0]
        if at + 12 > len(self.view):
            raise _EndsTooEarlyError(tag, at + 12)
        return tag, vr.decode(), at + 12, struct.unpack_from(self._order + "I", self.view, at + 8)[0]

    def _end(self, tag: int, start: int, length: int, depth: int) -> int:
        """Returns where a value ends; one of undefined length holds items, PS3.5 section 7.5."""
        if length != _UNDEFINED:
            return start + length
        if depth == self._limits.depth:
            raise RadiographTooLarge("too_many_elements", f"sequences are nested deeper than {depth}")
        while True:
            item, _, start, length = self.header(start)
            if item == _END_OF_SEQUENCE:
                return start
            if item != _ITEM:
                raise UnreadableRadiograph(
                    "not_decodable", f"the element ({tag >> 16:04X},{tag & 0xFFFF:04X}) holds something else than items"
                )
            start = start + length if length != _UNDEFINED else self._end_of_item(start, depth + 1)

    def _end_of_item(self, at: int, depth: int) -> int:
        while True:
            tag, _, start, length = self.header(at)
            if tag == _END_OF_ITEM:
                return start
            at = self._end(tag, start, length, depth)


class _Inflater:
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


def _is_vr(data: bytes | memoryview) -> bool:
    text = bytes(data)
    return text.isalpha() and text.isupper()
