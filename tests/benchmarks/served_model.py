"""What the comparison of servers serves and sends: a ResNet-50 of random weights, a full-size DICOM, a small JPEG.

As an artifact with a student, too: a smaller network, as `[distill]` trains it, answers on CPUs there.
"""

import io
from pathlib import Path

import numpy as np
import pydicom
import safetensors.torch
import torch
from PIL import Image

from samx.architecture import ArchitectureConfig, Backbone
from samx.artifact import set_current, write_artifact
from samx.classifier import Classifier
from samx.engine import OnnxEngine
from samx.golden import make_golden
from samx.manifest import ENGINE, GOLDEN, STUDENT, WEIGHTS
from samx.phantom import phantom_radiograph
from samx.preprocessing import PreprocessingConfig
from samx.radiograph import read_radiograph
from samx.storage import open_storage
from samx.torch_engine import torch_classifier
from tests.benchmarks.engine import STUDENT_BACKBONE
from tests.settled_network import settled_network
from tests.small_artifact import LABELS, small_provenance, small_spec
from training.compiled_engine import export, quantize

NAME = "serving"
ROWS, COLUMNS = 2140, 1760


def write_models(folder: Path, student_backbone: Backbone = STUDENT_BACKBONE) -> dict[str, Path]:
    """Publish the default network, 224 pixels; model folders by what answers on the CPU.

    `fp32` and `int8` is the network in 32 and in 8 bits, `student` a smaller one in 32 bits.
    """
    radiographs = [
        phantom_radiograph(label=label, seed=seed) for seed in range(4) for label in ("foot", "hand", "knee")
    ]
    networks = {name: _Served(name) for name in (ArchitectureConfig().backbone, student_backbone)}
    large, small = networks.values()
    int8 = quantize(large.exported, np.stack([large.classifier.read(data)[1] for data in radiographs]))
    models = {}
    for name, engine, student in (
        ("fp32", large.exported, None),
        ("int8", int8, None),
        ("student", small.exported, small),
    ):
        on_cpu = student or large
        compiled = Classifier(on_cpu.spec, OnnxEngine(engine, 1), {k: v.numpy() for k, v in on_cpu.tensors.items()})
        golden = make_golden(
            large.classifier, radiographs[:2], compiled, student=student.classifier if student else None
        )
        files = {WEIGHTS: safetensors.torch.save(large.tensors), GOLDEN: golden, ENGINE: engine}
        if student:
            files[STUDENT] = safetensors.torch.save(student.tensors)
        storage = open_storage(folder / name)
        write_artifact(
            storage, name=NAME, version="1", model=large.spec, cpu_model=student.spec if student else None,
            provenance=small_provenance(), files=files,
        )  # fmt: skip
        set_current(storage, name=NAME, version="1")
        models[name] = folder / name / NAME
    return models


class _Served:
    """A network of random weights, its weights with a distribution of features that every radiograph lies in."""

    def __init__(self, backbone: Backbone) -> None:
        self.spec = small_spec(architecture=ArchitectureConfig(backbone=backbone), preprocessing=PreprocessingConfig())
        network = settled_network(backbone, num_classes=len(LABELS))
        features = network.num_scope_features
        scope = {
            "scope.means_KD": torch.zeros(len(LABELS), features),
            "scope.scale_D": torch.ones(features),
            "scope.components_DR": torch.zeros(features, 256),
        }
        self.tensors = {**network.state_dict(), **scope}
        self.exported = export(network, self.spec.preprocessing.size)
        self.classifier = torch_classifier(self.spec, self.tensors)


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
