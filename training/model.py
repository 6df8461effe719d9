"""The model of a run, put together from what the stages left: the one that is evaluated, explained and published."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits
from torch import Tensor

from samx.anatomy import ANATOMY
from samx.architecture import ArchitectureConfig
from samx.classifier import Classifier, Prediction
from samx.manifest import AttributeHead, ClassEntry, ModelSpec
from samx.torch_engine import read_tensors, torch_classifier
from training.calibration import Calibration
from training.run import Run

_BATCH = 32


Which = Literal["reference", "student"]
"""The network that phase 2 trained, or the smaller one for CPUs that it has taught."""
_STAGES: dict[Which, tuple[str, str]] = {"reference": ("finetune", "cross_validate"), "student": ("distill", "distill")}


def model_spec(run: Run, which: Which = "reference") -> ModelSpec:
    """Classes with their codes, architecture, preprocessing, temperature and thresholds."""
    calibration = Calibration.model_validate(run.read_json(f"{_STAGES[which][1]}/calibration.json"))
    return ModelSpec(
        classes=tuple(
            _class_entry(label, calibration.review_thresholds.get(label))
            for label in run.read_json("label/classes.json")
        ),
        architecture=run.config.architecture if which == "reference" else _student_architecture(run),
        preprocessing=run.config.preprocessing,
        temperature=calibration.temperature,
        review_threshold=calibration.review_threshold,
        out_of_scope_threshold=calibration.out_of_scope_threshold,
        attributes=tuple(
            AttributeHead(name=name, values=tuple(values), temperature=calibration.attribute_temperatures[name])
            for name, values in run.read_json("label/attributes.json").items()
        ),
    )


def model_tensors(run: Run, which: Which = "reference") -> dict[str, Tensor]:
    """Content of weights.safetensors, or of student.safetensors."""
    return read_tensors(run.read(f"{_STAGES[which][0]}/weights.safetensors"))


def model_classifier(run: Run, which: Which = "reference", *, temperature: float | None = None) -> Classifier:
    """The classifier as the service will build it, on the run's device, or with another temperature."""
    spec = model_spec(run, which)
    if temperature is not None:
        spec = spec.model_copy(update={"temperature": temperature})
    return torch_classifier(spec, model_tensors(run, which), str(run.device))


def networks(run: Run) -> tuple[Which, ...]:
    """Which networks the run has trained."""
    return ("reference",) if run.config.distill.backbone == "none" else ("reference", "student")


def _student_architecture(run: Run) -> ArchitectureConfig:
    assert run.config.distill.backbone != "none"
    return ArchitectureConfig(backbone=run.config.distill.backbone)


def answers_of(
    classifier: Classifier, images: Sequence[npt.NDArray[np.uint8]] | npt.NDArray[np.uint8]
) -> list[Prediction]:
    """The answers for any number of preprocessed images `(S, S)` uint8, in order; as many as fit go together."""
    with threadpool_limits(1, "blas"):  # of numpy alone, after the network: more threads wait for one another
        return [
            prediction
            for start in range(0, len(images), _BATCH)
            for prediction in classifier.classify(list(images[start : start + _BATCH]))
        ]


def _class_entry(label: str, review_threshold: float | None) -> ClassEntry:
    anatomy = ANATOMY.get(label)
    if anatomy is None:
        return ClassEntry(
            label=label, body_part_examined="", code_value="", code_meaning="", review_threshold=review_threshold
        )
    return ClassEntry(
        label=label,
        body_part_examined=anatomy.body_part_examined,
        code_value=anatomy.code.value,
        code_meaning=anatomy.code.meaning,
        review_threshold=review_threshold,
    )
