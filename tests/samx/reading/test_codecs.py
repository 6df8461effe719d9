"""Every transfer syntax."""

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from samx.radiograph import read_radiograph
from tests.samx.files import RAMP, WIDE, Array, dicom


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
