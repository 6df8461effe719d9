"""A small run: everything of the job on a handful of synthetic radiographs."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from samx.network import Network
from samx.phantom import EXTERNAL_SITE
from samx.preprocessing import PreprocessingConfig
from training.config import (
    ArchitectureConfig,
    ClusterConfig,
    EvaluateConfig,
    FinetuneConfig,
    IndexConfig,
    LabelConfig,
    PretrainConfig,
    PublishConfig,
    SimulatedReaderConfig,
    SplitConfig,
    TrainingConfig,
)
from training.run import Run

NOT_MUSCULOSKELETAL = ("chest", "abdomen", "dental_panoramic", "ct_slice", "photographed_page", "blank_exposure")


def small_config(export: Path, folder: str | Path, **changes: Any) -> TrainingConfig:
    """A job over `export` in `folder`, a path or an s3:// URL; seconds on one core."""
    config = TrainingConfig(
        source=str(export / "radiographs"),
        run=f"{folder}/run",
        seed=1,
        device="cpu",
        preprocessing=PreprocessingConfig(size=32, working_size=64),
        architecture=ArchitectureConfig(backbone="resnet18_slim"),
        index=IndexConfig(shard_size=16, num_workers=1),
        split=SplitConfig(external_sites=(EXTERNAL_SITE,), holdout_fraction=0.2, num_folds=2),
        pretrain=PretrainConfig(num_prototypes=8, epochs=2, batch_size=16, projection_dim=16),
        cluster=ClusterConfig(num_clusters=24, pca_dim=16, sheet_columns=4),
        label=LabelConfig(
            simulated_reader=SimulatedReaderConfig(
                truth=str(export / "truth.csv"),
                not_musculoskeletal=NOT_MUSCULOSKELETAL,
                view_column="view",
                laterality_column="laterality",
            ),
            trusted_attributes=("laterality",),
            smallest_value=4,
        ),
        finetune=FinetuneConfig(epochs=2, batch_size=16),
        evaluate=EvaluateConfig(resamples=200, num_foreign=6),
        publish=PublishConfig(models=f"{folder}/models", name="small", engine="none"),  # whose export takes seconds
    )
    return config.model_copy(update=changes)


def pretrained_run(folder: Path) -> Run:
    """A run whose phase 1 ended with random weights."""
    run = Run(small_config(folder, folder))
    torch.manual_seed(3)
    network = Network(run.config.architecture, 0)
    run.write("pretrain/weights.safetensors", safetensors.torch.save(network.state_dict()))
    return run


def to_toml(config: TrainingConfig) -> str:
    """The configuration as a file."""
    lines = []
    dumped = config.model_dump(mode="json", exclude_defaults=True)
    reader = dumped.get("label", {}).pop("simulated_reader", None)
    for key, value in dumped.items():
        if not isinstance(value, dict):
            lines.append(f"{key} = {json.dumps(value)}")
    for name, section in [*dumped.items(), ("label.simulated_reader", reader)]:
        if isinstance(section, dict):
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    return "\n".join(lines) + "\n"
