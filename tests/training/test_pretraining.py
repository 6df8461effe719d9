"""Phase 1 learns with every objective, notices when it does not, and continues where it was."""

import json
import math
import random
from pathlib import Path
from typing import Literal

import pytest
import torch

from samx.architecture import ArchitectureConfig
from samx.errors import Interrupted, SamxError
from samx.network import Network
from tests.training.small_run import small_config
from tests.training.test_finetuning import stripes
from training.augmentation import AugmentationConfig
from training.config import PretrainConfig
from training.pretraining import HISTORY, train
from training.run import Run

CONFIG = PretrainConfig(num_prototypes=6, epochs=4, batch_size=16, projection_dim=16)
ROWS = [{"body_part_examined": "HAND" if i % 2 else "", "site": "A" if i % 3 else "B"} for i in range(48)]


def start(folder: Path) -> tuple[Run, Network, torch.Tensor]:
    torch.manual_seed(0)
    return Run(small_config(folder, folder)), Network(ArchitectureConfig(backbone="resnet18_slim"), 0), stripes(48)[0]


@pytest.mark.parametrize("objective", ["deep_clustering", "simclr", "barlow_twins"])
def test_the_loss_falls_and_every_epoch_is_a_row(
    objective: Literal["deep_clustering", "simclr", "barlow_twins"], tmp_path: Path
) -> None:
    run, network, images = start(tmp_path)
    config = CONFIG.model_copy(update={"objective": objective})
    history = train(run, network, images, ROWS, config, AugmentationConfig())
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[0]["assignment_stability_nmi"] is None
    assert 0 < history[-1]["assignment_stability_nmi"] <= 1
    assert [json.loads(line) for line in run.read(HISTORY).decode().splitlines()] == history


def test_a_row_tells_of_clusters_and_neighbours(tmp_path: Path) -> None:
    run, network, images = start(tmp_path)
    row = train(run, network, images, ROWS, CONFIG, AugmentationConfig())[-1]
    assert row["num_used"] + row["num_empty"] == 6
    assert 1 / 6 <= row["largest_share"] <= 1
    assert row["neighbours_of_same_tag"] is None, "there is but one tag"
    assert row["neighbours_of_same_site_by_chance"] == pytest.approx((1 / 3) ** 2 + (2 / 3) ** 2)
    assert 0 <= row["neighbours_of_same_site"] <= 1


@pytest.mark.parametrize("balance", [0.0, 0.5])
def test_stopped_at_random_steps_it_ends_with_the_same_weights(balance: float, tmp_path: Path) -> None:
    """Every process stops after one to four of the twelve steps, in the middle of epochs too."""
    config = CONFIG.model_copy(update={"balance": balance})
    run, network, images = start(tmp_path / "whole")
    whole = train(run, network, images, ROWS, config, AugmentationConfig())
    draw, starts = random.Random(7), 0

    class StoppingRun(Run):
        steps_left = 0

        def stop_requested(self) -> bool:
            self.steps_left -= 1
            return self.steps_left == 0

    while True:
        stopping = StoppingRun(small_config(tmp_path / "parts", tmp_path / "parts"))
        stopping.steps_left = draw.randint(1, 4)
        torch.manual_seed(99 + starts)  # another process knows nothing of the first one's random state
        again = Network(ArchitectureConfig(backbone="resnet18_slim"), 0)
        if starts == 0:
            _, again, _ = start(tmp_path / "parts")
        try:
            history = train(stopping, again, images, ROWS, config, AugmentationConfig())
            break
        except Interrupted:
            starts += 1
    assert starts > 3
    assert history == whole
    for key, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_learning_nothing_stops_the_run(tmp_path: Path) -> None:
    """At a vanishing learning rate the loss stays that of guessing."""
    run, network, images = start(tmp_path)
    config = PretrainConfig(
        num_prototypes=6, epochs=12, batch_size=16, learning_rate=1e-12, temperature=100.0, contrast_weight=0.0
    )
    with pytest.raises(SamxError, match="phase 1 learns nothing: after 5 epochs"):
        train(run, network, images, ROWS, config, AugmentationConfig())


def test_a_loss_that_is_not_finite_names_epoch_and_step(tmp_path: Path) -> None:
    run, network, images = start(tmp_path)
    with torch.no_grad():
        next(network.parameters())[0] = math.nan
    config = PretrainConfig(objective="simclr", num_prototypes=6, epochs=1, batch_size=16, hog_weight=0.0)
    with pytest.raises(SamxError, match=r"phase 1, epoch 0, step 0: .*not finite"):
        train(run, network, images, ROWS, config, AugmentationConfig())
