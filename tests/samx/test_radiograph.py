"""Real files, and the reader as a whole."""

import csv
from pathlib import Path

import numpy as np
import pytest

from samx.radiograph import Radiograph, read_radiograph


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


# Values by pydicom at full resolution; 5000 pixels leave every file as large as it is.
@pytest.mark.parametrize(
    ("name", "working_size", "pixel", "expected"),
    [
        ("panimg_cxr", 5000, (344, 351), 0.395),
        ("panimg_cxr", 224, (21, 105), 0.615),
        ("fodicom_CR-MONO1-10-chest", 5000, (79, 171), 0.484),
        ("fodicom_CR-MONO1-10-chest", 224, (54, 95), 0.618),
        ("highdicom_dx_image_dog", 5000, (28, 93), 0.388),
        ("highdicom_dx_image_dog", 224, (123, 181), 0.565),
        ("rsna_pneumonia_sample", 5000, (773, 687), 0.777),
        ("rsna_pneumonia_sample", 224, (99, 199), 0.836),
        ("WG04_RG2_UNC", 5000, (76, 732), 0.573),
        ("WG04_RG2_UNC", 224, (19, 89), 0.324),
        ("WG04_RG2_J2KR", 5000, (563, 1628), 0.674),
        ("WG04_RG2_J2KR", 224, (76, 58), 0.510),
        ("WG04_RG3_JPLL", 5000, (949, 869), 0.656),
        ("WG04_RG3_JPLL", 224, (76, 121), 0.584),
        ("WG04_RG1_JLSN", 5000, (372, 1470), 0.559),
        ("WG04_RG1_JLSN", 224, (29, 169), 0.821),
        ("WG04_MG1_J2KI", 5000, (3040, 114), 0.629),
        ("WG04_MG1_J2KI", 224, (144, 64), 0.614),
        ("fodicom_CR_teeth_modalitylut", 5000, (688, 870), 0.280),
        ("fodicom_CR_teeth_modalitylut", 224, (88, 181), 0.391),
    ],
)
def test_known_values_of_real_files(
    real_radiographs: Path, name: str, working_size: int, pixel: tuple[int, int], expected: float
) -> None:
    data = (real_radiographs / "dicom" / f"{name}.dcm").read_bytes()
    assert read_radiograph(data, working_size=working_size).pixels[pixel] == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("exposure", ["RG2", "RG3"])
@pytest.mark.parametrize(
    ("syntax", "mean", "largest"),
    [
        ("RLE", 0, 0),
        ("JPLL", 0, 0),
        ("JLSL", 0, 0),
        ("J2KR", 0, 0),
        ("JLSN", 0.002, 0.01),
        ("J2KI", 0.002, 0.1),
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
