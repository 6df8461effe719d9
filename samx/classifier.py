"""The classifier: preprocessed radiographs in, calibrated probabilities, a decision and heat maps out.

Training's evaluation and the service answer through this one class, so what is reported is what is served. An engine
computes the feature maps (`engine`); what they mean is computed here, one image at a time.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from samx.anatomy import NOT_MUSCULOSKELETAL, has_sides
from samx.artifact import Artifact, read_artifact, resolve
from samx.cores import available_cores
from samx.engine import Engine, OnnxEngine
from samx.errors import ArtifactCorrupt, ArtifactIncompatible
from samx.golden import self_test
from samx.grad_cam import heat_map
from samx.manifest import ENGINE, NEVER_ACCEPTED, STUDENT, WEIGHTS, AttributeName, Manifest, ModelSpec
from samx.out_of_scope import SCOPE, FeatureDistribution
from samx.preprocessing import preprocess
from samx.radiograph import Radiograph, read_radiograph
from samx.storage import open_storage

logger = logging.getLogger(__name__)

Decision = Literal["accept", "review", "out_of_scope"]

HEADS = ("head.", "attribute_heads.", "scope.")
"""What a classifier needs of the tensors of the weights, beside its engine: their names begin so."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one radiograph."""

    labels: tuple[str, ...]
    """Labels of the classes in head order."""
    probabilities: npt.NDArray[np.float32]
    """Calibrated, `(K,)` float32 in [0, 1], sum 1, in head order."""
    out_of_scope_score: float
    """Distance to what the model was trained on; comparable to the model's out-of-scope threshold only."""
    decision: Decision
    heat: npt.NDArray[np.float32] | None = None
    """Grad-CAM of the most probable class, `(h, w)` float32 in [0, 1], where it was asked for."""
    attributes: Mapping[AttributeName, tuple[str, float]] = field(default_factory=dict)
    """Most probable view and laterality with their calibrated probabilities, where the model has learned them and they
    mean something for the most probable class."""

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[int(self.probabilities.argmax())]

    def ranked(self, top_k: int) -> list[tuple[str, float]]:
        """The `top_k` most probable classes with their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:top_k]
        return [(self.labels[index], float(self.probabilities[index])) for index in order]


class Classifier:
    """A trained network with all that is needed to answer; safe to share between threads.

    Args:
        spec: classes, temperature, thresholds, preprocessing.
        engine: computes the feature maps.
        tensors: of the weights: `head.weight` `(K, D)`, `head.bias`, those that `SCOPE` names, and
            `attribute_heads.<name>.weight` and `.bias` of the attributes.

    Raises:
        ValueError: a tensor is missing or does not fit the others.
    """

    def __init__(self, spec: ModelSpec, engine: Engine, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
        self.spec = spec
        self.engine = engine
        self._review_thresholds = spec.review_thresholds
        try:
            self._head_KD, self._bias_K = tensors["head.weight"], tensors["head.bias"]
            self._distribution = FeatureDistribution(*(tensors[name] for name in SCOPE))
            self._attribute_heads = {
                head: (tensors[f"attribute_heads.{head.name}.weight"], tensors[f"attribute_heads.{head.name}.bias"])
                for head in spec.attributes
            }
        except KeyError as error:
            raise ValueError(f"there is no {error}") from error
        num_features, (means_KD, scale_D, components_DR) = self._head_KD.shape[-1], (tensors[name] for name in SCOPE)
        num_scope_features = max(len(scale_D), num_features)
        expected = {
            "head.weight": (len(spec.classes), num_features),
            "head.bias": (len(spec.classes),),
            "scope.means_KD": (len(means_KD), num_scope_features),
            "scope.scale_D": (num_scope_features,),
            "scope.components_DR": (num_scope_features, components_DR.shape[-1]),
        }
        for head in spec.attributes:
            expected[f"attribute_heads.{head.name}.weight"] = (len(head.values), num_features)
            expected[f"attribute_heads.{head.name}.bias"] = (len(head.values),)
        for name, shape in expected.items():
            if tensors[name].shape != shape:
                raise ValueError(f"{name} is {tensors[name].shape}, not {shape}")

    def preprocess(self, radiograph: Radiograph) -> npt.NDArray[np.uint8]:
        """The `(S, S)` uint8 image that `classify` takes."""
        return preprocess(radiograph, self.spec.preprocessing)

    def read(self, data: bytes | memoryview) -> tuple[Radiograph, npt.NDArray[np.uint8]]:
        """Read a file and preprocess it.

        Raises:
            RadiographError: the file cannot be used.
        """
        radiograph = read_radiograph(data, working_size=self.spec.preprocessing.working_size)
        return radiograph, self.preprocess(radiograph)

    def classify(self, images: Sequence[npt.NDArray[np.uint8]], *, grad_cam: bool = False) -> list[Prediction]:
        """Classify a batch of preprocessed images.

        Args:
            images: `N` images `(S, S)` uint8 from `preprocess`.
            grad_cam: also compute the heat map of each image's most probable class.

        Returns:
            One prediction per image, in order; a prediction does not depend on the rest of the batch.
        """
        if not images:
            return []
        # What is not a number stays so, and is never accepted: no warning beside it.
        with np.errstate(invalid="ignore", over="ignore"):
            features = zip(*self.engine.feature_maps(np.stack(images)), strict=True)
            return [self._predict(early_E, maps_DHW, grad_cam) for early_E, maps_DHW in features]

    def _predict(
        self, early_E: npt.NDArray[np.float32], maps_DHW: npt.NDArray[np.float32], grad_cam: bool
    ) -> Prediction:
        features_D = maps_DHW.mean((1, 2))
        probabilities_K = _softmax(self._head_KD @ features_D + self._bias_K, self.spec.temperature)
        best = int(probabilities_K.argmax())
        score = float(self._distribution.distances(np.concatenate([features_D, early_E])[None])[0])
        heat = heat_map(maps_DHW, self._head_KD[best]) if grad_cam else None
        decision = self._decide(best, float(probabilities_K[best]), score)
        attributes = self._attributes(features_D, self.spec.labels[best])
        return Prediction(self.spec.labels, probabilities_K, score, decision, heat, attributes)

    def _attributes(self, features_D: npt.NDArray[np.float32], label: str) -> dict[AttributeName, tuple[str, float]]:
        """View and laterality; neither of what is not musculoskeletal, and no laterality of what has no sides."""
        answers: dict[AttributeName, tuple[str, float]] = {}
        for head, (weight_VD, bias_V) in self._attribute_heads.items():
            if label != NOT_MUSCULOSKELETAL and (head.name != "laterality" or has_sides(label)):
                probabilities_V = _softmax(weight_VD @ features_D + bias_V, head.temperature)
                best = int(probabilities_V.argmax())
                answers[head.name] = (head.values[best], float(probabilities_V[best]))
        return answers

    def _decide(self, best: int, probability: float, out_of_scope_score: float) -> Decision:
        # Asked so that NaN is never accepted.
        if not out_of_scope_score <= self.spec.out_of_scope_threshold:
            return "out_of_scope"
        threshold = self._review_thresholds[best]
        if not probability >= threshold or threshold >= NEVER_ACCEPTED:
            return "review"
        return "out_of_scope" if self.spec.classes[best].label == NOT_MUSCULOSKELETAL else "accept"


def _softmax(logits_K: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float32]:
    scaled_K = logits_K / np.float32(temperature)
    odds_K = np.exp(scaled_K - scaled_K.max())
    probabilities_K: npt.NDArray[np.float32] = odds_K / odds_K.sum()
    return probabilities_K


def load_classifier(
    url: str | Path, *, device: str = "cpu", compiled: bool = True, num_threads: int | None = None
) -> tuple[Classifier, Manifest]:
    """Load the artifact at `url` - one version, or a model whose current version is meant - and test it.

    Args:
        url: a folder or an s3:// URL.
        device: `cpu`, `cuda`, or `auto`: a GPU where there is one that torch can use.
        compiled: on the CPU, answer by what the artifact has for CPUs: the student, where there is one, by its compiled
            engine, by torch only where it has none or this machine cannot use it. Else the reference network answers,
            by torch. `Classifier.spec` says which.
        num_threads: that work together on one call; by default all cores, and for torch as many as it is set to.

    Raises:
        ArtifactError: nothing published there, corrupt, incompatible, or a golden answer differs.
        RuntimeError: torch cannot use `device`.
        StorageError: the place cannot be reached.
    """
    folder = resolve(open_storage(url))
    artifact = read_artifact(folder)
    if device == "auto":
        device = "cuda" if _finds_gpu() else "cpu"
    for_cpu = compiled and device == "cpu"
    student = artifact.manifest.cpu_model if for_cpu else None
    spec, weights = (artifact.manifest.model, WEIGHTS) if student is None else (student, STUDENT)
    if for_cpu and ENGINE in artifact.files:
        try:
            classifier = _compiled_classifier(artifact, spec, weights, num_threads or available_cores())
            self_test(classifier, artifact, is_student=student is not None)
        except ArtifactCorrupt as error:
            logger.warning("torch answers instead of the compiled engine, which cannot be used here: %s", error)
        else:
            return classifier, artifact.manifest
    elif for_cpu:
        logger.warning("The artifact in %s has no %s: torch answers, which is slower", folder.url, ENGINE)
    classifier = _torch_classifier(artifact, spec, weights, device, num_threads)
    self_test(classifier, artifact, is_student=student is not None)
    return classifier, artifact.manifest


def _compiled_classifier(artifact: Artifact, spec: ModelSpec, weights: str, num_threads: int) -> Classifier:
    try:
        engine = OnnxEngine(artifact.files[ENGINE], num_threads)
        return Classifier(spec, engine, safetensors.numpy.load(artifact.files[weights]))
    except (safetensors.SafetensorError, ValueError) as error:
        raise ArtifactCorrupt(f"{ENGINE} or {weights} of {artifact.title} cannot be used: {error}") from error


def _torch_classifier(
    artifact: Artifact, spec: ModelSpec, weights: str, device: str, num_threads: int | None
) -> Classifier:
    try:
        from samx.torch_engine import read_tensors, torch_classifier  # noqa: PLC0415  # torch need not be installed
    except ModuleNotFoundError as error:
        raise ArtifactIncompatible(
            f"{artifact.title} cannot be used without torch, which is not installed: publish the model again with a "
            f"compiled engine for CPUs, or install samx[torch]"
        ) from error
    try:
        tensors = read_tensors(artifact.files[weights])
        return torch_classifier(spec, tensors, device, num_threads=num_threads)
    except ValueError as error:
        raise ArtifactCorrupt(f"{weights} of {artifact.title} cannot be used: {error}") from error


def _finds_gpu() -> bool:
    """Whether torch can use a GPU; asked of torch, which takes seconds to import, only where there is a driver."""
    if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/dxg")):
        return False
    try:
        import torch  # noqa: PLC0415  # need not be installed
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()
