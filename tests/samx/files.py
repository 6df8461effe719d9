"""Builders of files: DICOM in any transfer syntax, pictures, lookup tables."""

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

Array = NDArray[Any]

RAMP = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)  # 0 ... 3071, of 12 bits


def dicom(stored: Array, syntax: str = ExplicitVRLittleEndian, frame: Any = None, **attributes: Any) -> bytes:
    """A Computed Radiography file of these stored values; attributes overwrite what follows from them, None removes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _dicom(stored, syntax, frame, attributes)


def _dicom(stored: Array, syntax: str, frame: Any, attributes: dict[str, Any]) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality = "CR"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape[:2]
    bits = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, min(bits, 12), min(bits, 12) - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    little = syntax != ExplicitVRBigEndian
    data = stored.astype(stored.dtype.newbyteorder("<" if little else ">")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2) if frame is None else encapsulate([bytes(frame)])
    dataset["PixelData"].VR = "OB" if frame is not None else "OW"
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta = meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", ComputedRadiographyImageStorage)
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    if syntax == RLELossless and frame is None:
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    buffer = io.BytesIO()
    pydicom.dcmwrite(
        buffer, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little, enforce_file_format=True
    )
    return buffer.getvalue()


def picture(pixels: Array, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


WIDE = {"WindowCenter": "2048", "WindowWidth": "4096"}  # 0 ... 4095 to 0 ... 1


def lut(first: int, entries: list[int], bits: int = 16) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first & 0xFFFF, bits])
    item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    return item


def dataset_of(file: bytes) -> bytes:
    """The data set behind the file meta information."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


def real_folder() -> Path | None:
    """The folder of real radiographs, where it is present: SAMX_RADIOGRAPHS, else ../shared/radiographs."""
    folder = Path(os.environ.get("SAMX_RADIOGRAPHS", "../shared/radiographs"))
    return folder.resolve() if (folder / "labels.csv").exists() else None
