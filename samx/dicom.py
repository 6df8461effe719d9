"""A DICOM data set as untrusted bytes: split once, its elements taken raw, refused by name if it is no radiograph.

pydicom splits the bytes into elements, of which only those that are used here are kept. Their values are decoded here,
as what the standard says they are: a broken value is then an absent one, and none reaches a warning or a log.
"""

import logging
import math
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import pydicom
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_description
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID
from pydicom.valuerep import TEXT_VR_DELIMS

from samx.decoding import CODESTREAM_SYNTAXES, NATIVE_SYNTAXES, RLE_LOSSLESS, ImagePixel, ReadLimits
from samx.errors import RadiographError, UnreadableRadiograph, UnsupportedRadiograph

_IMPLICIT, _EXPLICIT, _DEFLATED, _BIG_ENDIAN = NATIVE_SYNTAXES

KEYWORDS = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "Modality", "BodyPartExamined"),
    *("ViewPosition", "ImageLaterality", "Laterality", "InstitutionName", "StationName", "Manufacturer"),
    *("ManufacturerModelName", "SeriesDescription", "ProtocolName", "PatientID", "PixelData", "NumberOfFrames"),
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept"),
    *("ModalityLUTSequence", "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape"),
)
_TAGS: list[BaseTag | int] = [Tag(keyword) for keyword in KEYWORDS]
_PIXEL_DATA = Tag("PixelData")

# Image objects of projection radiography, PS3.4 table B.5-1. Secondary Capture is decided by Modality.
_PROJECTION = tuple(
    "1.2.840.10008.5.1.4.1.1." + suffix
    for suffix in ("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "12.1", "12.1.1", "12.2", "12.2.1")
)
_SECONDARY_CAPTURE = tuple("1.2.840.10008.5.1.4.1.1." + suffix for suffix in ("7", "7.1", "7.2", "7.3", "7.4"))
_COLOUR_INTERPRETATIONS = (
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT",
    "YBR_RCT", "XYB",
)  # fmt: skip
"""Defined Terms of Photometric Interpretation, PS3.3 C.7.6.3.1.2."""
_MODALITIES = ("CR", "DX", "RG", "MG", "XA", "RF", "IO", "PX")

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


class Elements:
    """The elements of a data set or of a sequence's item, by keyword. What is absent or broken is empty."""

    def __init__(self, dataset: pydicom.Dataset, encodings: Sequence[str], *, big_endian: bool = False) -> None:
        self._dataset = dataset
        self._raw = {tag: dataset.get_item(tag) for tag in list(dataset.keys())}  # pydicom replaces them once parsed
        self._encodings = encodings
        self.big_endian = big_endian
        """Whether numbers are stored with their most significant byte first."""

    def raw(self, keyword: str) -> bytes:
        """Returns the bytes of a value; b"" where absent."""
        element = self._raw.get(Tag(keyword))
        return element.value if element is not None and isinstance(element.value, bytes) else b""

    def vr(self, keyword: str) -> str:
        """Returns the value representation as the file gives it; "" where it gives none."""
        element = self._raw.get(Tag(keyword))
        return str(element.VR or "") if element is not None else ""

    def text(self, keyword: str) -> str:
        """Returns a value as printable text of at most 64 characters; "" where it cannot be decoded."""
        value = self.raw(keyword)[:256]
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
        """Returns the values of VR US or SS."""
        value = self.raw(keyword)
        order: Literal["big", "little"] = "big" if self.big_endian else "little"
        return [int.from_bytes(value[i : i + 2], order, signed=signed) for i in range(0, len(value) // 2 * 2, 2)]

    def decimals(self, keyword: str) -> list[float]:
        """Returns the values of VR DS or IS; none where one of them is broken."""
        try:
            values = [float(part) for part in self.raw(keyword)[:256].decode("ascii").strip(" \0").split("\\")]
        except ValueError:
            return []
        return values if all(math.isfinite(value) for value in values) else []

    def items(self, keyword: str) -> list["Elements"]:
        """Returns the items of a sequence."""
        if keyword not in self._dataset:
            return []
        with without_warnings():
            items = list(self._dataset[keyword].value or ())
        return [Elements(item, self._encodings, big_endian=self.big_endian) for item in items]


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """A DICOM file, split."""

    elements: Elements
    sop_class_uid: str
    """(0008,0016), else (0002,0002); "" where there is neither."""
    transfer_syntax_uid: str
    """(0002,0010); without file meta information, the uncompressed one that the bytes look like."""


def looks_like_dicom(data: bytes) -> bool:
    """Tells whether bytes are a DICOM file, PS3.10 section 7.1, or a data set without preamble or meta information."""
    if data[128:132] == b"DICM":
        return True
    if data[:2] not in (b"\x02\x00", b"\x08\x00") or data[3:4] != b"\x00":
        return False
    return _has_explicit_vr(data) or int.from_bytes(data[4:8], "little") <= 64


def _has_explicit_vr(data: bytes) -> bool:
    return data[4:6].isalpha() and data[4:6].isupper()


def parse(data: bytes, limits: ReadLimits) -> ParsedFile:
    """Splits a DICOM file into the elements of KEYWORDS.

    Raises:
        RadiographTooLarge: a deflated data set is larger than allowed.
        UnreadableRadiograph: the elements cannot be told apart.
    """
    file = BytesIO(data)
    file.seek(132 if data[128:132] == b"DICM" else 0)
    try:
        with without_warnings():
            meta = Elements(
                read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2), ["ascii"]
            )
            body = data[file.tell() :]
            syntax = meta.uid("TransferSyntaxUID") or (_EXPLICIT if _has_explicit_vr(body) else _IMPLICIT)
            if syntax == _DEFLATED:
                body = limits.inflate(body)
            dataset = read_dataset(
                BytesIO(body),
                syntax == _IMPLICIT,
                syntax != _BIG_ENDIAN,
                stop_when=lambda tag, _vr, _length: tag > _PIXEL_DATA,
                specific_tags=_TAGS,
            )
            character_sets = Elements(dataset, ["ascii"]).text("SpecificCharacterSet").split("\\")
            elements = Elements(dataset, convert_encodings(character_sets), big_endian=syntax == _BIG_ENDIAN)
    except RadiographError:
        raise
    except Exception as error:  # pydicom has many ways to give up
        detail = f"the DICOM data elements cannot be read ({type(error).__name__})"
        raise UnreadableRadiograph("not_decodable", detail) from None
    sop_class_uid = elements.uid("SOPClassUID") or meta.uid("MediaStorageSOPClassUID")
    return ParsedFile(elements, sop_class_uid, syntax)


def check_supported(file: ParsedFile) -> None:
    """Refuses by name what is not one grey frame of projection radiography.

    The SOP class decides; Secondary Capture, a private class or none leave it to Modality. A CT slice that was stored
    as Computed Radiography is let through: telling it apart is the classifier's work.

    Raises:
        UnsupportedRadiograph: not_a_radiograph, multi_frame, colour, transfer_syntax.
        UnreadableRadiograph: missing_pixel_data.
    """
    elements, sop_class, modality = file.elements, file.sop_class_uid, file.elements.text("Modality")[:16]
    if sop_class not in _PROJECTION:
        if sop_class.startswith("1.2.840.10008.") and sop_class not in _SECONDARY_CAPTURE:
            name = UID(sop_class, validation_mode=pydicom.config.IGNORE).name
            raise UnsupportedRadiograph(
                "not_a_radiograph",
                f"SOP Class UID (0008,0016) is {name}; allowed are projection radiography and Secondary Capture",
            )
        if modality not in (*_MODALITIES, ""):
            raise UnsupportedRadiograph(
                "not_a_radiograph", f"Modality (0008,0060) is {modality!r}; allowed are {', '.join(_MODALITIES)}"
            )
    if not elements.raw("PixelData"):
        raise UnreadableRadiograph("missing_pixel_data", "no Pixel Data (7FE0,0010), or the file ends before it does")
    num_frames = (elements.decimals("NumberOfFrames") or [1])[0]
    if num_frames > 1:
        raise UnsupportedRadiograph("multi_frame", f"Number of Frames (0028,0008) is {num_frames:.0f}; allowed is 1")
    photometric = elements.text("PhotometricInterpretation")[:16]
    samples = (elements.shorts("SamplesPerPixel") or [1])[0]
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        # Repeated only if it is a term of the standard: a broken file may hold anything there, a patient's name too.
        named = repr(photometric) if photometric in _COLOUR_INTERPRETATIONS else "no term of the standard"
        raise UnsupportedRadiograph(
            "colour",
            f"Samples per Pixel (0028,0002) is {samples}, Photometric Interpretation (0028,0004) is {named}; "
            "allowed are 1 and MONOCHROME1 or MONOCHROME2",
        )
    syntax = file.transfer_syntax_uid
    if syntax not in (*NATIVE_SYNTAXES, RLE_LOSSLESS, *CODESTREAM_SYNTAXES):
        name = UID(syntax, validation_mode=pydicom.config.IGNORE).name
        raise UnsupportedRadiograph(
            "transfer_syntax",
            f"Transfer Syntax UID (0002,0010) is {name}; allowed are uncompressed, deflated, RLE, JPEG, "
            "JPEG-LS, JPEG 2000 and HTJ2K",
        )


def image_pixel(elements: Elements) -> ImagePixel:
    """Reads and checks the Image Pixel Module, PS3.3 C.7.6.3.

    Raises:
        UnreadableRadiograph: missing_attribute, invalid_attribute.
        UnsupportedRadiograph: bits_allocated.
    """

    def required(keyword: str) -> int:
        values = elements.shorts(keyword)
        if not values:
            raise UnreadableRadiograph("missing_attribute", f"{_named(keyword)} is missing or broken")
        return values[0]

    rows, columns, bits_allocated = required("Rows"), required("Columns"), required("BitsAllocated")
    bits_stored = (elements.shorts("BitsStored") or [bits_allocated])[0]
    high_bit = (elements.shorts("HighBit") or [bits_stored - 1])[0]
    signed = (elements.shorts("PixelRepresentation") or [0])[0]
    if bits_allocated not in (8, 16, 32):
        raise UnsupportedRadiograph(
            "bits_allocated", f"{_named('BitsAllocated')} is {bits_allocated}; allowed are 8, 16 and 32"
        )
    for keyword, value, low, high in (
        ("Rows", rows, 1, 65535),
        ("Columns", columns, 1, 65535),
        ("BitsStored", bits_stored, 1, bits_allocated),
        ("HighBit", high_bit, bits_stored - 1, bits_allocated - 1),
        ("PixelRepresentation", signed, 0, 1),
    ):
        if not low <= value <= high:
            raise UnreadableRadiograph(
                "invalid_attribute", f"{_named(keyword)} is {value}; allowed are {low} to {high} here"
            )
    return ImagePixel(rows, columns, bits_allocated, bits_stored, high_bit, signed == 1)


def _named(keyword: str) -> str:
    tag = Tag(keyword)
    return f"{dictionary_description(tag)} ({tag.group:04X},{tag.element:04X})"
