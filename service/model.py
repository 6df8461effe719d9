"""The served model: an artifact's classifier, and the answers made from its predictions."""

import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from samx.anatomy import ANATOMY, label_of_body_part, tag_agrees
from samx.artifact import resolve
from samx.classifier import Classifier, Prediction, load_classifier
from samx.errors import RadiographError
from samx.manifest import AttributeName, ClassEntry, Manifest, ModelSpec
from samx.radiograph import Radiograph
from samx.storage import open_storage
from service.heat_map import Picture, heat_map_of, overlay_png, picture_of
from service.problems import ProblemError, problem_of, traceback_without_values, without_secrets
from service.schemas import (
    AttributeAnswer,
    Classification,
    ConceptCode,
    ModelClass,
    ModelDescription,
    ModelName,
    ModelProvenance,
    RadiographFacts,
    RankedClass,
    Tag,
)
from service.settings import Settings
from service.upload import Parameters

DEFAULT_TOP_K = 3

logger = logging.getLogger("samx.service")


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that could be read."""

    radiograph: Radiograph
    image: npt.NDArray[np.uint8]
    """What the network takes, `(S, S)` uint8."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the network is asked."""

    image: npt.NDArray[np.uint8]
    """`(S, S)` uint8."""
    grad_cam: bool
    """Whether the heat map is wanted."""


class Model:
    """A loaded artifact; safe to share between threads."""

    def __init__(
        self,
        classifier: Classifier,
        manifest: Manifest,
        *,
        url: str,
        metrics: dict[str, Any] | None,
        max_body_bytes: int,
        on_gpu: bool = False,
    ) -> None:
        self.url = url
        self._classifier = classifier
        self.on_gpu = on_gpu
        self._spec = classifier.spec
        self.name = ModelName(name=manifest.name, version=manifest.version)
        self._classes = {entry.label: _class_of(entry) for entry in classifier.spec.classes}
        self.title = f"{manifest.name} {manifest.version}"
        self.description = _description(
            manifest,
            list(self._classes.values()),
            metrics,
            spec=classifier.spec,
            engine=classifier.engine.name,
            max_body_bytes=max_body_bytes,
        )

    @property
    def largest_batch(self) -> int:
        """Images that are worth computing together at most.

        Two cores without AVX-512, a thread each: ONNX Runtime takes 38.7, 37.5, 36.9 and 36.8 ms of ResNet-18 for an
        image of a batch of 1, 2, 4 and 8, and 92 or 93 of ResNet-50 in any. Who waits for three others waits longer
        than that saves: see tests/benchmarks/README.md. Others have more to do per call.
        """
        return 2 if self._classifier.engine.name.startswith("onnxruntime") else 8

    def warm_up(self, sizes: Iterable[int]) -> None:
        """Classify batches of these sizes, so that the first requests are as quick as the later ones."""
        size = self._spec.preprocessing.size
        for num_images in sizes:
            self._classifier.classify([np.zeros((size, size), np.uint8)] * num_images, grad_cam=True)

    def check(self, parameters: Parameters) -> None:
        """Refuse what this model cannot answer, before anything is read.

        Raises:
            ProblemError: 400 top_k is too large.
        """
        if (parameters.top_k or 1) > len(self._classes):
            detail = f"top_k is {parameters.top_k}; this model has {len(self._classes)} classes."
            raise ProblemError(400, "invalid_top_k", detail)

    def read(self, data: bytes | memoryview) -> Reading:
        """Read a file.

        Raises:
            ProblemError: 413, 415 or 422 the file cannot be used.
        """
        try:
            return Reading(*self._classifier.read(data))
        except RadiographError as error:
            raise problem_of(error) from None
        except Exception as error:  # the border: a client's bytes must never end in a 500
            logger.error("A file made the reader fail unexpectedly: %s", traceback_without_values(error))
            raise ProblemError(422, "unreadable", "The file cannot be read as a radiograph.") from None

    def question(self, reading: Reading, *, grad_cam: bool) -> Question:
        """What `classify` is asked about a file."""
        return Question(reading.image, grad_cam)

    def classify(self, questions: Sequence[Question]) -> list[Prediction]:
        """Classify a batch; an answer does not depend on the rest of it."""
        images = [question.image for question in questions]
        return self._classifier.classify(images, grad_cam=any(question.grad_cam for question in questions))

    def picture(self, reading: Reading, *, alone: bool = True) -> Picture:
        """The radiograph for a heat map to be laid over; `alone`: as a picture of its own, too."""
        return picture_of(reading.radiograph, self._spec.preprocessing, alone=alone)

    def answer(
        self, radiograph: Radiograph, prediction: Prediction, parameters: Parameters, picture: Picture | None = None
    ) -> Classification:
        """What is answered for a radiograph; with a heat map where there is a picture to lay it over."""
        top_k = min(DEFAULT_TOP_K, len(self._classes)) if parameters.top_k is None else parameters.top_k
        return Classification(
            model=self.name,
            decision=prediction.decision,
            classes=[
                RankedClass(**self._classes[label].model_dump(), probability=min(probability, 1.0))
                for label, probability in prediction.ranked(top_k)
            ],
            out_of_scope_score=prediction.out_of_scope_score,
            view=_attribute(prediction, "view"),
            laterality=_attribute(prediction, "laterality"),
            tag=tag_of(prediction.label, radiograph.attributes.body_part_examined),
            radiograph=RadiographFacts(
                format=radiograph.format,
                rows=radiograph.rows,
                columns=radiograph.columns,
                was_negative=radiograph.was_negative,
            ),
            grad_cam=heat_map_of(picture, prediction) if picture else None,
        )

    def overlay(self, picture: Picture, prediction: Prediction) -> bytes:
        """A PNG of the radiograph with its heat map over it."""
        return overlay_png(picture, prediction)


def _attribute(prediction: Prediction, name: AttributeName) -> AttributeAnswer | None:
    if name not in prediction.attributes:
        return None
    value, probability = prediction.attributes[name]
    return AttributeAnswer(value=value, probability=min(probability, 1.0))


def load_model(settings: Settings) -> Model:
    """Load the artifact that the settings name, and test it.

    Raises:
        ArtifactError: nothing there, corrupt, incompatible, or its golden radiographs get other answers.
        StorageError: the place cannot be reached.
    """
    folder = resolve(open_storage(settings.artifact))  # once: the current version may change meanwhile
    classifier, manifest = load_classifier(folder.url, device=settings.device, num_threads=settings.engine_threads)
    metrics = json.loads(folder.read("metrics.json")) if "metrics.json" in manifest.files else None
    return Model(
        classifier,
        manifest,
        url=folder.url,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        on_gpu=classifier.engine.name == "torch cuda",
    )


def tag_of(label: str, body_part_examined: str) -> Tag:
    """What the file says about itself, repeated only if every word of it is known: free text may name a patient.

    Args:
        label: the most probable class.
        body_part_examined: value of (0018,0015), "" where absent.
    """
    agrees = tag_agrees(label, body_part_examined)
    named = label_of_body_part(body_part_examined)
    if agrees is None and named is None:
        return Tag(body_part_examined=None, agrees=None)
    # Letters outside ASCII are skipped where a term is looked up, so they may be anything: the standard's term instead.
    if re.fullmatch(r"[A-Za-z0-9 ._/,()+-]{1,64}", body_part_examined):
        return Tag(body_part_examined=body_part_examined.strip(), agrees=agrees)
    entity = ANATOMY.get(named or "")
    return Tag(body_part_examined=entity.body_part_examined if entity else None, agrees=agrees)


def _class_of(entry: ClassEntry) -> ModelClass:
    return ModelClass(
        label=entry.label,
        body_part_examined=entry.body_part_examined or None,
        code=ConceptCode(value=entry.code_value, meaning=entry.code_meaning) if entry.code_value else None,
    )


def _description(
    manifest: Manifest,
    classes: list[ModelClass],
    metrics: dict[str, Any] | None,
    *,
    spec: ModelSpec,
    engine: str,
    max_body_bytes: int,
) -> ModelDescription:
    provenance = manifest.provenance
    public = provenance.model_dump(exclude={"readers", "source", "initial_weights"})
    return ModelDescription(
        name=manifest.name,
        version=manifest.version,
        classes=classes,
        attributes={head.name: list(head.values) for head in spec.attributes},
        backbone=spec.architecture.backbone,
        student_of=manifest.model.architecture.backbone if spec == manifest.cpu_model else None,
        engine=engine,
        preprocessing=spec.preprocessing.model_dump(mode="json"),
        temperature=spec.temperature,
        review_threshold=spec.review_threshold,
        review_thresholds=dict(zip(spec.labels, spec.review_thresholds, strict=True)),
        out_of_scope_threshold=spec.out_of_scope_threshold,
        metrics=metrics,
        provenance=ModelProvenance(
            **public,
            source=without_secrets(provenance.source),
            initial_weights=without_secrets(provenance.initial_weights),
            num_readers=len(provenance.readers),
        ),
        library_versions=dict(manifest.library_versions),
        max_body_bytes=max_body_bytes,
    )
