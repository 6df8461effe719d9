"""The served model: an artifact's classifier, and the answers made from its predictions."""

import base64
import json
import logging
import re
from typing import Any

import numpy as np
import torch

from samx.anatomy import ANATOMY, label_of_body_part, tag_agrees
from samx.artifact import ClassEntry, Manifest, resolve
from samx.classifier import Classifier, Prediction, load_classifier
from samx.errors import RadiographError
from samx.grad_cam import overlay, to_png
from samx.preprocessing import fit, in_square
from samx.radiograph import Radiograph
from samx.storage import open_storage
from service.problems import ProblemError, problem_of, traceback_without_values
from service.schemas import (
    Classification,
    ConceptCode,
    HeatMap,
    ModelClass,
    ModelDescription,
    ModelName,
    ModelProvenance,
    RadiographFacts,
    RankedClass,
    Tag,
)
from service.settings import Settings
from service.upload import Upload

DEFAULT_TOP_K = 3

logger = logging.getLogger("samx.service")


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
    ) -> None:
        self.url = url
        self._classifier = classifier
        self._spec = manifest.model
        self._name = ModelName(name=manifest.name, version=manifest.version)
        self._classes = {entry.label: _class_of(entry) for entry in manifest.model.classes}
        self.title = f"{manifest.name} {manifest.version}"
        self.description = _description(manifest, list(self._classes.values()), metrics, max_body_bytes)

    def warm_up(self) -> None:
        """Make the first request as quick as the later ones."""
        size = self._spec.preprocessing.size
        self._classifier.classify([np.zeros((size, size), np.uint8)], grad_cam=True)

    def answer(self, upload: Upload) -> bytes:
        """The JSON of a `Classification`.

        Raises:
            ProblemError: 400 top_k is too large; 413, 415 or 422 the file cannot be used.
        """
        num_classes = len(self._classes)
        top_k = min(DEFAULT_TOP_K, num_classes) if upload.parameters.top_k is None else upload.parameters.top_k
        if top_k > num_classes:
            raise ProblemError(400, "invalid_top_k", f"top_k is {top_k}; this model has {num_classes} classes.")
        try:
            radiograph, image = self._classifier.read(upload.data)
        except RadiographError as error:
            raise problem_of(error) from None
        except Exception as error:  # the border: a client's bytes must never end in a 500
            logger.error("A file made the reader fail unexpectedly: %s", traceback_without_values(error))
            raise ProblemError(422, "unreadable", "The file cannot be read as a radiograph.") from None
        (prediction,) = self._classifier.classify([image], grad_cam=upload.parameters.grad_cam)
        answer = Classification(
            model=self._name,
            decision=prediction.decision,
            classes=[
                RankedClass(**self._classes[label].model_dump(), probability=min(probability, 1.0))
                for label, probability in prediction.ranked(top_k)
            ],
            out_of_scope_score=prediction.out_of_scope_score,
            tag=tag_of(prediction.label, radiograph.attributes.body_part_examined),
            radiograph=RadiographFacts(
                format=radiograph.format,
                rows=radiograph.rows,
                columns=radiograph.columns,
                was_negative=radiograph.was_negative,
            ),
            grad_cam=self._heat_map(radiograph, prediction),
        )
        return answer.model_dump_json().encode()

    def _heat_map(self, radiograph: Radiograph, prediction: Prediction) -> HeatMap | None:
        """The heat map over the field the network saw, in the finest resolution at hand and not equalised: for eyes."""
        if prediction.heat is None:
            return None
        size = min(self._spec.preprocessing.working_size, 1024)
        image = in_square(fit(radiograph.pixels, size), size)
        return HeatMap(
            label=prediction.label,
            width=image.shape[1],
            height=image.shape[0],
            overlay_png_base64=base64.b64encode(to_png(overlay(image, prediction.heat))).decode(),
            image_png_base64=base64.b64encode(to_png(image)).decode(),
        )


def load_model(settings: Settings) -> Model:
    """Load the artifact that the settings name, and test it.

    Raises:
        ArtifactError: nothing there, corrupt, incompatible, or its golden radiographs get other answers.
        StorageError: the place cannot be reached.
    """
    torch.set_num_threads(settings.torch_threads)
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = resolve(open_storage(settings.artifact))  # once: the current version may change meanwhile
    classifier, manifest = load_classifier(folder.url, device=device)
    metrics = json.loads(folder.read("metrics.json")) if "metrics.json" in manifest.files else None
    return Model(classifier, manifest, url=folder.url, metrics=metrics, max_body_bytes=settings.max_body_bytes)


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


def without_secrets(text: str) -> str:
    """A text without what URLs in it may carry: user names, passwords, signatures."""
    return re.sub(r"[?#]\S*", "", re.sub(r"(?<=://)[^/@\s]+@", "", text))


def _class_of(entry: ClassEntry) -> ModelClass:
    return ModelClass(
        label=entry.label,
        body_part_examined=entry.body_part_examined or None,
        code=ConceptCode(value=entry.code_value, meaning=entry.code_meaning) if entry.code_value else None,
    )


def _description(
    manifest: Manifest, classes: list[ModelClass], metrics: dict[str, Any] | None, max_body_bytes: int
) -> ModelDescription:
    spec, provenance = manifest.model, manifest.provenance
    public = provenance.model_dump(exclude={"readers", "source", "initial_weights"})
    return ModelDescription(
        name=manifest.name,
        version=manifest.version,
        classes=classes,
        backbone=spec.architecture.backbone,
        preprocessing=spec.preprocessing.model_dump(mode="json"),
        temperature=spec.temperature,
        review_threshold=spec.review_threshold,
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
