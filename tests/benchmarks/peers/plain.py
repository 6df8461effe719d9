"""A radiograph to class probabilities the usual way: pydicom or PIL at full resolution, then eager torch.

Follows pydicom's user guide ("Working with pixel data": `pixel_array`, `apply_modality_lut`, `apply_voi_lut`) and
torch's "Saving and Loading Models" (`load_state_dict`, `eval`, `inference_mode`). The weights are an artifact's; the
preprocessing is not, so the answers differ from the service's.

Shape suffixes: N images, H and W rows and columns, K classes.
"""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import torch
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut  # type: ignore[attr-defined]  # not in its __all__

from samx.artifact import read_artifact, resolve
from samx.manifest import WEIGHTS
from samx.storage import open_storage
from samx.torch_engine import load_network, read_tensors

ARTIFACT_VARIABLE = "PEER_ARTIFACT"
"""Environment variable with the folder of the model."""


class PlainClassifier:
    """An artifact's network, run eagerly on the CPU by as many threads as torch takes by itself.

    Args:
        artifact: folder of one version, or of a model whose current version is meant.
    """

    def __init__(self, artifact: str | Path) -> None:
        read = read_artifact(resolve(open_storage(artifact)))
        spec = read.manifest.model
        self._labels, self._size = spec.labels, spec.preprocessing.size
        self._network = load_network(spec, read_tensors(read.files[WEIGHTS])).eval()

    def probabilities(self, data: bytes) -> dict[str, float]:
        """The probability of every class for one DICOM, PNG or JPEG file."""
        picture = Image.fromarray(_dicom_pixels(data)) if data[128:132] == b"DICM" else Image.open(io.BytesIO(data))
        resized = picture.convert("L").resize((self._size, self._size), Image.Resampling.BILINEAR)
        image_HW = torch.from_numpy(np.asarray(resized, np.float32) / 255)
        with torch.inference_mode():
            probabilities_NK = torch.softmax(self._network(image_HW[None, None]), dim=1)
        return dict(zip(self._labels, probabilities_NK[0].tolist(), strict=True))


def _dicom_pixels(data: bytes) -> npt.NDArray[np.uint8]:
    """`(H, W)` uint8, bright is dense."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    shown = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float32)
    scaled = (shown - shown.min()) / max(float(np.ptp(shown)), 1e-6) * 255
    bright: npt.NDArray[np.float32] = 255 - scaled if dataset.PhotometricInterpretation == "MONOCHROME1" else scaled
    return bright.astype(np.uint8)
