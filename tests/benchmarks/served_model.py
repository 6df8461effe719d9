"""What the comparison of servers serves and sends: a ResNet-50 of random weights, a full-size DICOM, a small JPEG."""

import io
from pathlib import Path

import numpy as np
import pydicom
import safetensors.torch
import torch
from PIL import Image

from samx.architecture import ArchitectureConfig
from samx.artifact import ENGINE, GOLDEN, WEIGHTS, set_current, write_artifact
from samx.classifier import Classifier, make_golden
from samx.engine import OnnxEngine
from samx.network import Network
from samx.phantom import phantom_radiograph
from samx.preprocessing import PreprocessingConfig
from samx.radiograph import read_radiograph
from samx.storage import open_storage
from samx.torch_engine import torch_classifier
from tests.benchmarks.engine import PROVENANCE
from tests.settled_network import settled_network
from tests.small_artifact import LABELS, small_spec
from training.compiled_engine import export, quantize

NAME = "serving"
ROWS, COLUMNS = 2140, 1760


def write_models(folder: Path) -> dict[str, Path]:
    """Publish the default network, 224 pixels, with its engine in 32 and in 8 bits; model folders by precision."""
    spec = small_spec(architecture=ArchitectureConfig(), preprocessing=PreprocessingConfig())
    network = settled_network(spec.architecture.backbone, num_classes=len(LABELS))
    radiographs = [
        phantom_radiograph(label=label, seed=seed) for seed in range(4) for label in ("foot", "hand", "knee")
    ]
    tensors = _tensors(network)
    reference = torch_classifier(spec, tensors)
    fp32 = export(network, spec.preprocessing.size)
    int8 = quantize(fp32, np.stack([reference.read(data)[1] for data in radiographs]))
    arrays = {key: value.numpy() for key, value in tensors.items()}
    models = {}
    for precision, engine in (("fp32", fp32), ("int8", int8)):
        golden = make_golden(reference, radiographs[:2], Classifier(spec, OnnxEngine(engine, 1), arrays))
        files = {WEIGHTS: safetensors.torch.save(tensors), GOLDEN: golden, ENGINE: engine}
        storage = open_storage(folder / precision)
        write_artifact(storage, name=NAME, version="1", model=spec, provenance=PROVENANCE, files=files)
        set_current(storage, name=NAME, version="1")
        models[precision] = folder / precision / NAME
    return models


def bodies() -> dict[str, bytes]:
    """A 2140 x 1760 DICOM file of 14 bits in 16, uncompressed, and a 320-pixel JPEG, by what the table calls them."""
    return {"DICOM": full_size_dicom(), "JPEG": small_jpeg()}


def full_size_dicom() -> bytes:
    """A synthetic knee of the site that stores 14 bits in 16, without the columns beyond `COLUMNS`."""
    data = phantom_radiograph(label="knee", seed=1, site="Southgate", size=ROWS)
    dataset = pydicom.dcmread(io.BytesIO(data))
    pixels = dataset.pixel_array
    assert pixels.dtype == np.uint16 and pixels.shape[0] == ROWS and pixels.shape[1] >= COLUMNS, pixels.shape
    assert not dataset.file_meta.TransferSyntaxUID.is_compressed
    dataset.Columns = COLUMNS
    dataset.PixelData = np.ascontiguousarray(pixels[:, :COLUMNS]).tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def small_jpeg() -> bytes:
    """A synthetic hand as a grey JPEG of 320 pixels."""
    pixels = read_radiograph(phantom_radiograph(label="hand", seed=2, size=320)).pixels
    buffer = io.BytesIO()
    Image.fromarray((pixels * 255).astype(np.uint8)).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def _tensors(network: Network) -> dict[str, torch.Tensor]:
    """Its weights, and a distribution of features that every radiograph lies in."""
    features = network.num_features
    scope = {"scope.means_KD": torch.zeros(len(LABELS), features), "scope.whitening_DD": torch.eye(features)}
    return {**network.state_dict(), **scope}
