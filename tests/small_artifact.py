"""A small artifact with random weights: everything of the contract, nothing learned."""

import io
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from samx.anatomy import ANATOMY, NOT_MUSCULOSKELETAL
from samx.architecture import ArchitectureConfig
from samx.artifact import read_artifact, set_current, write_artifact
from samx.classifier import Classifier
from samx.engine import OnnxEngine
from samx.golden import make_golden
from samx.manifest import ENGINE, GOLDEN, STUDENT, WEIGHTS, ClassEntry, ModelSpec, Provenance
from samx.preprocessing import PreprocessingConfig
from samx.storage import open_storage
from samx.torch_engine import build_network, torch_classifier

LABELS = ("foot", "hand", "knee", NOT_MUSCULOSKELETAL)
NAME = "small"
VERSION = "1.0.0"
STUDENT_TEMPERATURE = 0.7


def small_spec(**changes: object) -> ModelSpec:
    """A model of four classes at 64 pixels."""
    classes = []
    for label in LABELS:
        anatomy = ANATOMY.get(label)
        classes.append(
            ClassEntry(
                label=label,
                body_part_examined=anatomy.body_part_examined if anatomy else "",
                code_value=anatomy.code.value if anatomy else "",
                code_meaning=anatomy.code.meaning if anatomy else "",
            )
        )
    spec = ModelSpec(
        classes=tuple(classes),
        architecture=ArchitectureConfig(backbone="resnet18_slim"),
        preprocessing=PreprocessingConfig(size=64, working_size=128),
        temperature=1.5,
        review_threshold=0.3,
        out_of_scope_threshold=1000.0,
    )
    return spec.model_copy(update=changes)


def small_provenance(created_at: str = "2026-01-01T00:00:00Z", source: str = "tests") -> Provenance:
    """Of a model that nobody has trained."""
    return Provenance(
        created_at=created_at,
        source=source,
        configuration_sha256="0" * 64,
        num_radiographs=0,
        num_clusters=0,
        num_decisions=0,
        readers=("simulated",),
        seed=0,
        initial_weights="random",
    )


def small_tensors(spec: ModelSpec, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights for `spec`, with the feature distribution."""
    torch.manual_seed(seed)
    network = build_network(spec)
    features = network.num_scope_features
    scope = {
        "scope.means_KD": torch.randn(len(spec.classes), features),
        "scope.scale_D": torch.ones(features),
        "scope.components_DR": torch.zeros(features, 1),
    }
    return {**network.state_dict(), **scope}


def synthetic_png(seed: int = 0, size: tuple[int, int] = (120, 90)) -> bytes:
    """A grey PNG of smooth noise, `size` rows and columns."""
    small = np.random.default_rng(seed).integers(0, 255, (12, 9), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC).save(buffer, format="PNG")
    return buffer.getvalue()


def write_small_artifact(
    models: Path,
    version: str = VERSION,
    *,
    seed: int = 0,
    engine: bytes | None = None,
    student_seed: int | None = None,
) -> Path:
    """Publish the small artifact as the current version, with weights of this seed; returns the model's folder.

    With a compiled engine, or none; with a student of another seed and temperature, from which the engine is compiled
    then, or none.
    """
    spec, student = small_spec(), None
    tensors = on_cpu = small_tensors(spec, seed)
    if student_seed is not None:
        student = small_spec(temperature=STUDENT_TEMPERATURE)
        on_cpu = small_tensors(student, student_seed)
    arrays = {key: value.numpy() for key, value in on_cpu.items()}
    compiled = Classifier(student or spec, OnnxEngine(engine, 1), arrays) if engine else None
    golden = make_golden(
        torch_classifier(spec, tensors),
        [synthetic_png(1), synthetic_png(2)],
        compiled,
        student=torch_classifier(student, on_cpu) if student else None,
    )
    files = {WEIGHTS: safetensors.torch.save(tensors), GOLDEN: golden, "metrics.json": b"{}\n"}
    if engine:
        files[ENGINE] = engine
    if student:
        files[STUDENT] = safetensors.torch.save(on_cpu)
    storage = open_storage(models)
    write_artifact(
        storage, name=NAME, version=version, model=spec, cpu_model=student, provenance=small_provenance(), files=files
    )
    set_current(storage, name=NAME, version=version)
    return models / NAME


def republish(artifact: Path, folder: Path, **changes: bytes | None) -> Path:
    """Publish an artifact of version VERSION again with other files, or without some, so that all checksums are right.

    Args:
        artifact: the model's folder; it is left as it is.
        folder: of the models.
        changes: content, or None to leave the file out, of `engine`, `golden`, `student` and `weights`.
    """
    original = read_artifact(open_storage(artifact / VERSION))
    names = {"engine": ENGINE, "golden": GOLDEN, "student": STUDENT, "weights": WEIGHTS}
    files = {**original.files, **{names[key]: content for key, content in changes.items()}}
    manifest = original.manifest
    write_artifact(
        open_storage(folder),
        name=NAME,
        version="2",
        model=manifest.model,
        cpu_model=manifest.cpu_model,
        provenance=manifest.provenance,
        files={name: content for name, content in files.items() if content is not None},
    )
    return folder / NAME / "2"
