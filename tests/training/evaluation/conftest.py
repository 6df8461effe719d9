"""A small run that has been evaluated, for whatever is said of answers."""

from pathlib import Path

import pytest

from samx.phantom import export_phantom
from samx.storage import open_storage
from tests.training.small_run import small_config
from training.attributes_table import ATTRIBUTE_COLUMNS
from training.config import (
    ArchitectureConfig,
    ClusterConfig,
    CrossValidateConfig,
    DistillConfig,
    FinetuneConfig,
    IndexConfig,
    PublishConfig,
    TrainingConfig,
)
from training.job import run_all
from training.run import read_table, table_bytes


@pytest.fixture(scope="session")
def few_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 synthetic radiographs, most of them of five labels, so that something can be learned; never write into it."""
    folder = tmp_path_factory.mktemp("few-labels")
    export_phantom(folder, num_radiographs=120, seed=5, size=64, workers=1, imbalance=300)
    rows = [
        dict.fromkeys(ATTRIBUTE_COLUMNS, "") | {"key": row["key"], "implant": "yes" if row["implant"] == "1" else "no"}
        for row in read_table(open_storage(folder), "truth.csv")
    ]
    (folder / "implants.csv").write_bytes(table_bytes(rows, ATTRIBUTE_COLUMNS))
    return folder


def answering_config(export: Path, folder: Path, **changes: object) -> TrainingConfig:
    """Small, but it gets about half of the hold-out right and accepts some of it."""
    learning = {
        "index": IndexConfig(shard_size=16, num_workers=1, attributes=str(export / "implants.csv")),
        "cluster": ClusterConfig(num_clusters=16, pca_dim=16, sheet_columns=4),
        "finetune": FinetuneConfig(epochs=8, batch_size=16, learning_rate=1e-3),
        "cross_validate": CrossValidateConfig(accepted_precision=0.75),
    }
    return small_config(export, folder, **{**learning, **changes})


@pytest.fixture(scope="session")
def evaluated(few_labels: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """Published; never write into it."""
    config = answering_config(few_labels, tmp_path_factory.mktemp("evaluated"))
    assert run_all(config) == "published"
    return config


LARGE = ArchitectureConfig(backbone="resnet18")


@pytest.fixture(scope="session")
def taught(few_labels: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """Published with a student, which loses what it likes; never write into it.

    Not a MobileNet: it learns nothing in so few steps.
    """
    folder = tmp_path_factory.mktemp("taught")
    distill = DistillConfig(backbone="resnet18_slim", epochs=12, batch_size=16, largest_loss=0.9)
    publish = PublishConfig(models=f"{folder}/models", name="small", engine="fp32")
    config = answering_config(few_labels, folder, distill=distill, publish=publish, architecture=LARGE)
    assert run_all(config) == "published"
    return config
