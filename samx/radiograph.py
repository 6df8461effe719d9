"""Radiographs: read from DICOM, PNG, JPEG and TIFF, whatever the bytes turn out to be.

The order of work is "reduce first, window later": decode no larger than needed, reduce to the working size, then apply
modality LUT, VOI LUT and polarity to the few pixels that are left. The result looks like the radiograph on a reading
station: grey values in [0, 1], dense tissue bright. Files come from anywhere, so every size is checked before it costs
anything, and whatever goes wrong is a RadiographError with one of these codes:

    NotARadiographFormat   unknown_format
    RadiographTooLarge     too_many_bytes  too_many_pixels  too_many_elements  inflates_too_large  out_of_memory
    UnsupportedRadiograph  not_a_radiograph  multi_frame  colour  transfer_syntax  bits_allocated
    UnreadableRadiograph   truncated  missing_pixel_data  missing_attribute  invalid_attribute  wrong_size
                           not_decodable
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samx.errors import NotARadiographFormat, RadiographError, RadiographTooLarge, UnreadableRadiograph
from samx.reading import codecs, dicom, grey_levels
from samx.reading.image_pixel import check_supported, image_pixel
from samx.reading.limits import DEFAULT_LIMITS, ReadLimits
from samx.reading.pictures import picture_format, read_picture
from samx.reading.polarity import is_negative
from samx.reading.reduction import reduce_to

Format = Literal["dicom", "png", "jpeg", "tiff"]


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
    patient_sex: str = field(default="", repr=False)
    """Patient's Sex (0010,0040)."""
    patient_age: str = field(default="", repr=False)
    """Patient's Age (0010,1010), VR AS: `045Y`."""


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One radiograph at working size."""

    pixels: NDArray[np.float32]
    """`(H, W)` float32 in [0, 1], C-contiguous; bright is dense, as MONOCHROME2 is shown."""
    attributes: RadiographAttributes
    format: Format
    rows: int
    """Height of the original in pixels."""
    columns: int
    """Width of the original in pixels."""
    was_negative: bool = False
    """Whether air was bright, against what the file says or for lack of it, and the grey values have been inverted."""


def read_radiograph(
    data: bytes | memoryview, *, working_size: int = 512, limits: ReadLimits = DEFAULT_LIMITS
) -> Radiograph:
    """Reads one file, whose format is told by its first bytes.

    Args:
        data: the whole file: DICOM with or without preamble, PNG, JPEG or TIFF.
        working_size: the long side of the result in pixels, at most; smaller radiographs are not enlarged.
        limits: what the file may cost.

    Raises:
        RadiographError: a subclass with a code from the table above; nothing else, whatever the bytes.
    """
    if working_size < 1:
        raise ValueError(f"working_size {working_size}: at least 1")
    limits.check_encoded(len(data))
    try:
        if dicom.looks_like_dicom(data):  # first: a preamble may hold the header of a TIFF, PS3.10 section 7.1
            return _read_dicom(data, working_size, limits)
        if (kind := picture_format(data)) is not None:
            values, rows, columns = read_picture(data, kind, working_size, limits)
            return _positive(grey_levels.stretch(values), RadiographAttributes(), kind, rows, columns)
    except RadiographError:
        raise
    except MemoryError:
        raise RadiographTooLarge("out_of_memory", "there is not enough memory to decode the file") from None
    except Exception as error:  # whatever a library does with broken bytes; its message could hold patient data
        raise UnreadableRadiograph("not_decodable", f"the file is broken ({type(error).__name__})") from None
    raise NotARadiographFormat("unknown_format", f"{len(data)} bytes that are not DICOM, PNG, JPEG or TIFF")


def _read_dicom(data: bytes | memoryview, working_size: int, limits: ReadLimits) -> Radiograph:
    file = dicom.parse(data, limits)
    pixel_data = check_supported(file)
    elements, stored_as = file.elements, image_pixel(file.elements)
    limits.check_decoded(stored_as.rows, stored_as.columns, stored_as.bits_allocated)
    raster = codecs.raster(pixel_data, stored_as, file.transfer_syntax_uid, working_size, limits)
    stored = reduce_to(raster, stored_as.rows, stored_as.columns, working_size)
    values = grey_levels.apply_modality_lut(stored, elements)
    pixels = grey_levels.apply_voi_lut(values, elements)
    inverse = _is_inverse(elements)
    if pixels is None:
        padding = grey_levels.padding(stored, elements, signed=stored_as.signed)
        pixels = grey_levels.stretch(-values if inverse else values, None if padding is None else ~padding)
    elif inverse:
        pixels = 1 - pixels
    return _positive(pixels, _attributes(file), "dicom", stored_as.rows, stored_as.columns)


def _positive(
    pixels: NDArray[np.float32], attributes: RadiographAttributes, kind: Format, rows: int, columns: int
) -> Radiograph:
    negative = is_negative(pixels)
    return Radiograph(1 - pixels if negative else pixels, attributes, kind, rows, columns, negative)


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
        patient_sex=text("PatientSex"),
        patient_age=text("PatientAge"),
    )
