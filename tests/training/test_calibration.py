"""Temperature and review threshold."""

import pytest
import torch

from training.calibration import calibrate, fit_temperature, review_threshold
from training.config import CrossValidateConfig


def test_the_temperature_that_made_the_logits_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20000, 4, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).flatten().tolist()
    names = ["a", "b", "c", "d"]
    assert fit_temperature(3.0 * logits, [names[label] for label in labels], names) == pytest.approx(3.0, rel=0.05)


def test_labels_that_are_no_class_are_passed_over() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    with_stranger = fit_temperature(logits, ["a", "b", "stranger"], ["a", "b"])
    assert with_stranger == pytest.approx(fit_temperature(logits[:2], ["a", "b"], ["a", "b"]))
    assert fit_temperature(logits, ["stranger"] * 3, ["a", "b"]) == 1.0


def test_threshold_keeps_the_promised_precision() -> None:
    confidences = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    hits = torch.tensor([True, True, True, False, True])
    assert review_threshold(confidences, hits, 0.99) == pytest.approx(0.7)
    assert review_threshold(confidences, hits, 0.8) == pytest.approx(0.5)


def test_threshold_is_one_where_no_answer_can_be_trusted() -> None:
    assert review_threshold(torch.tensor([0.9, 0.8]), torch.tensor([False, False]), 0.9) == 1.0


def test_a_class_that_was_not_learned_says_nothing_about_temperature() -> None:
    logits = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * 2
    labels = [("a", "b", "c")[int(best)] for best in logits.argmax(1)]
    labels[::5] = ["b"] * 40
    unlearned = torch.tensor([[5.0, 1.0, -torch.inf]]).repeat(10, 1)
    both = torch.cat([logits, unlearned])
    alone = fit_temperature(logits, labels, ["a", "b", "c"])
    assert fit_temperature(both, [*labels, *["c"] * 10], ["a", "b", "c"]) == pytest.approx(alone, rel=1e-3)
    assert 0.1 < alone < 10


def test_a_network_is_calibrated_by_what_is_labelled_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4000, 3, generator=generator) * 2
    drawn = torch.multinomial(logits.softmax(1), 1, generator=generator).flatten().tolist()
    distances = torch.rand(4000, generator=generator)
    classes, config = ["a", "b", "c"], CrossValidateConfig(accepted_precision=0.9, in_scope_quantile=0.5)
    labels = [classes[index] for index in drawn]
    found = calibrate(2.0 * logits, distances, labels, classes, config)
    assert found.temperature == pytest.approx(2.0, rel=0.1)
    assert found.out_of_scope_threshold == pytest.approx(float(distances.median()), abs=1e-3)
    assert found.num_labelled == 4000
    strangers = torch.randn(500, 3, generator=generator) * 20, torch.full((500,), 9.0)
    with_unknown = calibrate(
        torch.cat([2.0 * logits, strangers[0]]),
        torch.cat([distances, strangers[1]]),
        [*labels, *[""] * 500],
        classes,
        config,
    )
    assert with_unknown == found


def test_without_labels_the_scores_of_all_set_what_is_in_scope() -> None:
    distances = torch.linspace(1, 2, 101)
    config = CrossValidateConfig(in_scope_quantile=0.5)
    found = calibrate(torch.randn(101, 2), distances, [""] * 101, ["a", "b"], config)
    assert (found.temperature, found.num_labelled) == (1.0, 0)
    assert found.out_of_scope_threshold == pytest.approx(1.5)
