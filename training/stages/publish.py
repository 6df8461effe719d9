"""Stage publish: write the artifact, test it as a service would, and make it the current version.

Reads the model, the decisions and the figures. Writes the artifact below `publish.models` and, in the run,
`publish/published.json` with its name and version.
"""

import hashlib
import json
import logging
from datetime import UTC, datetime

import safetensors.torch

from samx.artifact import GOLDEN, WEIGHTS, Provenance, read_artifact, set_current, write_artifact
from samx.classifier import load_classifier, make_golden
from samx.errors import VersionExists
from samx.phantom import phantom_radiograph
from samx.storage import open_storage
from training.model import model_classifier, model_spec, model_tensors
from training.model_card import model_card
from training.run import CLUSTER_LABELS, Run

logger = logging.getLogger(__name__)

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
    metrics = {
        "clusters": clusters,
        "cross_validation": run.read_json("cross_validate/metrics.json"),
        "holdout": run.read_json("evaluate/metrics.json"),
    }
    # Golden radiographs are synthetic, so that no patient's image leaves the run.
    golden = [phantom_radiograph(label=label, seed=seed) for seed, label in enumerate(_GOLDEN_LABELS)]
    files = {
        WEIGHTS: safetensors.torch.save(model_tensors(run)),
        GOLDEN: make_golden(model_classifier(run), golden),
        "metrics.json": (json.dumps(metrics, indent=2, sort_keys=True) + "\n").encode(),
        CLUSTER_LABELS: run.read(CLUSTER_LABELS),
        "MODEL_CARD.md": model_card(config.name, spec, provenance, metrics).encode(),
        "pretraining.png": run.read("pretrain/history.png"),
    }
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
    load_classifier(url, device=str(run.device))  # refuses what a service would refuse, before anybody is pointed to it
    set_current(models, name=config.name, version=version)
    run.write_json("publish/published.json", {"name": config.name, "version": version})
    logger.info("publish: %s", url)


def _content_version(spec: bytes, files: dict[str, bytes]) -> str:
    digest = hashlib.sha256(spec)
    for name, content in sorted(files.items()):
        digest.update(name.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]
