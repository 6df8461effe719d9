"""The training job: the stages in their order, and the gate at which it waits for the reader."""

import logging

from training import distribution
from training.config import TrainingConfig
from training.dataset import current_assignments
from training.labels import num_undecided
from training.report.facts import FIELDS as REPORTED
from training.run import CLUSTER_LABELS, CLUSTER_MEMBERS, CORRECTIONS, RADIOGRAPH_LABELS, Run, Stage, read_table
from training.stages.cluster import cluster
from training.stages.cross_validate import cross_validate
from training.stages.distill import distill
from training.stages.evaluate import evaluate
from training.stages.explain import explain
from training.stages.finetune import finetune
from training.stages.index import index
from training.stages.label import label
from training.stages.pretrain import pretrain
from training.stages.publish import publish
from training.stages.report import report
from training.stages.split import split

logger = logging.getLogger(__name__)

_NETWORK = ("seed", "architecture", "preprocessing")
DECISIONS = (CLUSTER_LABELS, CLUSTER_MEMBERS, CORRECTIONS)
_MODEL = ("label", "finetune", "cross_validate", "distill")

STAGES = (
    Stage("index", index, sections=("source", "preprocessing", "index"), reads=()),
    Stage("split", split, sections=("seed", "split"), reads=("index",)),
    Stage("pretrain", pretrain, (*_NETWORK, "augmentation", "pretrain"), ("index", "split"), is_distributed=True),
    Stage("cluster", cluster, ("seed", "architecture", "cluster"), ("index", "split", "pretrain"), is_distributed=True),
    # Here a person names the clusters.
    Stage("label", label, ("seed", "label"), ("index", "split", "cluster"), decisions=DECISIONS),
    Stage("finetune", finetune, (*_NETWORK, "augmentation", "finetune"), reads=("index", "split", "pretrain", "label")),
    Stage(
        "cross_validate",
        cross_validate,
        sections=(*_NETWORK, "augmentation", "finetune", "cross_validate"),
        reads=("index", "split", "pretrain", "label"),
        decisions=(RADIOGRAPH_LABELS,),
        is_distributed=True,
    ),
    Stage(
        "distill",
        distill,
        sections=(*_NETWORK, "augmentation", "finetune", "cross_validate", "distill"),
        reads=("index", "split", "label", "finetune", "cross_validate"),
        decisions=(RADIOGRAPH_LABELS,),
        is_distributed=True,
    ),
    Stage("evaluate", evaluate, (*_NETWORK, "evaluate"), ("index", "split", *_MODEL), decisions=(RADIOGRAPH_LABELS,)),
    Stage("explain", explain, _NETWORK, reads=("index", "split", *_MODEL, "evaluate")),
    Stage(
        "report",
        report,
        sections=REPORTED,
        reads=("index", "split", "pretrain", "cluster", *_MODEL, "evaluate", "explain"),
    ),
    Stage("publish", publish, ("seed", "publish"), reads=("pretrain", "cluster", *_MODEL, "evaluate", "report")),
)


def run_stage(config: TrainingConfig, name: str) -> None:
    """Run one stage alone.

    Raises:
        SamxError: see the stage.
    """
    run = Run(config)
    (stage,) = (stage for stage in STAGES if stage.name == name)
    with run.stopping_on_signals():
        run.execute(stage)


def run_all(config: TrainingConfig, *, again_from: str | None = None) -> str:
    """Run every stage that is not done; returns `published`, or `awaiting labels` where a reader has to decide first.

    Args:
        config: of the job.
        again_from: a stage that is done again with all after it, with what has changed meanwhile; for example `label`
            after another round of reading. What people wrote stays, and so do the versions published before.

    Raises:
        SamxError: see the stages.
    """
    run = Run(config)
    names = [stage.name for stage in STAGES]
    with run.stopping_on_signals():
        if again_from is not None:
            for name in reversed(names[names.index(again_from) :]):
                distribution.on_first_rank(lambda name=name: run.forget(name))  # type: ignore[misc]
        for stage in STAGES:
            if stage.name == "label" and distribution.on_first_rank(lambda: _awaits_labels(run)):
                return "awaiting labels"
            run.execute(stage)
            run.check_stop_of_any_rank()
    return "published"


def _awaits_labels(run: Run) -> bool:
    if run.config.label.simulated_reader is not None:
        return False
    clusters = set(current_assignments(run.storage).values())
    left = num_undecided(read_table(run.storage, CLUSTER_LABELS), clusters)
    if left:
        logger.info("%d of %d clusters have no name yet", left, len(clusters))
    return left > 0
