"""Phase 1 learns, notices when it does not, and continues where it was."""

import math
from pathlib import Path

import pytest
import torch

from samx.errors import Interrupted, SamxError
from samx.network import ArchitectureConfig, Network
from tests.training.small_run import small_config
from tests.training.test_finetuning import stripes
from training.augmentation import AugmentationConfig
from training.config import PretrainConfig
from training.deep_clustering import contrastive_loss, train
from training.run import Run

CONFIG = PretrainConfig(num_prototypes=6, epochs=4, batch_size=16, projection_dim=16)


def start(folder: Path) -> tuple[Run, Network, torch.Tensor]:
    torch.manual_seed(0)
    return Run(small_config(folder, folder)), Network(ArchitectureConfig(backbone="resnet18_slim"), 0), stripes(48)[0]


def test_the_loss_falls_and_every_epoch_is_a_row(tmp_path: Path) -> None:
    run, network, images = start(tmp_path)
    history = train(run, network, images, CONFIG, AugmentationConfig())
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert history[-1]["loss"] < history[0]["loss"]
    assert 0 < history[-1]["assignment_stability_nmi"] <= 1


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    run, network, images = start(tmp_path / "whole")
    train(run, network, images, CONFIG, AugmentationConfig())

    class StoppingRun(Run):
        def check_stop(self) -> None:
            raise Interrupted

    _, again, _ = start(tmp_path / "parts")
    config = small_config(tmp_path / "parts", tmp_path / "parts")
    for _ in range(2):
        with pytest.raises(Interrupted):
            train(StoppingRun(config), again, images, CONFIG, AugmentationConfig())
        torch.manual_seed(99)
        again = Network(ArchitectureConfig(backbone="resnet18_slim"), 0)  # as a new process would
    history = train(Run(config), again, images, CONFIG, AugmentationConfig())
    assert len(history) == 4
    for key, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_learning_nothing_stops_the_run(tmp_path: Path) -> None:
    """At a vanishing learning rate the loss stays that of guessing."""
    run, network, images = start(tmp_path)
    config = PretrainConfig(
        num_prototypes=6, epochs=12, batch_size=16, learning_rate=1e-12, temperature=100.0, contrast_weight=0.0
    )
    with pytest.raises(SamxError, match="phase 1 learns nothing: after 5 epochs"):
        train(run, network, images, config, AugmentationConfig())


def test_a_loss_that_is_not_finite_names_epoch_and_step(tmp_path: Path) -> None:
    run, network, images = start(tmp_path)
    with torch.no_grad():
        next(network.parameters())[0] = math.nan
    config = PretrainConfig(num_prototypes=6, epochs=1, batch_size=16, hog_weight=0.0)
    with pytest.raises(SamxError, match=r"phase 1, epoch 0, step 0: .*not finite"):
        train(run, network, images, config, AugmentationConfig())


def test_contrastive_loss_by_hand() -> None:
    """Two radiographs whose views coincide and are orthogonal to the other's: one right answer among three."""
    views = torch.eye(2).repeat(2, 1)
    assert float(contrastive_loss(views, 1.0)) == pytest.approx(math.log(math.e + 2) - 1)
    assert float(contrastive_loss(torch.ones(4, 1), 1.0)) == pytest.approx(math.log(3))
