"""A DICOM file again, with the attributes that say what it shows; the pixels are not touched.

Set are Body Part Examined (0018,0015), Anatomic Region Sequence (0008,2218), Image Laterality (0020,0062) where the
file knows its side, and a Contributing Equipment Sequence item (0018,A001), PS3.3 C.12.1, that names the model. That
is a coercion of attributes, after which an instance keeps its SOP Instance UID (PS3.4 section B.4.1.3). No time is
written, so that the same file gives the same bytes.
"""

from io import BytesIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence

from samx.anatomy import Anatomy, Code
from samx.errors import UnreadableRadiograph
from samx.reading.quiet import without_warnings

_MODIFYING_EQUIPMENT = Code("109103", "DCM", "Modifying Equipment")  # PS3.16 CID 7005


def describe(data: bytes, anatomy: Anatomy, *, model_name: str, model_version: str) -> bytes:
    """Returns the file with what it shows.

    Args:
        data: a DICOM file that can be read as a radiograph.
        anatomy: what it shows.
        model_name: of the model that says so.
        model_version: of that model.

    Raises:
        UnreadableRadiograph: not_writable, the file cannot be written again.
    """
    try:
        with without_warnings():
            dataset = pydicom.dcmread(BytesIO(data), force=True)
            _set(dataset, anatomy, model_name, model_version)
            output = BytesIO()
            dcmwrite(output, dataset, enforce_file_format=True)
    except Exception as error:  # whatever pydicom does with broken attributes; its message could hold patient data
        raise UnreadableRadiograph(
            "not_writable", f"the file cannot be written again ({type(error).__name__})"
        ) from None
    return output.getvalue()


def _set(dataset: Dataset, anatomy: Anatomy, model_name: str, model_version: str) -> None:
    dataset.BodyPartExamined = anatomy.body_part_examined
    dataset.AnatomicRegionSequence = Sequence([_coded(anatomy.code)])
    side = str(dataset.get("ImageLaterality") or dataset.get("Laterality") or "")
    if anatomy.paired and side in ("L", "R", "B"):
        dataset.ImageLaterality = side
    equipment = Dataset()
    equipment.Manufacturer = "SAM-X"
    equipment.ManufacturerModelName = model_name
    equipment.SoftwareVersions = model_version
    equipment.ContributionDescription = "Body part recognised in the pixels"
    equipment.PurposeOfReferenceCodeSequence = Sequence([_coded(_MODIFYING_EQUIPMENT)])
    earlier = dataset.get("ContributingEquipmentSequence", ())
    dataset.ContributingEquipmentSequence = Sequence([*earlier, equipment])


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item
