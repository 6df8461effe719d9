"""Known values at known pixels, from stored to shown."""

from typing import Any

import numpy as np
import pytest
from pydicom.sequence import Sequence

from samx.radiograph import read_radiograph
from tests.samx.files import RAMP, WIDE, dicom, lut


def shown(stored: list[int], dtype: type[np.integer[Any]] = np.uint16, **attributes: Any) -> list[float]:
    """The pixels of a radiograph of one row."""
    pixels = read_radiograph(dicom(np.array([stored], dtype), **attributes)).pixels
    return [round(float(value), 4) for value in pixels[0]]


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
    stored[20:80, 30:70] = 4095
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
