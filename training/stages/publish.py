"""Stage publish: write the artifact, test it as a service would, and make it the current version.

Reads the model, the decisions, the figures and the report. A smaller network for CPUs is published with it if its
out-of-fold answers are right nearly as often (`distill.largest_loss`); the hold-out has no say. Writes the artifact
below `publish.models` and, in the run, `publish/published.json` with its name and version.
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

from samx.artifact import read_artifact, set_current, write_artifact
from samx.classifier import Classifier, load_classifier
from samx.cores import available_cores
from samx.engine import OnnxEngine, Precision
from samx.errors import VersionExists
from samx.golden import make_golden
from samx.manifest import ENGINE, GOLDEN, STUDENT, WEIGHTS, ModelSpec, Provenance
from samx.phantom import phantom_radiograph
from samx.storage import open_storage
from samx.torch_engine import load_network
from training.compiled_engine import agreement, export, quantize
from training.dataset import load_dataset
from training.model import Which, answers_of, model_classifier, model_spec, model_tensors, networks
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
    student = _student(run, metrics)
    classifier = model_classifier(run)
    on_cpu = classifier if student is None else model_classifier(run, "student")
    # Golden radiographs are synthetic, so that no patient's image leaves the run.
    golden = [phantom_radiograph(label=label, seed=seed) for seed, label in enumerate(_GOLDEN_LABELS)]
    compiled = _compiled_classifier(run, "reference" if student is None else "student", on_cpu, golden, metrics)
    files = {
        WEIGHTS: safetensors.torch.save(model_tensors(run)),
        GOLDEN: make_golden(classifier, golden, compiled and compiled[1], student=on_cpu if student else None),
        "metrics.json": (json.dumps(metrics, indent=2, sort_keys=True) + "\n").encode(),
        CLUSTER_LABELS: run.read(CLUSTER_LABELS),
        "MODEL_CARD.md": model_card(config.name, spec, provenance, metrics, student).encode(),
        "report.html": run.read("report/artifact.html"),
        "pretraining.png": run.read("pretrain/history.png"),
    }
    if student:
        files[STUDENT] = safetensors.torch.save(model_tensors(run, "student"))
    if compiled:
        files[ENGINE] = compiled[0]
    for picture in ("confusion.png", "reliability.png"):
        if run.storage.exists(f"evaluate/{picture}"):
            files[picture] = run.read(f"evaluate/{picture}")
    specs = [one.model_dump_json().encode() for one in (spec, student) if one]
    version = config.version or _content_version(b"".join(specs), files)
    models = open_storage(config.models)
    try:
        write_artifact(
            models,
            name=config.name,
            version=version,
            model=spec,
            cpu_model=student,
            provenance=provenance,
            files=files,
        )
    except VersionExists:
        # An interrupted publication of this very run is completed; anybody else's stays as it is.
        published = read_artifact(models.child(f"{config.name}/{version}"))
        if published.manifest.provenance.source != provenance.source or published.files != files:
            raise
    url = f"{config.models}/{config.name}/{version}"
    # Refuses what a service would refuse, before anybody is pointed to it.
    load_classifier(url, device=str(run.device), compiled=False)
    if ENGINE in files or student:
        served, _ = load_classifier(url)
        assert served.spec == (student or spec)
        assert ENGINE not in files or served.engine.name == f"onnxruntime {metrics['engine']['published']}"
    set_current(models, name=config.name, version=version)
    run.write_json("publish/published.json", {"name": config.name, "version": version})
    logger.info("publish: %s", url)


def _student(run: Run, metrics: dict[str, Any]) -> ModelSpec | None:
    """The smaller network for CPUs, if there is one that may be published; its figures go into the metrics."""
    if "student" not in networks(run):
        return None
    summary = run.read_json("distill/summary.json")
    metrics["student"] = {
        **summary,
        "published": summary["is_accepted"],
        "cross_validation": run.read_json("distill/metrics.json"),
        "holdout": run.read_json("evaluate/student/metrics.json"),
        "against_reference": run.read_json("evaluate/student/against_reference.json"),
    }
    if not summary["is_accepted"]:
        logger.warning(
            "publish: the %s for CPUs is left out: %.4f of the out-of-fold answers are lost with it, largest_loss in "
            "[distill] allows %.4f. Give it more epochs or initial weights, or allow more",
            *(summary[name] for name in ("backbone", "loss", "largest_loss")),
        )
        return None
    return model_spec(run, "student")


def _compiled_classifier(
    run: Run, which: Which, reference: Classifier, golden: Sequence[bytes], metrics: dict[str, Any]
) -> tuple[bytes, Classifier] | None:
    """The best compiled engine whose answers are torch's, and a classifier with it; says so in the metrics.

    Args:
        run: holds the weights.
        which: network is compiled.
        reference: the same network, answering by torch.
        golden: files.
        metrics: get `engine`.
    """
    wanted = run.config.publish.engine
    metrics["engine"] = {"published": "none", "candidates": {}}
    if wanted == "none":
        return None
    holdout = load_dataset(run, "holdout_internal", "holdout_external").images_NHW.numpy()
    images = [*holdout, *(reference.read(data)[1] for data in golden)]
    answers = answers_of(reference, images)
    tensors = {key: value.cpu().numpy() for key, value in model_tensors(run, which).items()}
    for precision, model in _candidates(run, which, wanted):
        compiled = Classifier(reference.spec, OnnxEngine(model, available_cores()), tensors)
        found = agreement(answers, answers_of(compiled, images))
        metrics["engine"]["candidates"][precision] = {**asdict(found), "accepted": found.is_accepted}
        logger.info("publish: compiled engine in %s: %s, accepted: %s", precision, found, found.is_accepted)
        if found.is_accepted:
            metrics["engine"]["published"] = precision
            return model, compiled
    logger.warning("publish: no compiled engine gives the reference's answers: the service will have to use torch")
    return None


def _candidates(run: Run, which: Which, wanted: Precision) -> Iterator[tuple[Precision, bytes]]:
    """The compiled engines to try, the quickest first."""
    network = load_network(model_spec(run, which), model_tensors(run, which))
    exported = export(network.eval(), run.config.preprocessing.size)
    if wanted == "int8":
        development = load_dataset(run, "development").images_NHW.numpy()
        chosen = np.linspace(0, len(development) - 1, min(_NUM_CALIBRATION, len(development))).astype(int)
        yield "int8", quantize(exported, development[chosen])
    yield "fp32", exported


def _content_version(specs: bytes, files: dict[str, bytes]) -> str:
    digest = hashlib.sha256(specs)
    for name, content in sorted(files.items()):
        digest.update(name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]
