"""What of DICOM is read, and every refusal by its name."""

import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import (
    MPEG2MPML,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
)

from samx.errors import (
    RadiographError,
    RadiographTooLarge,
    UnreadableRadiograph,
    UnsupportedRadiograph,
)
from samx.radiograph import read_radiograph
from tests.samx.files import RAMP, WIDE, dicom


@pytest.mark.parametrize(
    "attributes",
    [
        {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "RG"},
        {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": None},
        {"SOPClassUID": "1.2.392.200036.9125.1.1.2", "Modality": "CR"},
        {"SOPClassUID": XRayAngiographicImageStorage, "Modality": "XA", "NumberOfFrames": "1"},
        {"SOPClassUID": ComputedRadiographyImageStorage, "Modality": "CT"},
        {"NumberOfFrames": ""},
    ],
)
def test_projection_radiographs_are_read(attributes: dict[str, Any]) -> None:
    np.testing.assert_allclose(read_radiograph(dicom(RAMP, **attributes, **WIDE)).pixels, RAMP / 4095, atol=1e-6)


RGB = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}


@pytest.mark.parametrize(
    ("attributes", "error", "code", "says"),
    [
        ({"SOPClassUID": CTImageStorage}, UnsupportedRadiograph, "not_a_radiograph", "(0008,0016) is CT Image Storage"),
        (
            {"SOPClassUID": GrayscaleSoftcopyPresentationStateStorage},
            UnsupportedRadiograph,
            "not_a_radiograph",
            "Softcopy",
        ),
        ({"SOPClassUID": EncapsulatedPDFStorage}, UnsupportedRadiograph, "not_a_radiograph", "Encapsulated PDF"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, UnsupportedRadiograph, "not_a_radiograph", "Text SR"),
        ({"SOPClassUID": MediaStorageDirectoryStorage}, UnsupportedRadiograph, "not_a_radiograph", "Media Storage Dir"),
        (
            {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "MR"},
            *(UnsupportedRadiograph, "not_a_radiograph", "Modality (0008,0060) is 'MR'; allowed are CR, DX"),
        ),
        ({"NumberOfFrames": "2"}, UnsupportedRadiograph, "multi_frame", "(0028,0008) is 2; allowed is 1"),
        (RGB, UnsupportedRadiograph, "colour", "(0028,0002) is 3, Photometric Interpretation (0028,0004) is 'RGB'"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, UnsupportedRadiograph, "colour", "'PALETTE COLOR'"),
        ({"BitsAllocated": 1}, UnsupportedRadiograph, "bits_allocated", "(0028,0100) is 1; allowed are 8, 16 and 32"),
        ({"PixelData": None}, UnreadableRadiograph, "missing_pixel_data", "(7FE0,0010)"),
        ({"PixelData": b""}, UnreadableRadiograph, "missing_pixel_data", "(7FE0,0010)"),
        ({"Rows": None}, UnreadableRadiograph, "missing_attribute", "Rows (0028,0010) is missing"),
        ({"BitsAllocated": None}, UnreadableRadiograph, "missing_attribute", "Bits Allocated (0028,0100)"),
        ({"Rows": 0}, UnreadableRadiograph, "invalid_attribute", "Rows (0028,0010) is 0; allowed are 1 to 65535"),
        ({"BitsStored": 17}, UnreadableRadiograph, "invalid_attribute", "(0028,0101) is 17; allowed are 1 to 16"),
        ({"HighBit": 3}, UnreadableRadiograph, "invalid_attribute", "(0028,0102) is 3; allowed are 11 to 15"),
        ({"PixelRepresentation": 7}, UnreadableRadiograph, "invalid_attribute", "(0028,0103) is 7; allowed are 0 to 1"),
        (
            {"Rows": 47},
            UnreadableRadiograph,
            "wrong_size",
            "6144 bytes; Rows 47 x Columns 64 x Bits Allocated 16 need 6016",
        ),
        ({"Rows": 49}, UnreadableRadiograph, "wrong_size", "need 6272"),
        ({"Columns": 65}, UnreadableRadiograph, "wrong_size", "need 6240"),
        (
            {"Rows": 60000, "Columns": 60000},
            RadiographTooLarge,
            "too_many_pixels",
            "60000 rows x 60000 columns x 16 bits",
        ),
    ],
)
def test_what_is_not_read_is_refused_by_name(
    attributes: dict[str, Any], error: type[RadiographError], code: str, says: str
) -> None:
    with pytest.raises(error) as refused:
        read_radiograph(dicom(RAMP, **attributes, PatientName="Secret^Name", PatientID="SECRET"))
    assert refused.value.code == code
    assert says in refused.value.detail
    assert "secret" not in refused.value.detail.lower()


@pytest.mark.parametrize(
    ("syntax", "frame", "error", "code", "says"),
    [
        (MPEG2MPML, b"\0\0\1\xb3", UnsupportedRadiograph, "transfer_syntax", "MPEG2"),
        ("1.2.3.4", b"xx", UnsupportedRadiograph, "transfer_syntax", "1.2.3.4"),
        (JPEGBaseline8Bit, b"no JPEG", UnreadableRadiograph, "not_decodable", "no codestream"),
        (JPEGBaseline8Bit, b"\xff\xd8\xff\xdb\0\x02", UnreadableRadiograph, "not_decodable", "no frame header"),
        (JPEG2000Lossless, b"\xff\x4f\xff\x51\0\0", UnreadableRadiograph, "not_decodable", "no codestream"),
        (JPEGLSLossless, imagecodecs.jpegls_encode(RAMP)[:300], UnreadableRadiograph, "not_decodable", "broken"),
        (
            JPEGLSLossless,
            imagecodecs.jpegls_encode(RAMP[:40]),
            UnreadableRadiograph,
            "wrong_size",
            "40 rows and 64 col",
        ),
        (RLELossless, b"\1", UnreadableRadiograph, "not_decodable", "broken"),
        (RLELossless, struct.pack("<16I", 3, *[64] * 15), UnreadableRadiograph, "not_decodable", "3 segments"),
        (
            RLELossless,
            struct.pack("<16I", 2, 64, 64, *[0] * 13),
            UnreadableRadiograph,
            "not_decodable",
            "holds 0 of 3072",
        ),
        (
            *(JPEGBaseline8Bit, imagecodecs.jpeg8_encode(np.zeros((48, 64, 3), np.uint8))),
            *(UnsupportedRadiograph, "colour", "3 components"),
        ),
    ],
)
def test_broken_frames_are_refused_by_name(
    syntax: str, frame: bytes, error: type[RadiographError], code: str, says: str
) -> None:
    with pytest.raises(error) as refused:
        read_radiograph(dicom(RAMP, syntax, frame))
    assert refused.value.code == code
    assert says in refused.value.detail
