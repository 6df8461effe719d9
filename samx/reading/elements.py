"""Where the elements of a DICOM data set begin and end, PS3.5 section 7.

Nothing is copied, nested sequences are stepped over, and every element is counted against a limit.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from pydicom.datadict import tag_for_keyword

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
    *("ManufacturerModelName", "SeriesDescription", "ProtocolName", "PatientID", "PatientSex", "PatientAge"),
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept"),
    *("ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape"),
    *("LUTDescriptor", "LUTData", "NumberOfFrames"),
)
"""What is used of a file; everything else is stepped over."""
_KEYWORD_OF_TAG = {tag_for_keyword(keyword): keyword for keyword in _KEYWORDS}
PIXEL_DATA = 0x7FE00010
ITEM, END_OF_ITEM, END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
UNDEFINED = 0xFFFFFFFF  # a length


@dataclass(frozen=True, slots=True)
class Value:
    """An element's value, not decoded."""

    vr: str
    """Value representation as the file gives it; "" where it gives none."""
    data: memoryview


class EndsTooEarlyError(UnreadableRadiograph):
    """The data end before an element does."""

    def __init__(self, tag: int, needed: int) -> None:
        super().__init__(
            "truncated", f"the file ends in the middle of the element ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        )
        self.needed = needed


class Splitter:
    """Finds where elements begin and end, PS3.5 section 7."""

    def __init__(self, view: memoryview, syntax: str, limits: ReadLimits) -> None:
        self.view = view
        self._order = ">" if syntax == BIG_ENDIAN else "<"
        self._implicit = syntax == IMPLICIT
        self._limits = limits
        self._num_elements = 0

    def split(self, at: int, stop: Callable[[int], bool]) -> tuple[dict[str, Value], int]:
        """Returns the values of elements from a position on, and where the first stands whose tag says stop."""
        if self._implicit and is_vr(self.view[at + 4 : at + 6]):  # the meta information is wrong at times
            self._implicit = False
        values: dict[str, Value] = {}
        while at + 8 <= len(self.view):
            tag, vr, start, length = self.header(at)
            if stop(tag):
                return values, at
            end = self._end(tag, start, length, 0)
            if end > len(self.view):
                raise EndsTooEarlyError(tag, end)
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
            raise EndsTooEarlyError(0, at + 12)
        group, element = struct.unpack_from(self._order + "HH", self.view, at)
        tag = group << 16 | element
        vr = bytes(self.view[at + 4 : at + 6])
        # Items have no VR; some writers leave it out of private elements, and UN may hold implicit ones, PS3.5 6.2.2.
        if self._implicit or group == 0xFFFE or not is_vr(vr):
            return tag, "", at + 8, struct.unpack_from(self._order + "I", self.view, at + 4)[0]
        if vr not in _LONG_VRS:
            return tag, vr.decode(), at + 8, struct.unpack_from(self._order + "H", self.view, at + 6)[0]
        if at + 12 > len(self.view):
            raise EndsTooEarlyError(tag, at + 12)
        return tag, vr.decode(), at + 12, struct.unpack_from(self._order + "I", self.view, at + 8)[0]

    def _end(self, tag: int, start: int, length: int, depth: int) -> int:
        """Returns where a value ends; one of undefined length holds items, PS3.5 section 7.5."""
        if length != UNDEFINED:
            return start + length
        if depth == self._limits.depth:
            raise RadiographTooLarge("too_many_elements", f"sequences are nested deeper than {depth}")
        while True:
            item, _, start, length = self.header(start)
            if item == END_OF_SEQUENCE:
                return start
            if item != ITEM:
                raise UnreadableRadiograph(
                    "not_decodable", f"the element ({tag >> 16:04X},{tag & 0xFFFF:04X}) holds something else than items"
                )
            start = start + length if length != UNDEFINED else self._end_of_item(start, depth + 1)

    def _end_of_item(self, at: int, depth: int) -> int:
        while True:
            tag, _, start, length = self.header(at)
            if tag == END_OF_ITEM:
                return start
            at = self._end(tag, start, length, depth)


def is_vr(data: bytes | memoryview) -> bool:
    """Tells whether two bytes look like a value representation."""
    text = bytes(data)
    return text.isalpha() and text.isupper()
