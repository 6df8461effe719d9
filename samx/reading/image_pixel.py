"""What of DICOM is read: one grey frame of projection radiography. Everything else is refused by name."""

import re
from dataclasses import dataclass

import pydicom
from pydicom.datadict import dictionary_description
from pydicom.tag import Tag
from pydicom.uid import UID

from samx.errors import UnreadableRadiograph, UnsupportedRadiograph
from samx.reading.dicom import Elements, ParsedFile, PixelData
from samx.reading.elements import CODESTREAM_SYNTAXES, NATIVE_SYNTAXES, RLE_LOSSLESS

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


@dataclass(frozen=True, slots=True)
class ImagePixel:
    """The attributes of the Image Pixel Module that say how a value is stored, PS3.3 C.7.6.3."""

    rows: int
    columns: int
    bits_allocated: int
    """8, 16 or 32."""
    bits_stored: int
    high_bit: int
    signed: bool
    """Pixel Representation (0028,0103) is 1: two's complement."""

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest value of `bits_stored` bits."""
        return value_range(self.bits_stored, signed=self.signed)


def value_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """The smallest and the largest value of this many bits."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def check_supported(file: ParsedFile) -> PixelData:
    """Refuses by name what is not one grey frame of projection radiography.

    The SOP class decides; Secondary Capture, a private class or none leave it to Modality. A CT slice that was stored
    as Computed Radiography is let through: telling it apart is the classifier's work.

    Returns:
        The pixels of that frame.

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
            named = repr(modality) if re.fullmatch("[A-Z]{2,3}", modality) else "no term of the standard"
            raise UnsupportedRadiograph(
                "not_a_radiograph", f"Modality (0008,0060) is {named}; allowed are {', '.join(_MODALITIES)}"
            )
    if file.pixel_data is None or not file.pixel_data.num_bytes:
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
    return file.pixel_data


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
