"""Golden answers: radiographs in the artifact and the probabilities they must give wherever it is loaded."""

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from samx.artifact import Artifact
from samx.engine import Precision
from samx.errors import ArtifactCorrupt, RadiographError
from samx.manifest import GOLDEN

if TYPE_CHECKING:
    from samx.classifier import Classifier

GOLDEN_TOLERANCE: dict[Precision, float] = {"fp32": 2e-3, "int8": 2e-2}
"""Largest difference of a golden probability: other processors and libraries round differently. In 8 bits a value that
lies between two steps may be rounded to the other one, which moves a probability ten times as far."""
_GOLDEN_KEY: dict[Precision, str] = {"fp32": "probabilities", "int8": "probabilities_int8"}
_OF_STUDENT = "student_"
"""Before the key of the student's answers."""


def make_golden(
    classifier: "Classifier",
    radiographs: Sequence[bytes],
    compiled: "Classifier | None" = None,
    *,
    student: "Classifier | None" = None,
) -> bytes:
    """Content of golden.json: radiographs, which must not come from patients, and the probabilities they give.

    Args:
        classifier: answers by the reference.
        radiographs: files.
        compiled: answers by the compiled engine: of the student, where there is one. In 8 bits its probabilities are
            its own, and recorded too.
        student: answers by the student as torch computes it.
    """
    answering = [("", classifier)]
    if student:
        answering.append((_OF_STUDENT, student))
    if compiled:
        answering.append((_OF_STUDENT if student else "", compiled))
    entries = []
    for data in radiographs:
        entry: dict[str, object] = {"radiograph": base64.b64encode(data).decode()}
        for prefix, one in answering:
            (prediction,) = one.classify([classifier.read(data)[1]])
            rounded = [round(float(value), 6) for value in prediction.probabilities]
            entry.setdefault(prefix + _GOLDEN_KEY[one.engine.precision], rounded)
        entries.append(entry)
    return (json.dumps(entries, indent=1, allow_nan=False) + "\n").encode()


def self_test(classifier: "Classifier", artifact: Artifact, *, is_student: bool = False) -> None:
    """Read and classify the golden radiographs again.

    Args:
        classifier: of the artifact.
        artifact: holds the published answers.
        is_student: whether the student's are meant.

    Raises:
        ArtifactCorrupt: there is none, one cannot be read, or a probability differs by more than the engine's
            `GOLDEN_TOLERANCE` from the published one.
    """
    manifest = artifact.manifest
    precision = classifier.engine.precision
    key, tolerance = (_OF_STUDENT if is_student else "") + _GOLDEN_KEY[precision], GOLDEN_TOLERANCE[precision]
    model = artifact.title
    try:
        golden = [
            (base64.b64decode(entry["radiograph"]), np.array(entry[key], np.float32))
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
        if not difference <= tolerance:  # NaN is no answer
            raise ArtifactCorrupt(
                f"golden radiograph {number} of {model} differs by {difference:.4f} from its published probability; at "
                f"most {tolerance} is allowed. Was it made with other libraries? "
                f"{dict(manifest.library_versions)}"
            )
