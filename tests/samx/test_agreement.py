"""The reader against pydicom's path at full resolution, on real files: within 1 % of the grey scale on the mean."""

import io
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ComputedRadiographyImageStorage

from samx.radiograph import read_radiograph
from tests.benchmarks import pydicom_path

UNKNOWN_TO_PYDICOM = ("WG04_RG2_JPLY", "WG04_RG3_JPLY")  # JPEG Extended of 12 bits


def mean_difference(data: bytes, working_size: int) -> float:
    ours = read_radiograph(data, working_size=working_size).pixels
    theirs = pydicom_path.read(data, working_size)
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).mean())


@pytest.mark.parametrize("working_size", [224, 512])
def test_every_real_radiograph_agrees(real_radiographs: Path, working_size: int) -> None:
    files = [file for file in sorted((real_radiographs / "dicom").glob("*.dcm")) if file.stem not in UNKNOWN_TO_PYDICOM]
    assert len(files) == 22
    differences = {file.stem: mean_difference(file.read_bytes(), working_size) for file in files}
    assert {name: value for name, value in differences.items() if value > 0.01} == {}


@pytest.mark.parametrize(
    "name",
    [
        *("693_J2KI.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_08.dcm"),
        *("JPEGLSNearLossless_16.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm"),
        *("MR_small_expb.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"),
        *("examples_overlay.dcm", "image_dfl.dcm", "rtdose_1frame.dcm", "rtdose_expb_1frame.dcm"),
        "rtdose_rle_1frame.dcm",
    ],
)
@pytest.mark.parametrize("working_size", [224, 512])
def test_pydicom_s_own_files_agree(name: str, working_size: int) -> None:
    """Signed and unsigned, little and big endian, with rescale and without; called Computed Radiography here."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        dataset.SOPClassUID, dataset.Modality = ComputedRadiographyImageStorage, "CR"
        buffer = io.BytesIO()
        dataset.save_as(buffer)
    assert mean_difference(buffer.getvalue(), working_size) < 0.01
