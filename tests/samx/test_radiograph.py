"""Known values at known pixels, every transfer syntax, every refusal by its code, and hostile bytes."""

import csv
import io
import pickle
import random
import struct
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
)

from samx.decoding import ReadLimits, reduce_to
from samx.errors import (
    NotARadiographFormat,
    RadiographError,
    RadiographTooLarge,
    UnreadableRadiograph,
    UnsupportedRadiograph,
)
from samx.radiograph import Radiograph, read_radiograph

Array = NDArray[Any]

RAMP = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)  # 0 ... 3071, of 12 bits


def dicom(stored: Array, syntax: str = ExplicitVRLittleEndian, frame: Any = None, **attributes: Any) -> bytes:
    """A Computed Radiography file of these stored values; attributes overwrite what follows from them, None removes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _dicom(stored, syntax, frame, attributes)


def _dicom(stored: Array, syntax: str, frame: Any, attributes: dict[str, Any]) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality = "CR"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    bits = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, min(bits, 12), min(bits, 12) - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    little = syntax != ExplicitVRBigEndian
    data = stored.astype(stored.dtype.newbyteorder("<" if little else ">")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2) if frame is None else encapsulate([bytes(frame)])
    dataset["PixelData"].VR = "OB" if frame is not None else "OW"
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta = meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", ComputedRadiographyImageStorage)
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    if syntax == RLELossless and frame is None:
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    buffer = io.BytesIO()
    pydicom.dcmwrite(
        buffer, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little, enforce_file_format=True
    )
    return buffer.getvalue()


def picture(pixels: Array, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


WIDE = {"WindowCenter": "2048", "WindowWidth": "4096"}  # 0 ... 4095 to 0 ... 1


# --------------------------------------------------------------------------------------------------- transfer syntaxes


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (ImplicitVRLittleEndian, None),
        (ExplicitVRLittleEndian, None),
        (ExplicitVRBigEndian, None),
        (DeflatedExplicitVRLittleEndian, None),
        (RLELossless, None),
        (JPEGLossless, lambda a: imagecodecs.jpeg_encode(a, lossless=True, predictor=4, bitspersample=12)),
        (JPEGLosslessSV1, lambda a: imagecodecs.jpeg_encode(a, lossless=True, predictor=1, bitspersample=12)),
        (JPEGLosslessSV1, lambda a: imagecodecs.ljpeg_encode(a, bitspersample=12)),
        (JPEGLSLossless, imagecodecs.jpegls_encode),
        (JPEG2000Lossless, lambda a: imagecodecs.jpeg2k_encode(a, level=0, reversible=True, codecformat="j2k")),
        (JPEG2000Lossless, lambda a: imagecodecs.jpeg2k_encode(a, level=0, reversible=True, codecformat="jp2")),
        (HTJ2KLossless, lambda a: imagecodecs.htj2k_encode(a, reversible=True)),
    ],
)
def test_lossless_syntaxes_give_the_same_pixels(syntax: str, encode: Callable[[Array], bytes] | None) -> None:
    frame = None if encode is None else encode(RAMP)
    radiograph = read_radiograph(dicom(RAMP, syntax, frame, **WIDE))
    np.testing.assert_allclose(radiograph.pixels, RAMP / 4095, atol=1e-6)
    assert (radiograph.rows, radiograph.columns, radiograph.format) == (48, 64, "dicom")
    assert radiograph.attributes.transfer_syntax_uid == syntax


@pytest.mark.parametrize(
    ("syntax", "encode", "tolerance"),
    [
        (JPEGExtended12Bit, lambda a: imagecodecs.jpeg_encode(a, level=95, bitspersample=12), 0.01),
        (JPEGLSNearLossless, lambda a: imagecodecs.jpegls_encode(a, level=4), 0.001),
        (JPEG2000, lambda a: imagecodecs.jpeg2k_encode(a, level=80, reversible=False, codecformat="j2k"), 0.01),
    ],
)
def test_lossy_syntaxes_are_close(syntax: str, encode: Callable[[Array], bytes], tolerance: float) -> None:
    radiograph = read_radiograph(dicom(RAMP, syntax, encode(RAMP), **WIDE))
    np.testing.assert_allclose(radiograph.pixels, RAMP / 4095, atol=tolerance)


def test_jpeg_baseline_of_eight_bits() -> None:
    stored = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
    frame = imagecodecs.jpeg8_encode(stored, level=95)
    radiograph = read_radiograph(dicom(stored, JPEGBaseline8Bit, frame, WindowCenter="128", WindowWidth="256"))
    np.testing.assert_allclose(radiograph.pixels, stored / 255, atol=0.02)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32])
def test_every_sample_type(syntax: str, dtype: type[np.integer[Any]]) -> None:
    if syntax == RLELossless and dtype == np.uint32:
        pytest.skip("RLE Lossless has no 32-bit grey images, PS3.5 section 8.2.2")
    stored = np.arange(99).astype(dtype).reshape(9, 11)
    if np.issubdtype(dtype, np.signedinteger):
        stored -= dtype(12)
    bits: dict[str, Any] = {"BitsStored": stored.itemsize * 8, "HighBit": stored.itemsize * 8 - 1}
    if syntax == ExplicitVRBigEndian and stored.itemsize == 1:  # OW: bytes in swapped pairs, PS3.5 section 8.1.1
        bits["PixelData"] = np.frombuffer(stored.tobytes() + b"\0", ">u2").astype("<u2").tobytes()
    window = {"WindowCenter": "50", "WindowWidth": "101"}
    radiograph = read_radiograph(dicom(stored, syntax, **bits, **window))
    np.testing.assert_allclose(radiograph.pixels, np.clip((stored + 0.5) / 100, 0, 1), atol=1e-6)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_signed_pixels_in_a_codestream(syntax: str) -> None:
    stored = (RAMP.astype(np.int16) - 1000).clip(-1000, 1000)
    pattern = stored.view(np.uint16) & 0xFFF
    if syntax == JPEGLosslessSV1:
        frame = imagecodecs.jpeg_encode(pattern, lossless=True, bitspersample=12)
    elif syntax == JPEGLSLossless:
        frame = imagecodecs.jpegls_encode(pattern)
    else:  # has a sign of its own
        frame = imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k")
    file = dicom(stored, syntax, frame, BitsStored=12, HighBit=11, WindowCenter="0", WindowWidth="4096")
    np.testing.assert_allclose(read_radiograph(file).pixels, (stored + 0.5) / 4095 + 0.5, atol=1e-6)


def test_a_frame_in_several_fragments() -> None:
    frame = bytes(imagecodecs.jpegls_encode(RAMP))
    file = dicom(RAMP, JPEGLSLossless, frame, PixelData=encapsulate([frame], fragments_per_frame=3), **WIDE)
    np.testing.assert_allclose(read_radiograph(file).pixels, RAMP / 4095, atol=1e-6)


def test_a_data_set_without_preamble_and_meta_information() -> None:
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        file = dicom(RAMP, syntax, **WIDE)
        start = 144 + int.from_bytes(file[140:144], "little")  # after the meta information's group length
        radiograph = read_radiograph(file[start:])
        np.testing.assert_allclose(radiograph.pixels, RAMP / 4095, atol=1e-6)
        assert radiograph.attributes.transfer_syntax_uid == syntax
        assert np.array_equal(read_radiograph(file[132:]).pixels, radiograph.pixels)


# ------------------------------------------------------------------------------------------------- from stored to shown


def shown(stored: list[int], dtype: type[np.integer[Any]] = np.uint16, **attributes: Any) -> list[float]:
    """The pixels of a radiograph of one row."""
    pixels = read_radiograph(dicom(np.array([stored], dtype), **attributes)).pixels
    return [round(float(value), 4) for value in pixels[0]]


def lut(first: int, entries: list[int], bits: int = 16) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first & 0xFFFF, bits])
    item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    return item


@pytest.mark.parametrize(
    ("stored", "attributes", "pixels"),
    [
        # The first two windows are the worked example of PS3.3 C.11.2.1.2.1: center 2048, width 4096; 2048 and 1.
        ([0, 1000, 4095], {"WindowCenter": "2048", "WindowWidth": "4096"}, [0, 0.2442, 1]),
        ([2046, 2047, 2048, 2049], {"WindowCenter": "2048", "WindowWidth": "1"}, [0, 0, 1, 1]),
        ([0, 99, 100, 149, 150, 400], {"WindowCenter": "125", "WindowWidth": "51"}, [0, 0, 0.01, 0.99, 1, 1]),
        (
            [0, 100, 150, 200],
            {"WindowCenter": "150", "WindowWidth": "100", "VOILUTFunction": "LINEAR_EXACT"},
            [0, 0, 0.5, 1],
        ),
        (
            [50, 100, 150, 4095],
            {"WindowCenter": "100", "WindowWidth": "100", "VOILUTFunction": "SIGMOID"},
            [0.1192, 0.5, 0.8808, 1],
        ),
        # polarity
        ([0, 1000, 4095], {"PhotometricInterpretation": "MONOCHROME1", **WIDE}, [1, 0.7558, 0]),
        (
            [0, 1000, 4095],
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE", **WIDE},
            [1, 0.7558, 0],
        ),
        ([0, 1000, 4095], {"PresentationLUTShape": "INVERSE", **WIDE}, [1, 0.7558, 0]),
        ([0, 1000, 4095], {"PhotometricInterpretation": None, **WIDE}, [0, 0.2442, 1]),
        # modality LUT
        (
            [0, 1000, 2000],
            {"RescaleSlope": "2", "RescaleIntercept": "-2000", "WindowCenter": "0.5", "WindowWidth": "4001"},
            [0, 0.5, 1],
        ),
        ([0, 1000, 4095], {"RescaleSlope": "0", "RescaleIntercept": "", **WIDE}, [0, 0.2442, 1]),
        (
            [0, 10, 11, 12, 13],
            {"ModalityLUTSequence": Sequence([lut(10, [0, 4095, 2048])]), **WIDE},
            [0, 0, 1, 0.5001, 0.5001],
        ),
        # VOI LUT
        ([0, 1, 2, 3], {"VOILUTSequence": Sequence([lut(1, [0, 65535])])}, [0, 0, 1, 1]),
        ([0, 1, 2, 3], {"VOILUTSequence": Sequence([lut(0, [0, 1023, 511, 0], bits=10)])}, [0, 1, 0.4995, 0]),
        ([0, 1000, 4095], {"VOILUTSequence": Sequence([lut(0, [0, 1])]), **WIDE}, [0, 0.2442, 1]),
        ([0, 1], {"VOILUTSequence": Sequence([lut(0, [0])])}, [0, 1]),
        # windows in the way they come: several, broken, showing nothing
        ([0, 1000, 4095], {"WindowCenter": ["2048", "10"], "WindowWidth": ["4096", "20"]}, [0, 0.2442, 1]),
        ([0, 1000, 2000], {"WindowCenter": "9000", "WindowWidth": "100"}, [0, 0.5, 1]),
        ([0, 1000, 2000], {"WindowCenter": "-5", "WindowWidth": "1"}, [0, 0.5, 1]),
        ([0, 1000, 2000], {"WindowCenter": "100", "WindowWidth": "0"}, [0, 0.5, 1]),
        ([0, 1000, 2000], {"WindowCenter": "100", "WindowWidth": "-40"}, [0, 0.5, 1]),
        ([0, 1000, 2000], {"WindowCenter": "100"}, [0, 0.5, 1]),
        ([5000, 5000], {}, [0, 0]),
        # stored bits
        ([0xF000, 0x03E8, 0xAFFF], {**WIDE}, [0, 0.2442, 1]),
        ([0x000F, 0x3E87, 0xFFFF], {"HighBit": 15, **WIDE}, [0, 0.2442, 1]),
        (
            [0x0800, 0x0000, 0xF7FF],
            {"PixelRepresentation": 1, "WindowCenter": "0", "WindowWidth": "4096"},
            [0, 0.5001, 1],
        ),
    ],
)
def test_values_at_pixels(stored: list[int], attributes: dict[str, Any], pixels: list[float]) -> None:
    assert shown(stored, **attributes) == pytest.approx(pixels, abs=2e-4)


def test_a_signed_lut_starts_below_zero() -> None:
    attributes = {"VOILUTSequence": Sequence([lut(-2, [0, 1023, 511, 0], bits=10)]), "BitsStored": 16, "HighBit": 15}
    assert shown([-3, -2, -1, 0, 1], np.int16, **attributes) == pytest.approx([0, 0, 1, 0.4995, 0], abs=1e-4)


def test_a_window_that_is_no_number_is_none() -> None:
    file = dicom(np.array([[0, 1000, 2000]], np.uint16), **WIDE)
    for broken in (b"2o48", b"NaN ", b"inf ", b"\xff\xfe\0\0", b"    "):
        pixels = read_radiograph(file.replace(b"2048", broken)).pixels
        np.testing.assert_allclose(pixels[0], [0, 0.5, 1], atol=1e-3)


def test_a_lut_of_bytes() -> None:
    item = lut(0, [0, 0])
    item.LUTDescriptor = [4, 0, 8]
    item.LUTData = bytes([0, 255, 51, 102])
    assert shown([0, 1, 2, 3], VOILUTSequence=Sequence([item])) == [0, 1, 0.2, 0.4]


def test_without_a_window_robust_percentiles_decide() -> None:
    stored = np.full((100, 100), 1000, np.uint16)
    stored[:, 50:] = 2000
    stored[0, 0], stored[0, 99] = 0, 4095  # 0.01 % each
    pixels = read_radiograph(dicom(stored)).pixels
    assert (pixels[50, 0], pixels[50, 99], pixels[0, 0], pixels[0, 99]) == (0, 1, 0, 1)


@pytest.mark.parametrize(
    "attributes", [{"PixelPaddingValue": 4095}, {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095}]
)
def test_padding_does_not_count(attributes: dict[str, Any]) -> None:
    stored = np.full((100, 100), 1000, np.uint16)
    stored[:, 50:] = 2000
    stored[80:] = 4095
    pixels = read_radiograph(dicom(stored, **attributes)).pixels
    assert (pixels[0, 0], pixels[0, 99]) == (0, 1)
    unaware = read_radiograph(dicom(stored)).pixels
    assert unaware[0, 99] < 0.5


def test_the_result_is_what_it_promises() -> None:
    pixels = read_radiograph(dicom(np.tile(RAMP, (20, 20)), PhotometricInterpretation="MONOCHROME1")).pixels
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert pixels.shape == (384, 512)
    assert (pixels.min(), pixels.max()) == (0, 1)


# -------------------------------------------------------------------------------------------------------- working size


def test_reduction_is_the_mean_of_areas() -> None:
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    np.testing.assert_allclose(reduce_to(image, 2), [[1.8333, 3.8333], [7.1667, 9.1667]], atol=1e-4)
    np.testing.assert_allclose(reduce_to(image[:1], 3), [[0.25, 1.5, 2.75]], atol=1e-6)


@pytest.mark.parametrize("shape", [(1000, 777), (513, 512), (2049, 1), (1, 3001), (1023, 2), (640, 640)])
def test_reduction_keeps_the_mean_and_the_aspect_ratio(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    reduced = reduce_to(image, 512)
    assert max(reduced.shape) == 512
    assert min(reduced.shape) == max(1, round(min(shape) * 512 / max(shape)))
    assert reduced.mean() == pytest.approx(image.mean(), rel=1e-5)
    assert image.min() <= reduced.min()
    assert reduced.max() <= image.max()


def test_a_small_radiograph_is_not_enlarged() -> None:
    assert read_radiograph(dicom(RAMP), working_size=512).pixels.shape == (48, 64)
    assert read_radiograph(dicom(RAMP), working_size=32).pixels.shape == (24, 32)
    with pytest.raises(ValueError, match="at least 1"):
        read_radiograph(dicom(RAMP), working_size=0)


def test_reducing_first_changes_nothing_for_a_window_that_clips_nothing() -> None:
    whole = read_radiograph(dicom(RAMP, **WIDE)).pixels
    np.testing.assert_allclose(
        reduce_to(whole, 16), read_radiograph(dicom(RAMP, **WIDE), working_size=16).pixels, atol=1e-6
    )


# ---------------------------------------------------------------------------------------------------------- attributes


def test_attributes_are_text() -> None:
    file = dicom(
        RAMP,
        SOPClassUID=DigitalXRayImageStorageForPresentation,
        Modality="DX",
        BodyPartExamined="HAND ",
        ViewPosition="PA",
        ImageLaterality="R",
        Laterality="L",
        InstitutionName="Universitätsklinikum",
        SpecificCharacterSet="ISO_IR 100",
        StationName="  ROOM 1 ",
        Manufacturer="x" * 300,
        PatientID="12345",
        StudyInstanceUID="1.2.840.1",
        ProtocolName="Hand\r\npa",
    )
    attributes = read_radiograph(file).attributes
    assert attributes.modality == "DX"
    assert attributes.body_part_examined == "HAND"
    assert attributes.view_position == "PA"
    assert attributes.laterality == "R"
    assert attributes.institution_name == "Universitätsklinikum"
    assert attributes.station_name == "ROOM 1"
    assert attributes.manufacturer == "x" * 64
    assert attributes.manufacturer_model_name == ""
    assert attributes.sop_instance_uid == "1.2.3"
    assert attributes.study_instance_uid == "1.2.840.1"
    assert attributes.protocol_name == "Handpa"
    assert attributes.photometric_interpretation == "MONOCHROME2"
    assert attributes.patient_id == "12345"
    assert "12345" not in repr(attributes)


def test_laterality_of_the_series_where_the_image_has_none() -> None:
    assert read_radiograph(dicom(RAMP, Laterality="L")).attributes.laterality == "L"


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 999", "ISO 2022 IR 87", "\\\\", "\xff\xfe"])
def test_broken_text_is_empty_and_does_no_harm(charset: str) -> None:
    file = dicom(RAMP, InstitutionName="PLACEHOLDER", SOPInstanceUID="1.2.3", SpecificCharacterSet=charset)
    file = file.replace(b"PLACEHOLDER", b"\xff\xfe\xc3\x28\x1b\x24\x42\xff\xff\xff\xff").replace(b"1.2.3\0", b"1.x.3\0")
    radiograph = read_radiograph(file)
    assert radiograph.attributes.sop_instance_uid == ""
    assert "\ufffd" not in radiograph.attributes.institution_name


# ---------------------------------------------------------------------------------------------------- what is accepted


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


# ---------------------------------------------------------------------------------------------------------------- bombs


@pytest.mark.parametrize(
    ("syntax", "bomb"),
    [
        (JPEGLosslessSV1, b"\xff\xd8\xff\xc3\0\x0b\x0c\xff\xff\xff\xff\1\1\x11\0"),
        (JPEGLSLossless, b"\xff\xd8\xff\xf7\0\x0b\x0c\xff\xff\xff\xff\1\1\x11\0"),
        (
            JPEG2000,
            b"\xff\x4f\xff\x51\0\x29\0\0" + struct.pack(">4I", 10**9, 10**9, 0, 0) + b"\0" * 16 + b"\0\1\x0b\1\1",
        ),
    ],
)
def test_a_codestream_larger_than_its_attributes_is_not_decoded(syntax: str, bomb: bytes) -> None:
    with pytest.raises(UnreadableRadiograph, match=r"the codestream has .* the attributes say 48 and 64"):
        read_radiograph(dicom(RAMP, syntax, bomb))


def test_run_lengths_cannot_outgrow_the_image() -> None:
    segment = b"\x81\0" * 1_000_000  # 128 million zeros
    header = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13)
    with pytest.raises(UnreadableRadiograph, match="broken"):
        read_radiograph(dicom(RAMP, RLELossless, header + segment * 2))


def test_a_deflated_bomb_is_not_inflated() -> None:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(deflater.compress(b"\0" * 1_000_000) for _ in range(30)) + deflater.flush()
    file = dicom(RAMP, DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(file[140:144], "little")
    with pytest.raises(RadiographTooLarge) as refused:
        read_radiograph(file[:start] + bomb, limits=ReadLimits(inflated_bytes=20_000_000))
    assert refused.value.code == "inflates_too_large"


def test_a_png_bomb_is_not_decoded() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    for side in (12_000, 20_000, 60_000):  # below and above the two thresholds of Pillow
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0))
        bomb += chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")
        with pytest.raises(RadiographTooLarge) as refused:
            read_radiograph(bomb)
        assert refused.value.code == "too_many_pixels"


def test_limits_are_the_caller_s() -> None:
    file = dicom(RAMP)
    for limits, code in (
        (ReadLimits(encoded_bytes=1000), "too_many_bytes"),
        (ReadLimits(decoded_bytes=48 * 64 * 2 - 1), "too_many_pixels"),
    ):
        with pytest.raises(RadiographTooLarge) as refused:
            read_radiograph(file, limits=limits)
        assert refused.value.code == code
    read_radiograph(file, limits=ReadLimits(decoded_bytes=48 * 64 * 2))


# ------------------------------------------------------------------------------------------------------- hostile bytes


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("radiograph.dcm", b"x" * 1000)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0" * 200,
        b"a text file\n" * 100,
        b"%PDF-1.7\n",
        _zip(),
        pickle.dumps({"pixels": [1, 2, 3]}),
        b"\xff\xd8",
        b"II*\0\x08\0\0\0",
        b"GIF89a" + b"\0" * 50,
        b"\x08\0\0\0 no data set that begins like one" * 10,
    ],
    ids=["empty", "byte", "zeros", "text", "pdf", "zip", "pickle", "two bytes", "tiff", "gif", "almost"],
)
def test_other_files_are_no_radiographs(data: bytes) -> None:
    with pytest.raises(NotARadiographFormat) as refused:
        read_radiograph(data)
    assert refused.value.code == "unknown_format"


def test_a_truncated_file_is_unreadable_wherever_it_ends() -> None:
    for file in (dicom(RAMP), dicom(RAMP, JPEGLSLossless, imagecodecs.jpegls_encode(RAMP)), dicom(RAMP, RLELossless)):
        for end in (132, 140, 200, 400, len(file) // 2, len(file) - 9):
            with pytest.raises(UnreadableRadiograph):
                read_radiograph(file[:end])


def test_sequences_nested_without_end() -> None:
    item = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    file = dicom(RAMP)
    start = 144 + int.from_bytes(file[140:144], "little")
    with pytest.raises(UnreadableRadiograph):
        read_radiograph(file[:start] + item * 100_000)


def test_lengths_that_lie() -> None:
    file = dicom(RAMP, Modality="CR", BodyPartExamined="HAND")
    where = file.index(b"\x18\0\x15\0CS") + 6
    for length in (b"\xff\xff", b"\xfe\xff", b"\x00\x00", b"\x03\x00"):
        with pytest.raises(RadiographError):
            read_radiograph(file[:where] + length + file[where + 2 :])
    pixels = file.index(b"\xe0\x7f\x10\0OW") + 8
    for long_length in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x00\x10\x00\x00"):
        with pytest.raises(UnreadableRadiograph):
            read_radiograph(file[:pixels] + long_length + file[pixels + 4 :])


def _seeds() -> list[bytes]:
    smooth = (np.add.outer(np.arange(40), np.arange(30)) * 50).astype(np.uint16)
    sequences: dict[str, Any] = {
        "VOILUTSequence": Sequence([lut(0, [0, 5, 9])]),
        "ModalityLUTSequence": Sequence([lut(0, [1, 2])]),
    }
    attributes: dict[str, Any] = {"BodyPartExamined": "HAND", "PatientID": "7", "PixelPaddingValue": 0, **WIDE}
    return [
        dicom(smooth, **attributes, **sequences),
        dicom(smooth, ImplicitVRLittleEndian, **attributes, **sequences),
        dicom(smooth, DeflatedExplicitVRLittleEndian, **attributes),
        dicom(smooth, RLELossless, **attributes),
        dicom(smooth, JPEGLosslessSV1, imagecodecs.jpeg_encode(smooth, lossless=True, bitspersample=12), **attributes),
        dicom(smooth, JPEGExtended12Bit, imagecodecs.jpeg_encode(smooth, level=90, bitspersample=12), **attributes),
        dicom(smooth, JPEGLSLossless, imagecodecs.jpegls_encode(smooth), **attributes),
        dicom(smooth, JPEG2000Lossless, imagecodecs.jpeg2k_encode(smooth, codecformat="j2k"), **attributes),
        dicom(smooth, HTJ2KLossless, imagecodecs.htj2k_encode(smooth), **attributes),
        picture(smooth),
        picture((smooth >> 4).astype(np.uint8), "jpeg"),
    ]


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_read_or_refused(seed: int) -> None:
    generator = random.Random(seed)
    seeds = _seeds()
    read = 0
    for _ in range(150):
        data = bytearray(generator.choice(seeds))
        for _ in range(generator.randint(1, 6)):
            place = generator.randrange(len(data))
            action = generator.random()
            if action < 0.7:
                data[place] = generator.randrange(256)
            elif action < 0.8:
                data[place : place + 4] = generator.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xfe\xff\x00\xe0"])
            elif action < 0.9:
                del data[place : place + generator.randint(1, 40)]
            else:
                data[place:place] = generator.randbytes(generator.randint(1, 40))
        try:
            radiograph = read_radiograph(bytes(data))
        except RadiographError:
            pass
        else:
            read += 1
            assert isinstance(radiograph, Radiograph)
            assert np.isfinite(radiograph.pixels).all()
            assert radiograph.pixels.min() >= 0
            assert radiograph.pixels.max() <= 1
    assert 10 < read < 140


def test_threads_read_side_by_side_and_leave_the_warning_filters_alone() -> None:
    files = [*_seeds(), dicom(RAMP, InstitutionName="Ä", SpecificCharacterSet="ISO_IR 999")]
    before = list(warnings.filters)
    start = threading.Barrier(4)

    def read_all(_: int) -> list[Array]:
        start.wait()
        return [read_radiograph(file).pixels for file in files * 5]

    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(read_all, range(4))
    assert all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    assert warnings.filters == before


# --------------------------------------------------------------------------------------------------------- PNG and JPEG


@pytest.mark.parametrize(
    "pixels",
    [
        np.tile(np.arange(256, dtype=np.uint8), (40, 1)),
        np.tile(np.arange(256, dtype=np.uint16) * 257, (40, 1)),
        np.repeat(np.tile(np.arange(256, dtype=np.uint8), (40, 1))[..., None], 3, axis=2),
        np.dstack([np.tile(np.arange(256, dtype=np.uint8), (40, 1))] * 3 + [np.full((40, 256), 255, np.uint8)]),
    ],
    ids=["8 bit", "16 bit", "grey RGB", "grey RGBA"],
)
def test_a_grey_png_is_stretched(pixels: Array) -> None:
    radiograph = read_radiograph(picture(pixels))
    assert (radiograph.format, radiograph.rows, radiograph.columns) == ("png", 40, 256)
    expected = np.clip((np.arange(256) - 1) / 253, 0, 1)  # 0.5 and 99.5 percentiles are 1 and 254
    np.testing.assert_allclose(radiograph.pixels[20], expected, atol=0.003)
    assert radiograph.attributes.modality == ""


def test_a_grey_jpeg_in_one_or_three_channels() -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (40, 1))
    one = read_radiograph(picture(grey, "jpeg", quality=95))
    three = read_radiograph(picture(np.dstack([grey] * 3), "jpeg", quality=95))
    assert one.format == three.format == "jpeg"
    np.testing.assert_allclose(one.pixels, three.pixels, atol=0.02)


def test_palette_and_bilevel_pngs_are_grey() -> None:
    grey = Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (40, 1)))
    for mode in ("P", "1", "LA"):
        buffer = io.BytesIO()
        grey.convert(mode).save(buffer, "png")
        assert read_radiograph(buffer.getvalue()).pixels.shape == (40, 64)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_colour_photograph_is_refused(kind: str) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    with pytest.raises(UnsupportedRadiograph, match=f"the {kind.upper()} is in colour .* allowed is grey") as refused:
        read_radiograph(picture(photograph, kind))
    assert refused.value.code == "colour"


def test_a_cmyk_jpeg_and_an_animated_png_are_refused() -> None:
    buffer = io.BytesIO()
    Image.new("CMYK", (20, 20)).save(buffer, "jpeg")
    with pytest.raises(UnsupportedRadiograph, match="CMYK"):
        read_radiograph(buffer.getvalue())
    frames = [Image.fromarray(np.full((20, 20), level, np.uint8)) for level in (0, 255)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "png", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedRadiograph, match="holds 2 frames"):
        read_radiograph(buffer.getvalue())


def test_the_orientation_of_a_jpeg_is_applied() -> None:
    pixels = np.tile(np.arange(256, dtype=np.uint8), (40, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is the right side
    radiograph = read_radiograph(picture(pixels, "jpeg", exif=exif))
    assert (radiograph.rows, radiograph.columns) == (256, 40)
    assert radiograph.pixels[0, 0] < radiograph.pixels[255, 0]


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_truncated_pictures_are_unreadable(kind: str) -> None:
    data = picture(np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8), kind)
    for end in (20, 100, len(data) // 2, len(data) - 100):
        with pytest.raises(UnreadableRadiograph):
            read_radiograph(data[:end])


# ----------------------------------------------------------------------------------------------------------- real files


def _real(folder: Path, name: str) -> Radiograph:
    return read_radiograph((folder / "dicom" / f"{name}.dcm").read_bytes())


def test_every_real_dicom_file_is_read(real_radiographs: Path) -> None:
    with (real_radiographs / "dicom" / "dicom.csv").open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            radiograph = _real(real_radiographs, row["file"].removesuffix(".dcm"))
            assert (radiograph.rows, radiograph.columns) == (int(row["rows"]), int(row["columns"])), row["file"]
            assert radiograph.attributes.body_part_examined == row["BodyPartExamined_header"], row["file"]
            assert 0.1 < radiograph.pixels.mean() < 0.8, row["file"]
            assert radiograph.pixels.std() > 0.1, row["file"]


@pytest.mark.parametrize("exposure", ["RG2", "RG3"])
@pytest.mark.parametrize(
    ("syntax", "mean", "largest"),
    [
        ("RLE", 0, 0),
        ("JPLL", 0, 0),
        ("JLSL", 0, 0),
        ("J2KR", 0, 0),
        ("JLSN", 0.001, 0.004),
        ("J2KI", 0.001, 0.01),
        ("JPLY", 0.002, 0.02),
    ],
)
def test_one_exposure_in_many_syntaxes(
    real_radiographs: Path, exposure: str, syntax: str, mean: float, largest: float
) -> None:
    reference = _real(real_radiographs, f"WG04_{exposure}_UNC").pixels
    difference = np.abs(_real(real_radiographs, f"WG04_{exposure}_{syntax}").pixels - reference)
    assert difference.mean() <= mean
    assert difference.max() <= largest


def test_the_file_without_preamble_is_its_twin_with_one(real_radiographs: Path) -> None:
    bare, whole = (_real(real_radiographs, name) for name in ("fodicom_CR-MONO1-10-chest", "panimg_cxr"))
    np.testing.assert_array_equal(bare.pixels, whole.pixels)
