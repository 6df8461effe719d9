"""A plain BentoML service with a file input: `bentoml serve tests.benchmarks.peers.bentoml_service:PlainBento`.

Follows BentoML's documentation, "Create online API Services" and "Define input and output types" (files as
`pathlib.Path`): the model is loaded in the constructor, one synchronous method is the API, every setting is default.
"""

import os
from pathlib import Path

import bentoml

from tests.benchmarks.peers.plain import ARTIFACT_VARIABLE, PlainClassifier


@bentoml.service
class PlainBento:
    """POST /classify, a form with the field `file`."""

    def __init__(self) -> None:
        self._classifier = PlainClassifier(os.environ[ARTIFACT_VARIABLE])

    @bentoml.api  # type: ignore[untyped-decorator]  # bentoml ships no types that mypy can follow
    def classify(self, file: Path) -> dict[str, float]:
        """The probability of every class."""
        return self._classifier.probabilities(file.read_bytes())
