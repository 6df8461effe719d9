"""The usual way from a DICOM file to a small grey image, at full resolution by pydicom: oracle and yardstick."""

import io
import warnings
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from samx.reading.grey_levels import stretch


def read(data: bytes, working_size: int) -> NDArray[np.float32]:
    """`pixel_array`, modality LUT, VOI LUT, resize to a long side of `working_size`, polarity; `(H, W)` in [0, 1]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        stored = dataset.pixel_array
        shown = apply_voi_lut(apply_modality_lut(stored, dataset), dataset)
    scale = min(1.0, working_size / max(shown.shape))
    height, width = (max(1, round(side * scale)) for side in shown.shape)
    small = Image.fromarray(np.asarray(shown, np.float32)).resize((width, height), Image.Resampling.BOX)
    values = np.asarray(small)
    inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
    if "VOILUTSequence" in dataset:
        values = values / (2.0 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1)
    elif "WindowWidth" in dataset:
        low, high = _full_scale(dataset, stored.dtype)
        values = (values - low) / (high - low)
    else:
        return stretch(-values if inverse else values)
    return np.asarray(1 - values if inverse else values, np.float32)


def _full_scale(dataset: Any, dtype: np.dtype[Any]) -> tuple[float, float]:
    """What pydicom maps a window to: the range of the stored bits, after the modality LUT."""
    bits, signed = dataset.BitsStored, dataset.PixelRepresentation == 1
    ends = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1]
    if "ModalityLUTSequence" in dataset:
        return 0.0, 2.0 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    low, high = apply_modality_lut(np.array(ends, dtype), dataset)
    return float(low), float(high)
