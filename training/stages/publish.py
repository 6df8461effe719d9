"""Stage publish: write the artifact, test it as a service would, and make it the current version.

Reads the model, the decisions, the figures and the report. Writes the artifact below `publish.models` and, in the run,
`publish/published.json` with its name and version.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import safetensors.torch

from samx.artifact import ENGINE, GOLDEN, WEIGHTS, Provenance, read_artifact, set_current, write_artifact
from samx.classifier import Classifier, load_classifier, make_golden
from samx.cores import available_cores
from samx.engine import OnnxEngine, Precision
from samx.errors import VersionExists
from samx.network import Network
from samx.phantom import phantom_radiograph
from samx.storage import open_storage
from training.compiled_engine import agreement, export, quantize
from training.dataset import load_dataset
from training.model import answers_of, model_classifier, model_spec, model_tensors
from training.model_card import model_card
from training.run import CLUSTER_LABELS, Run

logger = logging.getLogger(__name__)

_NUM_CALIBRATION = 128
"""Radiographs of the development set that show which ranges activations take."""
_GOLDEN_LABELS = ("hand", "knee", "lumbar_spine", "shoulder", "foot", "pelvis")


def publish(run: Run) -> None:
    """Publish the run's model.

    Raises:
        VersionExists: the configured version is published already, by another run.
    """
    config = run.config.publish
    clusters = run.read_json("label/summary.json")
    spec = model_spec(run)
    provenance = Provenance(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        source=run.storage.url,
        configuration_sha256=run.config.sha256(),
        num_radiographs=clusters["num_radiographs"],
        num_clusters=run.config.cluster.num_clusters,
        num_decisions=clusters["num_decisions"],
        readers=tuple(clusters["readers"]),
        seed=run.config.seed,
        initial_weights=run.read_json("pretrain/initial_weights.json")["text"],
    )
    metrics: dict[str, Any] = {
        "clusters": clusters,
        "cross_validation": run.read_json("cross_validate/metrics.json"),
        "holdout": run.read_json("evaluate/metrics.json"),
    }
    classifier = model_classifier(run)
    # Golden radiographs are synthetic, so that no patient's image leaves the run.
    golden = [phantom_radiograph(label=label, seed=seed) for seed, label in enumerate(_GOLDEN_LABELS)]
    compiled = _compiled_classifier(run, classifier, golden, metrics)
    files = {
        WEIGHTS: safetensors.torch.save(model_tensors(run)),
        GOLDEN: make_golden(classifier, golden, compiled and compiled[1]),
        "metrics.json": (json.dumps(metrics, indent=2, sort_keys=True) + "\n").encode(),
        CLUSTER_LABELS: run.read(CLUSTER_LABELS),
        "MODEL_CARD.md": model_card(config.name, spec, provenance, metrics).encode(),
        "report.html": run.read("report/artifact.html"),
        "pretraining.png": run.read("pretrain/history.png"),
    }
    if compiled:
        files[ENGINE] = compiled[0]
    for picture in ("confusion.png", "reliability.png"):
        if run.storage.exists(f"evaluate/{picture}"):
            files[picture] = run.read(f"evaluate/{picture}")
    version = config.version or _content_version(spec.model_dump_json().encode(), files)
    models = open_storage(config.models)
    try:
        write_artifact(models, name=config.name, version=version, model=spec, provenance=provenance, files=files)
    except VersionExists:
        # An interrupted publication of this very run is completed; anybody else's stays as it is.
        published = read_artifact(models.child(f"{config.name}/{version}"))
        if published.manifest.provenance.source != provenance.source or published.files != files:
            raise
    url = f"{config.models}/{config.name}/{version}"
    # Refuses what a service would refuse, before anybody is pointed to it.
    load_classifier(url, device=str(run.device), compiled=False)
    if ENGINE in files:
        assert load_classifier(url)[0].engine.precision == metrics["engine"]["published"]
    set_current(models, name=config.name, version=version)
    run.write_json("publish/published.json", {"name": config.name, "version": version})
    logger.info("publish: %s", url)


def _compiled_classifier(
    run: Run, reference: Classifier, golden: Sequence[bytes], metrics: dict[str, Any]
) -> tuple[bytes, Classifier] | None:
    """The best compiled engine whose answers are the reference's, and a classifier with it; says so in the metrics."""
    wanted = run.config.publish.engine
    metrics["engine"] = {"published": "none", "candidates": {}}
    if wanted == "none":
        return None
    holdout = load_dataset(run, "holdout_internal", "holdout_external").images_NHW.numpy()
    images = [*holdout, *(reference.read(data)[1] for data in golden)]
    answers = answers_of(reference, images)
    tensors = {key: value.cpu().numpy() for key, value in model_tensors(run).items()}
    for precision, model in _candidates(run, wanted):
        compiled = Classifier(reference.spec, OnnxEngine(model, available_cores()), tensors)
        found = agreement(answers, answers_of(compiled, images))
        metrics["engine"]["candidates"][precision] = {**asdict(found), "accepted": found.is_accepted}
        logger.info("publish: compiled engine in %s: %s, accepted: %s", precision, found, found.is_accepted)
        if found.is_accepted:
            metrics["engine"]["published"] = precision
            return model, compiled
    logger.warning("publish: no compiled engine gives the reference's answers: the service will have to use torch")
    return None


def _candidates(run: Run, wanted: Precision) -> Iterator[tuple[Precision, bytes]]:
    """The compiled engines to try, the quickest first."""
    network = Network(run.config.architecture, len(model_spec(run).classes))
    network.load_state_dict({key: value for key, value in model_tensors(run).items() if not key.startswith("scope.")})
    exported = export(network.eval(), run.config.preprocessing.size)
    if wanted == "int8":
        development = load_dataset(run, "development").images_NHW.numpy()
        chosen = np.linspace(0, len(development) - 1, min(_NUM_CALIBRATION, len(development))).astype(int)
        yield "int8", quantize(exported, development[chosen])
    yield "fp32", exported


def _content_version(spec: bytes, files: dict[str, bytes]) -> str:
    digest = hashlib.sha256(spec)
    for name, content in sorted(files.items()):
        digest.update(name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]
