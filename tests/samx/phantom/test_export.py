import csv
import io

import numpy as np
import pydicom
import pytest
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from samx.phantom import LABELS, SITES, export_phantom, phantom_radiograph
from samx.phantom.__main__ import main
from samx.phantom.plan import TRUTH_COLUMNS


def _rows(truth):
    return list(csv.DictReader(io.StringIO(truth.read_text())))


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return folder, _rows(export_phantom(folder, num_radiographs=24, seed=7, size=96, workers=1))


def test_every_row_of_the_truth_is_a_readable_file(export):
    folder, rows = export
    assert len(rows) == 24
    assert tuple(rows[0]) == TRUTH_COLUMNS
    assert sorted(path.name for path in (folder / "radiographs").iterdir()) == [row["key"] for row in rows]
    for row in rows:
        dataset = pydicom.dcmread(folder / "radiographs" / row["key"])
        assert dataset.BodyPartExamined == row["tag"]
        assert dataset.PatientID == row["patient"]
        assert dataset.InstitutionName == row["site"]
        assert row["label"] in LABELS
        pixels = dataset.pixel_array
        assert pixels.shape == (dataset.Rows, dataset.Columns)
        assert max(pixels.shape) == 96
        assert pixels.max() < 2**dataset.BitsStored
        assert len(np.unique(pixels)) > 20


def test_the_bytes_do_not_depend_on_the_number_of_workers(export, tmp_path):
    folder, rows = export
    export_phantom(tmp_path, num_radiographs=24, seed=7, size=96, workers=2)
    assert (tmp_path / "truth.csv").read_bytes() == (folder / "truth.csv").read_bytes()
    for row in rows:
        assert (tmp_path / "radiographs" / row["key"]).read_bytes() == (
            folder / "radiographs" / row["key"]
        ).read_bytes()


@pytest.mark.parametrize("site", list(SITES))
def test_each_site_writes_its_own_kind_of_dicom(site):
    habits = SITES[site]
    syntaxes = set()
    for seed in range(6):
        data = phantom_radiograph(label="hand", view="PA", seed=seed, site=site, size=64)
        assert data[128:132] == b"DICM"
        dataset = pydicom.dcmread(io.BytesIO(data))
        syntaxes.add(dataset.file_meta.TransferSyntaxUID.keyword)
        assert dataset.Modality == habits.modality
        expected = (
            ComputedRadiographyImageStorage if habits.modality == "CR" else DigitalXRayImageStorageForPresentation
        )
        assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == expected
        assert (dataset.BitsStored, dataset.BitsAllocated, dataset.HighBit) == (
            habits.bits_stored,
            habits.bits_allocated,
            habits.bits_stored - 1,
        )
        assert dataset.PhotometricInterpretation in ("MONOCHROME1", "MONOCHROME2")
        assert dataset.BodyPartExamined == "HAND"
        assert dataset.ViewPosition == "PA"
        assert dataset.PatientName.family_name == "Phantom"
        assert dataset.pixel_array.ndim == 2
        if habits.modality == "DX":
            assert dataset.ImageLaterality in ("L", "R")
            inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
            assert dataset.PresentationLUTShape == ("INVERSE" if inverse else "IDENTITY")
            assert dataset.PixelIntensityRelationship == "LOG"
            assert dataset.PresentationIntentType == "FOR PRESENTATION"
    assert syntaxes <= set(habits.transfer_syntaxes)


def test_uids_of_one_examination_agree_and_instances_differ(export):
    folder, rows = export
    datasets = [pydicom.dcmread(folder / "radiographs" / row["key"], stop_before_pixels=True) for row in rows]
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(datasets)
    patients_of_study = {}
    for dataset in datasets:
        assert dataset.StudyInstanceUID.is_valid
        patients_of_study.setdefault(dataset.StudyInstanceUID, set()).add(dataset.PatientID)
    assert all(len(patients) == 1 for patients in patients_of_study.values())


def test_a_folder_of_another_export_is_refused_and_the_same_one_repeated(tmp_path):
    arguments = {"num_radiographs": 2, "size": 48, "workers": 1}
    first = export_phantom(tmp_path, seed=1, **arguments).read_bytes()
    assert export_phantom(tmp_path, seed=1, **arguments).read_bytes() == first
    with pytest.raises(ValueError, match="holds 2 files of another export"):
        export_phantom(tmp_path, seed=2, **arguments)


def test_a_single_radiograph_repeats_by_seed():
    first, second, other = (phantom_radiograph(label="skull", seed=seed, size=64) for seed in (3, 3, 4))
    assert first == second != other


def test_the_command_line_writes_an_export_and_refuses_nonsense(tmp_path, capsys):
    common = ["--out", str(tmp_path), "--seed", "2", "--size", "48", "--workers", "1"]
    assert main([*common, "--num-radiographs", "2"]) == 0
    assert len(_rows(tmp_path / "truth.csv")) == 2
    assert main([*common, "--num-radiographs", "0"]) == 2
    assert "num_radiographs is 0" in capsys.readouterr().err
