"""The job on two processes: the same result as on one, its exit codes, and nothing lost when it is stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from samx.architecture import ArchitectureConfig
from samx.network import Network
from samx.preprocessing import PreprocessingConfig
from tests.training.small_run import small_config, to_toml
from training.config import FinetuneConfig, PretrainConfig
from training.dataset import load_dataset
from training.job import run_stage
from training.loop import compute_features
from training.run import Run

pytestmark = pytest.mark.slow

PRETRAIN = PretrainConfig(num_prototypes=8, epochs=1, batch_size=8, projection_dim=16, precision="float64")
ONE_RANK = [sys.executable, "-m", "training"]
TWO_RANKS = [sys.executable, "-m", "training.launch", "--nproc-per-node=2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def job(export: Path, folder: Path, pretrain: PretrainConfig, **changes: Any) -> tuple[Run, list[str]]:
    """A run whose index and split are done, and the arguments of its phase 1."""
    config = small_config(export, folder, pretrain=pretrain, **changes)
    for stage in ("index", "split"):
        run_stage(config, stage)
    (folder / "training.toml").write_text(to_toml(config))
    return Run(config), ["pretrain", "--config", str(folder / "training.toml")]


def execute(command: list[str]) -> None:
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()


def weights(run: Run) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(run.read("pretrain/weights.safetensors"))


def test_two_processes_learn_what_one_learns(export: Path, tmp_path: Path) -> None:
    """Features within 1e-4 and equal assignments after an epoch with the same global batch.

    In float64: the optimizer turns rounding of a gradient near zero into a step of full length, and training amplifies
    that (see EXPERIMENTS.md for float32).
    """
    features, assignments = [], []
    larger = PRETRAIN.model_copy(update={"batch_size": 20})
    for name, start in (("one", ONE_RANK), ("two", TWO_RANKS)):
        run, arguments = job(
            export, tmp_path / name, larger, preprocessing=PreprocessingConfig(size=64, working_size=64)
        )
        execute([*start, *arguments])
        execute([*start, "cluster", *arguments[1:]])
        network = Network(ArchitectureConfig(backbone="resnet18_slim"), 0)
        network.load_state_dict(weights(run))
        images = load_dataset(run, "development").images_NHW
        features.append(compute_features(network.eval().features, images, torch.device("cpu"), precision="float32"))
        assignments.append([row["cluster_id"] for row in run.read_csv("cluster/assignments.csv")])
        assert json.loads(run.read("pretrain/history.jsonl"))["loss"] > 0
    assert features[0].std() > 0.05
    torch.testing.assert_close(features[1], features[0], atol=1e-4, rtol=0)
    assert np.mean([one == two for one, two in zip(*assignments, strict=True)]) >= 0.995


def test_two_processes_share_the_folds_and_one_trains_what_is_not_shared(export: Path, tmp_path: Path) -> None:
    """Bit for bit what one process leaves: a fold is trained by one rank alone."""
    whole = small_config(export, tmp_path / "one", finetune=FinetuneConfig(epochs=1, batch_size=8))
    for stage in ("index", "split", "pretrain", "cluster", "label"):
        run_stage(whole, stage)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    shared = small_config(export, tmp_path / "two", finetune=whole.finetune)
    for folder, config, start in (("one", whole, ONE_RANK), ("two", shared, TWO_RANKS)):
        (tmp_path / folder / "training.toml").write_text(to_toml(config))
        for stage in ("finetune", "cross_validate"):
            execute([*start, stage, "--config", str(tmp_path / folder / "training.toml")])
    for stage in ("finetune", "cross_validate"):
        one, two = (Run(config).read_json(f"done/{stage}.json")["outputs"] for config in (whole, shared))
        assert one == two
        assert len(one) > 1


def start_and_wait_for_steps(command: list[str], run: Run) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not run.storage.exists("pretrain/checkpoint.safetensors") and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def test_a_signal_stops_both_ranks_at_one_step_with_75_and_the_resumed_run_ends_the_same(
    export: Path, tmp_path: Path
) -> None:
    longer = PRETRAIN.model_copy(update={"epochs": 4, "precision": "float32"})
    whole, arguments = job(export, tmp_path / "whole", longer)
    execute([*TWO_RANKS, *arguments])
    run, arguments = job(export, tmp_path / "stopped", longer)
    process = start_and_wait_for_steps([*TWO_RANKS, *arguments], run)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors.decode()
    assert not run.is_done("pretrain")
    execute([*TWO_RANKS, *arguments])
    for key, value in weights(whole).items():
        assert torch.equal(value, weights(run)[key]), key


def test_a_killed_rank_ends_the_job_and_the_next_start_goes_on_from_the_checkpoint(
    export: Path, tmp_path: Path
) -> None:
    run, arguments = job(export, tmp_path, PRETRAIN.model_copy(update={"epochs": 15, "objective": "barlow_twins"}))
    process = start_and_wait_for_steps([*TWO_RANKS, *arguments], run)
    found = subprocess.run(
        ["pgrep", "--parent", str(process.pid), "--full", "training pretrain"], capture_output=True, check=True
    )
    ranks = [int(line) for line in found.stdout.split()]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    killed = time.monotonic()
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 1, errors.decode()
    assert time.monotonic() - killed < 60
    epochs_done = len(run.read("pretrain/history.jsonl").splitlines())
    process = subprocess.Popen([*TWO_RANKS, *arguments], env=ENVIRONMENT, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors.decode()
    assert 0 < epochs_done < 15
    assert f"{epochs_done}/15".encode() in errors, "it did not go on where it was"


@pytest.mark.parametrize(
    ("change", "message"),
    [({"batch_size": 7}, b"which 2 processes cannot share evenly"), ({"num_prototypes": 1}, b"num_prototypes")],
)
def test_wrong_input_is_exit_code_2_from_any_number_of_ranks(
    change: dict[str, int], message: bytes, export: Path, tmp_path: Path
) -> None:
    _, arguments = job(export, tmp_path, PRETRAIN.model_copy(update=change))
    done = subprocess.run([*TWO_RANKS, *arguments], env=ENVIRONMENT, capture_output=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr.decode()
    assert message in done.stderr
