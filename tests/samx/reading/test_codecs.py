"""Every transfer syntax."""

import io
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
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


# ----------------------------------------------------------------------------------------------- reduced while decoded


def lossless_frames(stored: Array, bits: int) -> dict[str, Any]:
    """The same values in every lossless syntax; None where they are not in a codestream."""
    as_stored: Any = stored
    return {
        ImplicitVRLittleEndian: None,
        ExplicitVRBigEndian: None,
        DeflatedExplicitVRLittleEndian: None,
        RLELossless: None,
        JPEGLossless: imagecodecs.jpeg_encode(as_stored, lossless=True, predictor=4, bitspersample=bits),
        JPEGLosslessSV1: imagecodecs.ljpeg_encode(as_stored, bitspersample=bits),
        JPEGLSLossless: imagecodecs.jpegls_encode(as_stored),
        JPEG2000Lossless: imagecodecs.jpeg2k_encode(
            as_stored, level=0, reversible=True, codecformat="j2k", bitspersample=bits, resolutions=6
        ),
        HTJ2KLossless: imagecodecs.htj2k_encode(as_stored, reversible=True),
    }


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("shape", [(512, 512), (1001, 777), (460, 921)])
@pytest.mark.parametrize("working_size", [33, 100, 224])
def test_lossless_syntaxes_are_equal_to_the_last_bit_at_any_working_size(
    bits: int, shape: tuple[int, int], working_size: int
) -> None:
    y, x = np.indices(shape)
    smooth = 0.5 + 0.3 * np.sin(x / 50) + 0.25 * np.cos(y / 70) + np.random.default_rng(0).normal(0, 0.02, shape)
    smooth[shape[0] // 3 : shape[0] // 2, : shape[1] // 4] = 1.0  # sharp and white: the low-pass overshoots here
    smooth[: shape[0] // 4, shape[1] // 2 :] = 0.0
    stored = np.rint(np.clip(smooth, 0, 1) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    attributes = {
        "BitsStored": bits,
        "HighBit": bits - 1,
        "WindowCenter": str(2 ** (bits - 1)),
        "WindowWidth": str(2**bits),
    }
    expected = read_radiograph(dicom(stored, **attributes), working_size=working_size).pixels
    for syntax, frame in lossless_frames(stored, bits).items():
        if syntax == ExplicitVRBigEndian and bits == 8:
            continue  # bytes stand in swapped pairs there; test_every_sample_type
        radiograph = read_radiograph(dicom(stored, syntax, frame, **attributes), working_size=working_size)
        assert np.array_equal(radiograph.pixels, expected), syntax


@pytest.mark.parametrize("bits", [12, 16])
def test_a_signed_jpeg_2000_is_reduced_like_signed_values(bits: int) -> None:
    rng = np.random.default_rng(1)
    stored = rng.normal(-200, 300, (700, 500)).clip(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype(np.int16)
    attributes = {"BitsStored": bits, "HighBit": bits - 1, "WindowCenter": "-200", "WindowWidth": "3000"}
    frame = imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k", resolutions=6)
    coded = read_radiograph(dicom(stored, JPEG2000Lossless, frame, **attributes), working_size=150)
    np.testing.assert_array_equal(coded.pixels, read_radiograph(dicom(stored, **attributes), working_size=150).pixels)


def test_two_s_complement_in_a_codestream_without_a_sign_is_decoded_whole() -> None:
    stored = np.tile(np.linspace(-50, 50, 400).astype(np.int16), (400, 1))
    attributes = {"BitsStored": 16, "HighBit": 15, "WindowCenter": "0", "WindowWidth": "101"}
    frame = imagecodecs.jpeg2k_encode(stored.view(np.uint16), level=0, reversible=True, codecformat="j2k")
    coded = read_radiograph(dicom(stored, JPEG2000Lossless, frame, **attributes), working_size=90)
    np.testing.assert_array_equal(coded.pixels, read_radiograph(dicom(stored, **attributes), working_size=90).pixels)


@pytest.mark.parametrize("tile", [(256, 256), (100, 300)])
def test_tiles_are_reduced_each_by_itself(tile: tuple[int, int]) -> None:
    """The transform is mirrored at a tile's edge, so the result is not the same to the last bit there."""
    stored = (np.add.outer(np.arange(700), np.arange(600)) // 6).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "jpeg2000", tile_size=tile, no_jp2=True)  # wrong for 16 bits in Pillow 13.0.0
    window = {"WindowCenter": "128", "WindowWidth": "256"}
    coded = read_radiograph(dicom(stored, JPEG2000Lossless, buffer.getvalue(), **window), working_size=150)
    plain = read_radiograph(dicom(stored, **window), working_size=150)
    assert np.abs(coded.pixels - plain.pixels).max() < 0.01


def test_a_jpeg_baseline_frame_is_scaled_and_agrees() -> None:
    y, x = np.indices((1201, 999))
    stored = (128 + 60 * np.sin(x / 60) + 60 * np.cos(y / 45)).astype(np.uint8)
    window = {"WindowCenter": "128", "WindowWidth": "256"}
    frame = imagecodecs.jpeg8_encode(stored, level=95)
    for working_size in (80, 150, 224, 600):
        coded = read_radiograph(dicom(stored, JPEGBaseline8Bit, frame, **window), working_size=working_size)
        plain = read_radiograph(dicom(stored, **window), working_size=working_size)
        assert np.abs(coded.pixels - plain.pixels).mean() < 0.005


def test_bits_stored_that_are_too_few_do_not_cut_the_values() -> None:
    stored = np.tile(np.arange(0, 4000, 10, dtype=np.uint16), (400, 1))
    wrong = {"BitsStored": 8, "HighBit": 7, "WindowCenter": "2000", "WindowWidth": "4000"}
    frame = imagecodecs.jpeg2k_encode(stored, level=0, reversible=True, codecformat="j2k", bitspersample=12)
    for syntax, coded in ((JPEG2000Lossless, frame), (JPEGLSLossless, imagecodecs.jpegls_encode(stored))):
        pixels = read_radiograph(dicom(stored, syntax, coded, **wrong), working_size=100).pixels
        assert pixels.max() > 0.97
        assert np.median(pixels) == pytest.approx(0.5, abs=0.02)
