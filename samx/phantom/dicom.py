"""A rendered radiograph as a DICOM file: CR Image (PS3.3 A.2) or Digital X-Ray Image For Presentation (PS3.3 A.26)."""

import hashlib
from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from samx.phantom.exposure import Rendered
from samx.phantom.plan import PlannedRadiograph
from samx.phantom.sites import SITES, Site

_TRANSFER_SYNTAXES = {
    "ExplicitVRLittleEndian": ExplicitVRLittleEndian, "ImplicitVRLittleEndian": ImplicitVRLittleEndian,
        "RLELossless": RLELossless,
    "JPEGLosslessSV1": JPEGLosslessSV1, "JPEG2000Lossless": JPEG2000Lossless,
}  # fmt: skip


def uid(*parts: object) -> UID:
    """A UID under 2.25 (PS3.5 B.2) that the parts determine."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def to_dicom(planned: PlannedRadiograph, rendered: Rendered) -> bytes:
    """Encodes one radiograph as a DICOM file with preamble and file meta information."""
    site = SITES[planned.site]
    generator = np.random.default_rng((planned.seed, planned.index, planned.patient_seed, 4))
    syntax = _TRANSFER_SYNTAXES[str(generator.choice(site.transfer_syntaxes))]
    dataset = Dataset()
    _patient_and_study(dataset, planned, rendered)
    _equipment(dataset, site, generator)
    _acquisition(dataset, planned, rendered, site, generator)
    stored = _image(dataset, rendered, site, generator)
    _pixel_data(dataset, stored, syntax)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = uid("samx", "phantom")
    meta.ImplementationVersionName = "SAMX_PHANTOM"
    dataset.file_meta = meta
    buffer = BytesIO()
    pydicom.dcmwrite(
        buffer, dataset, enforce_file_format=True, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True
    )
    return buffer.getvalue()


def _patient_and_study(dataset: Dataset, planned: PlannedRadiograph, rendered: Rendered) -> None:
    body = rendered.body
    year = int(rendered.study_date[:4])
    dataset.SOPClassUID = (
        ComputedRadiographyImageStorage
        if SITES[planned.site].modality == "CR"
        else DigitalXRayImageStorageForPresentation
    )
    dataset.SOPInstanceUID = uid("instance", planned.seed, planned.index, planned.patient_seed)
    dataset.PatientName = f"Phantom^{planned.patient[-6:]}"
    dataset.PatientID = planned.patient
    dataset.PatientBirthDate = f"{year - int(body.age)}0101"
    dataset.PatientSex = "F" if body.female else "M"
    dataset.PatientAge = f"{int(body.age):03d}Y"
    dataset.StudyInstanceUID = uid("study", planned.seed, planned.study, planned.patient_seed)
    dataset.SeriesInstanceUID = uid("series", planned.seed, planned.index, planned.patient_seed)
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = rendered.study_date
    clock = planned.study * 977 % 36000 + 28800 + 60 * planned.instance
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = (
        f"{clock // 3600:02d}{clock // 60 % 60:02d}{clock % 60:02d}"
    )
    dataset.StudyID = f"{planned.study + 1}"
    dataset.AccessionNumber = f"P{planned.seed % 1000:03d}{planned.study:07d}"
    dataset.ReferringPhysicianName = ""
    dataset.SeriesNumber = planned.instance
    dataset.InstanceNumber = planned.instance


def _equipment(dataset: Dataset, site: Site, generator: np.random.Generator) -> None:
    dataset.Modality = site.modality
    dataset.InstitutionName = site.name
    dataset.Manufacturer = site.manufacturer
    dataset.ManufacturerModelName = str(generator.choice(site.models))
    dataset.StationName = str(generator.choice(site.stations))
    dataset.SoftwareVersions = "phantom"


def _acquisition(
    dataset: Dataset, planned: PlannedRadiograph, rendered: Rendered, site: Site, generator: np.random.Generator
) -> None:
    dataset.BodyPartExamined = planned.tag
    side = planned.laterality or "L"
    if planned.view in ("AP", "PA"):
        dataset.ViewPosition = planned.view
    elif planned.view in ("LATERAL", "Y"):
        dataset.ViewPosition = f"{side}L"
    elif planned.view in ("OBLIQUE", "MORTISE"):
        dataset.ViewPosition = f"{side}LO"
    else:
        dataset.ViewPosition = ""
    lateral = planned.view in ("LATERAL", "OBLIQUE", "Y")
    dataset.PatientOrientation = [("P" if planned.laterality == "R" else "A") if lateral else "L", "F"]
    present = generator.random() < 0.93
    if site.modality == "DX":
        dataset.ImageLaterality = planned.laterality or "U"
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.ImageType = ["DERIVED", "PRIMARY"]
        spacing = [f"{rendered.spacing:.5f}"] * 2
        dataset.ImagerPixelSpacing = spacing
        dataset.DetectorType = "SCINTILLATOR"
        dataset.DetectorID = f"{dataset.StationName}-D"
        dataset.PixelIntensityRelationship = "LOG"
        dataset.LossyImageCompression = "00"
        dataset.AcquisitionContextSequence = []
        dataset.AnatomicRegionSequence = []
    else:
        dataset.ImageType = ["DERIVED", "PRIMARY"]
        dataset.PlateType = "PHANTOM"
        dataset.ImagerPixelSpacing = [f"{rendered.spacing:.5f}"] * 2
    if planned.laterality and present:
        dataset.Laterality = planned.laterality
    dataset.KVP = f"{55 if rendered.spacing < 0.8 else 75}"
    dataset.BurnedInAnnotation = "YES"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Synthetic: no patient exists"


def _image(
    dataset: Dataset, rendered: Rendered, site: Site, generator: np.random.Generator
) -> NDArray[np.unsignedinteger]:
    """Fills the Image Pixel and LUT modules and returns the stored values."""
    inverted = bool(generator.random() < site.monochrome1)
    top = 2**site.bits_stored - 1
    # Archives rarely use the whole range.
    low, high = float(generator.uniform(0, 0.06)), float(generator.uniform(0.85, 1.0))
    if site.bits_stored == 8:
        low, high = 0.0, 1.0
    pixels = rendered.presentation.pixels
    level = low + (high - low) * pixels
    stored = np.round((1 - level if inverted else level) * top)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = site.bits_allocated
    dataset.BitsStored = site.bits_stored
    dataset.HighBit = site.bits_stored - 1
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    if site.modality == "DX":
        dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
        dataset.PixelIntensityRelationshipSign = 1 if inverted else -1  # -1: greater values are less X-ray intensity
    if generator.random() < site.windowed:
        center, width = rendered.presentation.window
        middle = low + (high - low) * center
        dataset.WindowCenter = f"{(1 - middle if inverted else middle) * top:.1f}"
        dataset.WindowWidth = f"{max(width * (high - low) * top, 2):.1f}"
    return np.asarray(stored, dtype=np.uint8 if site.bits_allocated == 8 else np.uint16)


def _pixel_data(dataset: Dataset, stored: NDArray[np.unsignedinteger], syntax: UID) -> None:
    """Sets Pixel Data, compressed where the transfer syntax asks for it."""
    if syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless):
        data = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
        dataset.PixelData = data + b"\0" * (len(data) % 2)
        dataset["PixelData"].VR = "OB" if stored.itemsize == 1 else "OW"
        if syntax == RLELossless:
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        return
    if syntax == JPEGLosslessSV1:
        frame = imagecodecs.jpeg_encode(stored, lossless=True, predictor=1, bitspersample=dataset.BitsStored)
    else:
        frame = imagecodecs.jpeg2k_encode(
            stored, level=0, codecformat="j2k", reversible=True, bitspersample=dataset.BitsStored
        )
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
