"""Files to send: DICOM with a patient's name in it, and things that are no radiograph."""

import io
import pickle
import zipfile

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ComputedRadiographyImageStorage, CTImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT = "Wunibald"
"""Appears nowhere but in patients' data; found in an answer or a log, it has leaked. Eight letters, like a date."""


def dicom_file(*, rows: int = 120, columns: int = 90, **attributes: object) -> bytes:
    """An uncompressed 12-bit DICOM file of smooth noise, with `PATIENT` in every attribute that may name one.

    Args:
        rows: of the image.
        columns: of the image.
        attributes: set or replaced, by keyword.
    """
    coarse = np.random.default_rng(rows).integers(0, 4096, (rows // 10 + 1, columns // 10 + 1), np.uint16)
    pixels = np.kron(coarse, np.ones((10, 10), np.uint16))[:rows, :columns]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Modality = "CR"
    dataset.PatientName, dataset.PatientID = f"{PATIENT}^Xaver", f"{PATIENT}-7"
    dataset.OtherPatientNames = dataset.PatientComments = dataset.ReferringPhysicianName = PATIENT
    dataset.SeriesDescription = dataset.StudyDescription = dataset.ProtocolName = f"Knee of {PATIENT}"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def with_patient_as(keyword: str) -> bytes:
    """A DICOM file whose numeric or date attribute holds the patient's name, which pydicom would not write."""
    return dicom_file(**{keyword: "19700101"}).replace(b"19700101", PATIENT.encode())


def ct_multi_frame() -> bytes:
    """Three CT frames in one file."""
    frames = np.zeros((3, 120, 90), np.uint16).tobytes()
    return dicom_file(SOPClassUID=CTImageStorage, Modality="CT", NumberOfFrames=3, PixelData=frames)


def zip_file() -> bytes:
    """A zip archive with one member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("radiograph.dcm", dicom_file())
    return buffer.getvalue()


def pickle_file() -> bytes:
    """A pickle, which must never be loaded."""
    return pickle.dumps({"radiograph": [1, 2, 3]})
