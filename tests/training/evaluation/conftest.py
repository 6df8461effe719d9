"""A small run that has been evaluated, for whatever is said of answers."""

from pathlib import Path

import pytest

from samx.phantom import export_phantom
from tests.training.small_run import small_config
from training.config import ClusterConfig, CrossValidateConfig, FinetuneConfig, TrainingConfig
from training.job import run_all


@pytest.fixture(scope="session")
def few_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 synthetic radiographs, most of them of five labels, so that something can be learned; never write into it."""
    folder = tmp_path_factory.mktemp("few-labels")
    export_phantom(folder, num_radiographs=120, seed=5, size=64, workers=1, imbalance=300)
    return folder


def answering_config(export: Path, folder: Path, **changes: object) -> TrainingConfig:
    """Small, but it gets about half of the hold-out right and accepts some of it."""
    learning = {
        "cluster": ClusterConfig(num_clusters=16, pca_dim=16, sheet_columns=4),
        "finetune": FinetuneConfig(epochs=8, batch_size=16, learning_rate=1e-3),
        "cross_validate": CrossValidateConfig(accepted_precision=0.6),
    }
    return small_config(export, folder, **{**learning, **changes})


@pytest.fixture(scope="session")
def evaluated(few_labels: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """Published; never write into it."""
    config = answering_config(few_labels, tmp_path_factory.mktemp("evaluated"))
    assert run_all(config) == "published"
    return config
