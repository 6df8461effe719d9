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
