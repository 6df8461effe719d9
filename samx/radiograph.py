"""Radiographs: read from DICOM, PNG and JPEG, whatever the bytes turn out to be.

The order of work is "reduce first, window later": decode, average areas down to the working size, then apply modality
LUT, VOI LUT and polarity to the few pixels that are left. The result looks like the radiograph on a reading station:
grey values in [0, 1], dense tissue bright. Files come from anywhere, so every size is checked before it costs anything,
and whatever goes wrong is a RadiographError with one of these codes:

    NotARadiographFormat   unknown_format
    RadiographTooLarge     too_many_bytes  too_many_pixels  inflates_too_large  out_of_memory
    UnsupportedRadiograph  not_a_radiograph  multi_frame  colour  transfer_syntax  bits_allocated
    UnreadableRadiograph   missing_pixel_data  missing_attribute  invalid_attribute  wrong_size  not_decodable
"""

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from samx import dicom
from samx.decoding import ReadLimits, reduce_to, stored_values
from samx.errors import (
    NotARadiographFormat,
    RadiographError,
    RadiographTooLarge,
    UnreadableRadiograph,
    UnsupportedRadiograph,
)

DEFAULT_LIMITS = ReadLimits()

_PERCENTILES = (0.5, 99.5)
_FEWEST_GREYS = 1 / 255  # a window that leaves less between the darkest and the brightest pixel shows nothing
_MOST_COLOUR = 8 / 255  # between the channels of a pixel that still counts as grey; JPEG rounds them apart


@dataclass(frozen=True, slots=True)
class RadiographAttributes:
    """DICOM attributes as text of at most 64 printable characters; "" where absent, broken, or not DICOM."""

    modality: str = ""
    body_part_examined: str = ""
    view_position: str = ""
    laterality: str = ""
    """Image Laterality (0020,0062), else Laterality (0020,0060)."""
    institution_name: str = ""
    station_name: str = ""
    manufacturer: str = ""
    manufacturer_model_name: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    series_description: str = ""
    protocol_name: str = ""
    photometric_interpretation: str = ""
    transfer_syntax_uid: str = ""
    patient_id: str = field(default="", repr=False)
    """To keep a patient on one side of a split; not for logs."""


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One radiograph at working size."""

    pixels: NDArray[np.float32]
    """`(H, W)` float32 in [0, 1], C-contiguous; bright is dense, as MONOCHROME2 is shown."""
    attributes: RadiographAttributes
    format: Literal["dicom", "png", "jpeg"]
    rows: int
    """Height of the original in pixels."""
    columns: int
    """Width of the original in pixels."""


def read_radiograph(data: bytes, *, working_size: int = 512, limits: ReadLimits = DEFAULT_LIMITS) -> Radiograph:
    """Reads one file, whose format is told by its first bytes.

    Args:
        data: the whole file: DICOM with or without preamble, PNG or JPEG.
        working_size: the long side of the result in pixels, at most; smaller radiographs are not enlarged.
        limits: what the file may cost.

    Raises:
        RadiographError: a subclass with a code from the table above; nothing else, whatever the bytes.
    """
    if working_size < 1:
        raise ValueError(f"working_size {working_size}: at least 1")
    limits.check_encoded(len(data))
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _read_picture(data, "png", working_size, limits)
        if data.startswith(b"\xff\xd8\xff"):
            return _read_picture(data, "jpeg", working_size, limits)
        if dicom.looks_like_dicom(data):
            return _read_dicom(data, working_size, limits)
    except RadiographError:
        raise
    except MemoryError:
        raise RadiographTooLarge("out_of_memory", "there is not enough memory to decode the file") from None
    except Exception as error:  # whatever a library does with broken bytes; its message could hold patient data
        raise UnreadableRadiograph("not_decodable", f"the file is broken ({type(error).__name__})") from None
    raise NotARadiographFormat("unknown_format", f"{len(data)} bytes that are not DICOM, PNG or JPEG")


# ----------------------------------------------------------------------------------------------------------- DICOM


def _read_dicom(data: bytes, working_size: int, limits: ReadLimits) -> Radiograph:
    file = dicom.parse(data, limits)
    dicom.check_supported(file)
    elements = file.elements
    image_pixel = dicom.image_pixel(elements)
    limits.check_decoded(image_pixel.rows, image_pixel.columns, image_pixel.bits_allocated)
    stored = stored_values(
        elements.raw("PixelData"),
        image_pixel,
        file.transfer_syntax_uid,
        big_endian=elements.big_endian,
        words=elements.vr("PixelData") == "OW",
    )
    padding = _padding(stored, elements, image_pixel.signed)
    content = None if padding is None else reduce_to(padding, working_size) == 0
    values = _apply_modality_lut(reduce_to(stored, working_size), elements)
    pixels = _apply_voi_lut(values, elements)
    if pixels is None:
        pixels = _stretch(values, content)
    if _is_inverse(elements):
        pixels = 1 - pixels
    return Radiograph(pixels, _attributes(file), "dicom", image_pixel.rows, image_pixel.columns)


def _padding(stored: NDArray[Any], elements: dicom.Elements, signed: bool) -> NDArray[np.bool_] | None:
    """Returns where the pixels are no image, PS3.3 C.7.5.1.1.2: `(rows, columns)`; None without Pixel Padding Value."""
    value = elements.shorts("PixelPaddingValue", signed=signed)[:1]
    limit = elements.shorts("PixelPaddingRangeLimit", signed=signed)[:1] or value
    if not value:
        return None
    return (stored >= min(value + limit)) & (stored <= max(value + limit))


def _apply_modality_lut(values: NDArray[np.float32], elements: dicom.Elements) -> NDArray[np.float32]:
    """Applies Modality LUT Sequence or Rescale Slope and Intercept, PS3.3 C.11.1. `(H, W)` stored values in."""
    for item in elements.items("ModalityLUTSequence")[:1]:
        if (lut := _lut(item, elements)) is not None:
            first, table, _ = lut
            return np.interp(values, first + np.arange(len(table)), table).astype(np.float32)
    slope = (elements.decimals("RescaleSlope") or [1.0])[0] or 1.0
    intercept = (elements.decimals("RescaleIntercept") or [0.0])[0]
    return values * np.float32(slope) + np.float32(intercept)


def _apply_voi_lut(values: NDArray[np.float32], elements: dicom.Elements) -> NDArray[np.float32] | None:
    """Applies the first window, else the first VOI LUT, PS3.3 C.11.2; None where neither shows anything.

    Args:
        values: `(H, W)` after the modality LUT.
        elements: the data set.

    Returns:
        `(H, W)` in [0, 1].
    """
    pixels = None
    centers, widths = elements.decimals("WindowCenter"), elements.decimals("WindowWidth")
    if centers and widths and widths[0] > 0:
        pixels = _window(values, centers[0], widths[0], elements.text("VOILUTFunction"))
    if pixels is None or np.ptp(pixels) < _FEWEST_GREYS:
        for item in elements.items("VOILUTSequence")[:1]:
            if (lut := _lut(item, elements)) is not None:
                first, table, top = lut
                pixels = np.asarray(np.interp(values, first + np.arange(len(table)), table) / top, np.float32)
    return pixels if pixels is not None and np.ptp(pixels) >= _FEWEST_GREYS else None


def _window(values: NDArray[np.float32], center: float, width: float, function: str) -> NDArray[np.float32]:
    """Maps values to [0, 1] by one of the functions of PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -80, 80))), np.float32)
    if function != "LINEAR_EXACT":  # LINEAR, also where nothing is said
        center, width = center - 0.5, max(width - 1, 1e-6)
    return np.asarray(np.clip((values - center) / width + 0.5, 0, 1), np.float32)


def _lut(item: dicom.Elements, elements: dicom.Elements) -> tuple[int, NDArray[np.float64], float] | None:
    """Returns a LUT's first input value, entries and full scale, PS3.3 C.11.1.1.1; None where it is broken."""
    descriptor = item.shorts("LUTDescriptor")
    if len(descriptor) != 3:
        return None
    num_entries, first, bits = descriptor
    num_entries = num_entries or 65536
    if item.vr("LUTDescriptor") == "SS" or (elements.shorts("PixelRepresentation") == [1] and first >= 0x8000):
        first -= 0x10000 if first >= 0x8000 else 0
    entries = item.shorts("LUTData")
    if len(entries) < num_entries:  # two 8-bit entries to a word
        entries = list(item.raw("LUTData"))
    if len(entries) < num_entries or not 8 <= bits <= 16:
        return None
    table = np.asarray(entries[:num_entries], np.float64)
    return first, table, max(2.0**bits - 1, float(table.max()))


def _stretch(values: NDArray[np.float32], content: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Maps robust percentiles to 0 and 1; a picture of one value becomes 0.

    Args:
        values: `(H, W)`, any unit.
        content: `(H, W)`, false where padding must not count.
    """
    counted = values[content] if content is not None and content.any() else values
    low, high = np.percentile(counted, _PERCENTILES)
    if high <= low:
        low, high = counted.min(), counted.max()
    return np.asarray(np.clip((values - low) / max(float(high - low), 1e-6), 0, 1), np.float32)


def _is_inverse(elements: dicom.Elements) -> bool:
    """Tells whether low values are bright: Presentation LUT Shape (2050,0020) repeats what MONOCHROME1 says."""
    shape = elements.text("PresentationLUTShape")
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return elements.text("PhotometricInterpretation") == "MONOCHROME1"


def _attributes(file: dicom.ParsedFile) -> RadiographAttributes:
    text, uid = file.elements.text, file.elements.uid
    return RadiographAttributes(
        modality=text("Modality"),
        body_part_examined=text("BodyPartExamined"),
        view_position=text("ViewPosition"),
        laterality=text("ImageLaterality") or text("Laterality"),
        institution_name=text("InstitutionName"),
        station_name=text("StationName"),
        manufacturer=text("Manufacturer"),
        manufacturer_model_name=text("ManufacturerModelName"),
        sop_instance_uid=uid("SOPInstanceUID"),
        study_instance_uid=uid("StudyInstanceUID"),
        series_description=text("SeriesDescription"),
        protocol_name=text("ProtocolName"),
        photometric_interpretation=text("PhotometricInterpretation"),
        transfer_syntax_uid=file.transfer_syntax_uid,
        patient_id=text("PatientID"),
    )


# ----------------------------------------------------------------------------------------------------------- PNG, JPEG


def _read_picture(data: bytes, kind: Literal["png", "jpeg"], working_size: int, limits: ReadLimits) -> Radiograph:
    """Reads a grey picture; it has no window, and its polarity is taken as shown."""
    try:
        with dicom.without_warnings():
            image: Image.Image = Image.open(BytesIO(data), formats=(kind.upper(),))
            num_frames = getattr(image, "n_frames", 1)
    except Image.DecompressionBombError:
        raise RadiographTooLarge("too_many_pixels", f"the {kind.upper()} claims more pixels than are decoded") from None
    if num_frames > 1:
        raise UnsupportedRadiograph("multi_frame", f"the {kind.upper()} holds {num_frames} frames; allowed is 1")
    num_bits = 16 if image.mode.startswith("I") else 8 * len(image.getbands())
    limits.check_decoded(image.height, image.width, num_bits)
    if kind == "jpeg":
        with dicom.without_warnings():
            image = ImageOps.exif_transpose(image)
    if image.mode == "CMYK":
        raise UnsupportedRadiograph("colour", f"the {kind.upper()} is {image.mode}; allowed is grey")
    if image.mode in ("P", "PA", "RGBA"):
        image = image.convert("RGBA").convert("RGB")
    elif image.mode in ("1", "LA"):
        image = image.convert("L")
    values = reduce_to(np.asarray(image), working_size)
    if values.ndim == 3:
        share = float(np.mean(np.ptp(values, axis=2) > 255 * _MOST_COLOUR))
        if share > 0.01:
            raise UnsupportedRadiograph(
                "colour", f"the {kind.upper()} is in colour ({share:.0%} of its area); allowed is grey"
            )
        values = np.ascontiguousarray(values.mean(axis=2, dtype=np.float32))
    return Radiograph(_stretch(values), RadiographAttributes(), kind, image.height, image.width)
