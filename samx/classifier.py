"""The classifier: preprocessed radiographs in, calibrated probabilities, a decision and heat maps out.

Training's evaluation and the service answer through this one class, so what is reported is what is served.
"""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from samx.anatomy import NOT_MUSCULOSKELETAL
from samx.artifact import GOLDEN, WEIGHTS, Artifact, Manifest, ModelSpec, read_artifact, resolve
from samx.errors import ArtifactCorrupt, RadiographError
from samx.grad_cam import heat_map
from samx.network import Network, to_input
from samx.preprocessing import preprocess
from samx.radiograph import Radiograph, read_radiograph
from samx.storage import open_storage

Decision = Literal["accept", "review", "out_of_scope"]

GOLDEN_TOLERANCE = 2e-3
"""Largest difference of a golden probability: other processors and libraries round differently."""


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

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.labels[int(self.probabilities.argmax())]

    def ranked(self, top_k: int) -> list[tuple[str, float]]:
        """The `top_k` most probable classes with their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:top_k]
        return [(self.labels[index], float(self.probabilities[index])) for index in order]


@dataclass(frozen=True, slots=True)
class FeatureDistribution:
    """Where the features of known classes lie; measures how far from all of them a radiograph is."""

    means_KD: Tensor
    """Mean feature of every class that had radiographs."""
    whitening_DD: Tensor
    """Maps deviations to unit covariance; the covariance is shared by the classes (Lee et al. 2018, section 2.1)."""

    def distances(self, features_ND: Tensor) -> Tensor:
        """Mahalanobis distance to the nearest class mean per square root of dimension, `(N,)`; about 1 in scope."""
        # By matrix products, which torch takes for larger batches, a distance would depend on the rest of the batch.
        distances_NK = torch.cdist(
            features_ND @ self.whitening_DD,
            self.means_KD @ self.whitening_DD,
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        nearest_N: Tensor = distances_NK.amin(1)
        return nearest_N / math.sqrt(features_ND.shape[1])


class Classifier:
    """A trained network with all that is needed to answer; safe to share between threads."""

    def __init__(self, spec: ModelSpec, network: Network, distribution: FeatureDistribution) -> None:
        self.spec = spec
        self._network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._distribution = distribution
        self._device = next(network.parameters()).device

    @classmethod
    def from_tensors(cls, spec: ModelSpec, tensors: dict[str, Tensor], device: str = "cpu") -> Self:
        """Build a classifier from the tensors of `weights.safetensors`.

        Raises:
            ValueError: these are not the tensors of such a network.
        """
        network = Network(spec.architecture, len(spec.classes))
        try:
            network.load_state_dict({key: value for key, value in tensors.items() if not key.startswith("scope.")})
            means_KD, whitening_DD = tensors["scope.means_KD"], tensors["scope.whitening_DD"]
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"no {spec.architecture.backbone} of {len(spec.classes)} classes: {error}") from error
        return cls(spec, network.to(device), FeatureDistribution(means_KD.to(device), whitening_DD.to(device)))

    def preprocess(self, radiograph: Radiograph) -> npt.NDArray[np.uint8]:
        """The `(S, S)` uint8 image that `classify` takes."""
        return preprocess(radiograph, self.spec.preprocessing)

    def read(self, data: bytes) -> tuple[Radiograph, npt.NDArray[np.uint8]]:
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
        with torch.inference_mode():
            maps_NDHW = self._network.feature_maps(to_input(torch.from_numpy(np.stack(images)), self._device))
            features_ND = maps_NDHW.mean((2, 3))
            logits_NK = self._network.head(features_ND)
            probabilities_NK = (logits_NK / self.spec.temperature).softmax(1).cpu().numpy()
            scores_N = self._distribution.distances(features_ND).cpu().numpy()
        predictions = []
        for index, (probabilities_K, score) in enumerate(zip(probabilities_NK, scores_N, strict=True)):
            heat = None
            if grad_cam:
                row_D = self._network.head.weight[int(probabilities_K.argmax())]
                heat = heat_map(maps_NDHW[index].cpu().numpy(), row_D.detach().cpu().numpy())
            decision = self._decide(probabilities_K, float(score))
            predictions.append(Prediction(self.spec.labels, probabilities_K, float(score), decision, heat))
        return predictions

    def _decide(self, probabilities_K: npt.NDArray[np.float32], out_of_scope_score: float) -> Decision:
        # Asked so that NaN is never accepted.
        if not out_of_scope_score <= self.spec.out_of_scope_threshold:
            return "out_of_scope"
        if not probabilities_K.max() >= self.spec.review_threshold:
            return "review"
        label = self.spec.labels[int(probabilities_K.argmax())]
        return "out_of_scope" if label == NOT_MUSCULOSKELETAL else "accept"


def load_classifier(url: str | Path, *, device: str = "cpu") -> tuple[Classifier, Manifest]:
    """Load the artifact at `url` - one version, or a model whose current version is meant - and test it.

    Raises:
        ArtifactError: nothing published there, corrupt, incompatible, or a golden answer differs.
        RuntimeError: torch cannot use `device`.
        StorageError: the place cannot be reached.
    """
    folder = resolve(open_storage(url))
    artifact = read_artifact(folder)
    try:
        tensors = safetensors.torch.load(artifact.files[WEIGHTS])
        classifier = Classifier.from_tensors(artifact.manifest.model, tensors, device)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ArtifactCorrupt(f"{WEIGHTS} in {folder.url} cannot be used: {error}") from error
    self_test(classifier, artifact)
    return classifier, artifact.manifest


def make_golden(classifier: Classifier, radiographs: Sequence[bytes]) -> bytes:
    """Content of golden.json: radiographs, which must not come from patients, and the probabilities they give."""
    entries = []
    for data in radiographs:
        (prediction,) = classifier.classify([classifier.read(data)[1]])
        probabilities = [round(float(value), 6) for value in prediction.probabilities]
        entries.append({"radiograph": base64.b64encode(data).decode(), "probabilities": probabilities})
    return (json.dumps(entries, indent=1, allow_nan=False) + "\n").encode()


def self_test(classifier: Classifier, artifact: Artifact) -> None:
    """Read and classify the golden radiographs again.

    Raises:
        ArtifactCorrupt: there is none, one cannot be read, or a probability differs by more than `GOLDEN_TOLERANCE`
            from the published one.
    """
    manifest = artifact.manifest
    model = f"{manifest.name} {manifest.version}"
    try:
        golden = [
            (base64.b64decode(entry["radiograph"]), np.array(entry["probabilities"], np.float32))
            for entry in json.loads(artifact.files[GOLDEN])
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactCorrupt(f"{GOLDEN} of {model} is not a list of radiographs and their probabilities") from error
    if not golden:
        raise ArtifactCorrupt(f"{GOLDEN} of {model} holds no radiograph to test it with")
    for number, (data, expected_K) in enumerate(golden):
        try:
            (prediction,) = classifier.classify([classifier.read(data)[1]])
        except RadiographError as error:
            raise ArtifactCorrupt(f"golden radiograph {number} of {model} cannot be read here: {error}") from error
        if expected_K.shape != prediction.probabilities.shape:
            raise ArtifactCorrupt(f"golden radiograph {number} of {model} has {expected_K.size} probabilities")
        difference = float(np.abs(prediction.probabilities - expected_K).max())
        if not difference <= GOLDEN_TOLERANCE:  # NaN is no answer
            raise ArtifactCorrupt(
                f"golden radiograph {number} of {model} differs by {difference:.4f} from its published probability; at "
                f"most {GOLDEN_TOLERANCE} is allowed. Was it made with other libraries? "
                f"{dict(manifest.library_versions)}"
            )
