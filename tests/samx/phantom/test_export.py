import csv

import pydicom
import pytest

from samx.phantom import export_phantom


@pytest.mark.filterwarnings("error")
def test_every_row_of_the_truth_is_a_readable_file(tmp_path):
    truth = export_phantom(tmp_path, num_radiographs=6, seed=7, size=96, workers=1)
    rows = list(csv.DictReader(truth.open()))
    assert len(rows) == 6
    for row in rows:
        dataset = pydicom.dcmread(tmp_path / "radiographs" / row["key"])
        assert dataset.BodyPartExamined == row["tag"]
        assert dataset.pixel_array.shape == (dataset.Rows, dataset.Columns)
