from io import BytesIO

import pydicom
import pytest
from pydicom import config
from pydicom.dataset import Dataset

from samx.anatomy import ANATOMY
from samx.dicom_copy import describe
from samx.errors import UnreadableRadiograph
from samx.radiograph import read_radiograph
from tests.samx.files import RAMP, dicom

KNEE, SPINE = ANATOMY["knee"], ANATOMY["lumbar_spine"]


def described(data: bytes, anatomy: object = KNEE) -> Dataset:
    return pydicom.dcmread(BytesIO(describe(data, anatomy, model_name="small", model_version="1.0.0")))  # type: ignore[arg-type]


def test_says_what_it_shows_and_who_says_so() -> None:
    copy = described(dicom(RAMP, BodyPartExamined="HAND"))
    assert copy.BodyPartExamined == "KNEE"
    (region,) = copy.AnatomicRegionSequence
    assert (region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning) == ("72696002", "SCT", "Knee")
    (equipment,) = copy.ContributingEquipmentSequence
    assert (equipment.Manufacturer, equipment.ManufacturerModelName) == ("SAM-X", "small")
    assert equipment.SoftwareVersions == "1.0.0"
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109103"


def test_pixels_and_everything_else_stay() -> None:
    data = dicom(RAMP, PatientID="7", Laterality="L")
    before, copy = pydicom.dcmread(BytesIO(data)), described(data)
    set_by_us = {"BodyPartExamined", "AnatomicRegionSequence", "ContributingEquipmentSequence", "ImageLaterality"}
    assert {element.keyword for element in copy} - {element.keyword for element in before} == set_by_us
    assert all(copy[element.tag] == element for element in before)
    assert copy.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    ours = read_radiograph(describe(data, KNEE, model_name="small", model_version="1"))
    assert (ours.pixels == read_radiograph(data).pixels).all()


@pytest.mark.parametrize(
    ("given", "anatomy", "expected"),
    [
        ({}, KNEE, None),
        ({"Laterality": "L"}, KNEE, "L"),
        ({"ImageLaterality": "R", "Laterality": "L"}, KNEE, "R"),
        ({"Laterality": "L"}, SPINE, None),
        ({"Laterality": ""}, KNEE, None),
    ],
)
def test_image_laterality_only_where_the_file_knows_it(
    given: dict[str, str], anatomy: object, expected: str | None
) -> None:
    assert described(dicom(RAMP, **given), anatomy).get("ImageLaterality") == expected


@pytest.mark.parametrize("anatomy", ANATOMY.values(), ids=ANATOMY)
def test_every_entity_passes_pydicoms_validation(anatomy: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.RAISE)
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.RAISE)
    copy = described(dicom(RAMP, Laterality="R"), anatomy)
    assert [str(element) for element in copy.iterall()]


def test_the_same_file_gives_the_same_bytes_and_a_second_model_is_added() -> None:
    data = dicom(RAMP)
    once = describe(data, KNEE, model_name="small", model_version="1")
    assert describe(data, KNEE, model_name="small", model_version="1") == once
    assert len(described(once).ContributingEquipmentSequence) == 2


def test_what_cannot_be_written_is_said_without_its_content() -> None:
    with pytest.raises(UnreadableRadiograph, match="cannot be written again") as error:
        describe(b"Wunibald" * 40, KNEE, model_name="small", model_version="1")
    assert error.value.code == "not_writable"
    assert "Wunibald" not in str(error.value)
