"""A student learns a teacher's answers, from radiographs that nobody has labelled."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from samx.manifest import AttributeName
from samx.network import CLASS_HEAD, Network, to_input
from tests.training.small_run import small_config
from tests.training.test_finetuning import stripes
from training.attribute_labels import AttributeTargets
from training.augmentation import AugmentationConfig
from training.config import DistillConfig, FinetuneConfig
from training.distillation import distill, distillation_loss, untaught_student
from training.finetuning import finetune
from training.run import Run

MILD = AugmentationConfig(rotation_degrees=5, inversion=0)
CONFIG = DistillConfig(backbone="resnet18_slim", epochs=8, batch_size=16)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(small_config(tmp_path, tmp_path))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Tells three kinds of stripes apart."""
    folder = tmp_path_factory.mktemp("teacher")
    run = Run(small_config(folder, folder))
    images, targets = stripes(48)
    attributes: dict[AttributeName, AttributeTargets] = {"view": AttributeTargets(2, targets % 2)}
    torch.manual_seed(0)
    network, _ = finetune(
        run, Network(run.config.architecture, 3, {"view": 2}), images, targets, name="teacher", augmentation=MILD,
        config=FinetuneConfig(epochs=6, batch_size=16, learning_rate=2e-3), attributes=attributes,
    )  # fmt: skip
    return network


def answers(network: Network, images: torch.Tensor, head: str = CLASS_HEAD) -> torch.Tensor:
    with torch.inference_mode():
        return network.all_logits(to_input(images))[head].argmax(1)


def test_the_loss_is_the_divergence_of_softened_answers_times_the_temperature_squared() -> None:
    generator = np.random.default_rng(0)
    student, teacher, temperature = generator.normal(size=(5, 4)), generator.normal(size=(5, 4)), 3.0
    p, q = (np.exp(logits / temperature) for logits in (teacher, student))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    expected = temperature**2 * (p * np.log(p / q)).sum(1).mean()
    found = distillation_loss(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_equal_answers_cost_nothing_whatever_is_added_to_all_logits() -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    assert float(distillation_loss(logits + 7, logits, 2.0)) == pytest.approx(0, abs=1e-6)
    assert float(distillation_loss(logits.flip(1), logits, 2.0)) > 0.1


def test_a_student_gives_the_teacher_s_answers_to_new_images(run: Run, teacher: Network) -> None:
    images, _ = stripes(120)
    before = copy.deepcopy(teacher.state_dict())
    student, _ = untaught_student(CONFIG, teacher, seed=1)
    assert (answers(student.eval(), images[60:]) == answers(teacher, images[60:])).float().mean() < 0.7
    student, history = distill(run, teacher, student, images[:60], name="s", config=CONFIG, augmentation=MILD)
    assert (answers(student, images[60:]) == answers(teacher, images[60:])).float().mean() > 0.9
    assert (answers(student, images[60:], "view") == answers(teacher, images[60:], "view")).float().mean() > 0.9
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert not student.training
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())


def test_the_same_run_gives_the_same_student(run: Run, teacher: Network) -> None:
    images, _ = stripes(24)
    config = CONFIG.model_copy(update={"epochs": 2})
    first, second = (
        distill(run, teacher, untaught_student(config, teacher, seed=1)[0], images, name="s", config=config,
                augmentation=MILD)[0].state_dict()
        for _ in range(2)
    )  # fmt: skip
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_running_statistics_keep_up_with_a_short_training(teacher: Network) -> None:
    student, source = untaught_student(DistillConfig(backbone="mobilenet_v3_large"), teacher, seed=0)
    momenta = {module.momentum for module in student.modules() if isinstance(module, nn.BatchNorm2d)}
    assert momenta == {0.1}
    assert source == "random"
