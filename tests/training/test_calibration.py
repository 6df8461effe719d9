"""Temperature, and what the thresholds rest on."""

import pytest
import torch

from samx.anatomy import NOT_MUSCULOSKELETAL
from samx.manifest import NEVER_ACCEPTED
from training.calibration import calibrate, fit_temperature
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


def test_what_is_recognised_as_not_musculoskeletal_makes_up_for_no_error() -> None:
    """95 of 100 knees are right and all of 900 others: of all answers 99.5 %, but only 95 % of what is accepted."""
    classes = ["knee", "foot", NOT_MUSCULOSKELETAL]
    logits = torch.zeros(1000, 3)
    logits[:100, 0], logits[100:, 2] = 4.0, 4.0
    labels = ["knee"] * 95 + ["foot"] * 5 + [NOT_MUSCULOSKELETAL] * 900
    found = calibrate(logits, torch.ones(1000), labels, classes, CrossValidateConfig(accepted_precision=0.99))
    assert found.review_thresholds["knee"] == NEVER_ACCEPTED
    found = calibrate(logits, torch.ones(1000), labels, classes, CrossValidateConfig(accepted_precision=0.94))
    assert found.review_thresholds["knee"] < NEVER_ACCEPTED
    assert "foot" not in found.review_thresholds, "a class that was never answered has no threshold of its own"


def test_review_thresholds_rest_on_what_is_in_scope() -> None:
    """The errors lie far from what was learned: they are never accepted, so they cost nothing."""
    logits = torch.randn(1000, 2, generator=torch.Generator().manual_seed(3)) * 3
    right = ["ab"[int(best)] for best in logits.argmax(1)]
    labels = ["stranger"] * 50 + right[50:]
    distances = torch.cat([torch.full((50,), 9.0), torch.rand(950, generator=torch.Generator().manual_seed(4))])
    config = CrossValidateConfig(accepted_precision=0.99, in_scope_quantile=0.999)
    far = calibrate(logits, distances, labels, ["a", "b"], config)
    near = calibrate(logits, torch.rand(1000, generator=torch.Generator().manual_seed(4)), labels, ["a", "b"], config)
    assert max(far.review_thresholds.values()) < 0.6
    assert max(near.review_thresholds.values()) > 0.9
