"""The classifier's numbers by hand, its decisions by table, and that it may be shared."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from samx.anatomy import NOT_MUSCULOSKELETAL
from samx.classifier import Classifier, Prediction
from samx.errors import NotARadiographFormat
from samx.grad_cam import heat_map
from samx.manifest import AttributeHead, ClassEntry
from samx.network import Network, to_input
from samx.preprocessing import preprocess
from samx.radiograph import read_radiograph
from samx.torch_engine import TorchEngine, torch_classifier
from tests.small_artifact import LABELS, small_spec, small_tensors, synthetic_png

Images = list[npt.NDArray[np.uint8]]


def noise(count: int, seed: int = 0) -> Images:
    """Images `(64, 64)` uint8 of blocks of noise."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), np.uint8)
    return list(np.kron(blocks, np.ones((1, 8, 8), np.uint8)))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Random weights, with a head whose answers differ from image to image."""
    return torch_classifier(small_spec(), lively_tensors())


def lively_tensors() -> dict[str, Tensor]:
    """Weights whose logits have mean 0 and standard deviation 2 over images: no class is the answer for all."""
    tensors = small_tensors(small_spec())
    features = network_with(tensors).features(to_input(torch.from_numpy(np.stack(noise(40))))).detach()
    spread = (features @ tensors["head.weight"].T).std(0, keepdim=True).T
    tensors["head.weight"] = 2 * tensors["head.weight"] / spread
    tensors["head.bias"] = -tensors["head.weight"] @ features.mean(0)
    return tensors


def network_with(tensors: dict[str, Tensor]) -> Network:
    network = Network(small_spec().architecture, len(LABELS)).eval()
    network.load_state_dict({key: value for key, value in tensors.items() if not key.startswith("scope.")})
    return network


def answering(probabilities: list[float], **changes: object) -> Classifier:
    """A classifier that gives every image these probabilities."""
    spec = small_spec(**changes)
    tensors = small_tensors(spec)
    tensors["head.weight"] = torch.zeros_like(tensors["head.weight"])
    tensors["head.bias"] = spec.temperature * torch.tensor(probabilities).log()
    return torch_classifier(spec, tensors)


def probabilities(predictions: list[Prediction]) -> npt.NDArray[np.float32]:
    return np.stack([prediction.probabilities for prediction in predictions])


def scores(predictions: list[Prediction]) -> list[float]:
    return [prediction.out_of_scope_score for prediction in predictions]


def heat_of(prediction: Prediction) -> npt.NDArray[np.float32]:
    assert prediction.heat is not None
    return prediction.heat


# ------------------------------------------------------------------------------------------------------------ answers


def test_probabilities_are_the_softmax_of_the_network_s_logits_over_the_temperature(classifier: Classifier) -> None:
    images = noise(5)
    network = network_with(lively_tensors())
    logits = network(torch.from_numpy(np.stack(images))[:, None].float() / 255).detach().double().numpy()
    odds = np.exp(logits / 1.5)
    found = probabilities(classifier.classify(images))
    np.testing.assert_allclose(found, odds / odds.sum(1, keepdims=True), atol=1e-5)
    assert found.std(0).max() > 0.01, "answers that do not depend on the image prove nothing"


def test_probabilities_sum_to_one(classifier: Classifier) -> None:
    found = probabilities(classifier.classify(noise(20)))
    assert found.dtype == np.float32
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def test_known_probabilities_and_labels_in_head_order() -> None:
    (prediction,) = answering([0.1, 0.2, 0.4, 0.3]).classify(noise(1))
    np.testing.assert_allclose(prediction.probabilities, [0.1, 0.2, 0.4, 0.3], atol=1e-6)
    assert prediction.labels == ("foot", "hand", "knee", NOT_MUSCULOSKELETAL)
    assert prediction.label == "knee"


def with_attributes(**changes: object) -> Classifier:
    """Answers knee, the view LAT with 0.8 and the side R with 0.9, for every image."""
    heads = (
        AttributeHead(name="view", values=("AP", "LAT"), temperature=2.0),
        AttributeHead(name="laterality", values=("L", "R"), temperature=1.0),
    )
    spec = small_spec(attributes=heads, **changes)
    tensors = small_tensors(spec)
    for name, biases in {
        "head": spec.temperature * torch.tensor([0.1, 0.2, 0.4, 0.3]).log(),
        "attribute_heads.view": 2.0 * torch.tensor([0.2, 0.8]).log(),
        "attribute_heads.laterality": torch.tensor([0.1, 0.9]).log(),
    }.items():
        tensors[f"{name}.weight"] = torch.zeros_like(tensors[f"{name}.weight"])
        tensors[f"{name}.bias"] = biases
    return torch_classifier(spec, tensors)


def test_view_and_laterality_are_answered_with_their_own_temperatures() -> None:
    (prediction,) = with_attributes().classify(noise(1))
    assert {name: value for name, (value, _) in prediction.attributes.items()} == {"view": "LAT", "laterality": "R"}
    assert prediction.attributes["view"][1] == pytest.approx(0.8)
    assert prediction.attributes["laterality"][1] == pytest.approx(0.9)


def test_view_and_laterality_are_answered_only_where_they_mean_something() -> None:
    classes = small_spec().classes
    spine = classes[2].model_copy(update={"label": "lumbar_spine"})
    (prediction,) = with_attributes(classes=(*classes[:2], spine, classes[3])).classify(noise(1))
    assert set(prediction.attributes) == {"view"}
    discarded = classes[2].model_copy(update={"label": NOT_MUSCULOSKELETAL})
    other = classes[3].model_copy(update={"label": "foot"})
    (prediction,) = with_attributes(classes=(*classes[:2], discarded, other)).classify(noise(1))
    assert prediction.attributes == {}


def test_a_model_without_these_heads_answers_neither(classifier: Classifier) -> None:
    assert all(prediction.attributes == {} for prediction in classifier.classify(noise(3)))


def test_an_attribute_head_that_does_not_fit_is_refused() -> None:
    spec = small_spec(attributes=(AttributeHead(name="view", values=("AP", "LAT"), temperature=1.0),))
    with pytest.raises(ValueError, match=r"attribute_heads\.view\.weight"):
        torch_classifier(spec, small_tensors(small_spec()))


def test_a_batch_equals_one_by_one(classifier: Classifier) -> None:
    images = noise(40)
    batch = classifier.classify(images, grad_cam=True)
    single = [classifier.classify([image], grad_cam=True)[0] for image in images]
    np.testing.assert_allclose(probabilities(batch), probabilities(single), atol=1e-5)
    np.testing.assert_allclose(scores(batch), scores(single), rtol=1e-5)
    for one, other in zip(batch, single, strict=True):
        np.testing.assert_allclose(heat_of(one), heat_of(other), atol=1e-4)


def test_a_permutation_of_images_permutes_answers(classifier: Classifier) -> None:
    images, order = noise(9), [4, 2, 8, 0, 1, 7, 3, 6, 5]
    straight, permuted = classifier.classify(images), classifier.classify([images[index] for index in order])
    np.testing.assert_allclose(probabilities(permuted), probabilities(straight)[order], atol=1e-5)
    np.testing.assert_allclose(scores(permuted), np.array(scores(straight))[order], rtol=1e-5)
    assert np.abs(probabilities(straight) - probabilities(straight)[order]).max() > 0.01


def test_no_images_get_no_answers(classifier: Classifier) -> None:
    assert classifier.classify([]) == []


def test_temperature_changes_confidence_but_never_the_order() -> None:
    confidences, orders = [], []
    for temperature in (0.5, 1.0, 3.0, 10.0):
        found = torch_classifier(small_spec(temperature=temperature), lively_tensors()).classify(noise(10))
        confidences.append(probabilities(found).max(1))
        orders.append([[label for label, _ in prediction.ranked(4)] for prediction in found])
    assert orders.count(orders[0]) == len(orders)
    assert (np.diff(confidences, axis=0) < 0).all(), "hotter is less sure"


def test_ranked_is_best_first_and_ties_stay_in_head_order() -> None:
    values = np.array([0.2, 0.3, 0.2, 0.3], np.float32)
    prediction = Prediction(("a", "b", "c", "d"), values, 0.0, "accept")
    assert [label for label, _ in prediction.ranked(4)] == ["b", "d", "a", "c"]
    assert prediction.ranked(1) == [("b", float(np.float32(0.3)))]
    assert len(prediction.ranked(9)) == 4
    assert prediction.ranked(0) == []
    assert prediction.label == "b"


# ---------------------------------------------------------------------------------------------------------- decisions


@pytest.mark.parametrize(
    ("answer", "score_is", "expected"),
    [
        ([0.04, 0.9, 0.03, 0.03], "below", "accept"),
        ([0.24, 0.31, 0.23, 0.22], "below", "accept"),
        ([0.24, 0.29, 0.24, 0.23], "below", "review"),
        ([0.03, 0.04, 0.03, 0.9], "below", "out_of_scope"),  # sure that it is not musculoskeletal
        ([0.24, 0.24, 0.23, 0.29], "below", "review"),  # not sure that it is not
        ([0.04, 0.9, 0.03, 0.03], "equal", "accept"),
        ([0.04, 0.9, 0.03, 0.03], "above", "out_of_scope"),
        ([0.24, 0.29, 0.24, 0.23], "above", "out_of_scope"),
        ([0.03, 0.04, 0.03, 0.9], "above", "out_of_scope"),
    ],
)
def test_decision(answer: list[float], score_is: str, expected: str) -> None:
    score = answering(answer).classify(noise(1))[0].out_of_scope_score
    assert score > 0
    threshold = score * {"below": 1.01, "equal": 1.0, "above": 0.99}[score_is]
    (prediction,) = answering(answer, review_threshold=0.3, out_of_scope_threshold=threshold).classify(noise(1))
    assert prediction.out_of_scope_score == score
    assert prediction.decision == expected


def test_a_probability_at_the_review_threshold_is_accepted() -> None:
    quarters = [0.25, 0.25, 0.25, 0.25]
    assert answering(quarters, review_threshold=0.25).classify(noise(1))[0].decision == "accept"
    assert answering(quarters, review_threshold=0.2500001).classify(noise(1))[0].decision == "review"


def of_its_own(**thresholds: float) -> tuple[ClassEntry, ...]:
    """The classes, some with a review threshold of their own."""
    classes = small_spec().classes
    return tuple(entry.model_copy(update={"review_threshold": thresholds.get(entry.label)}) for entry in classes)


def test_the_predicted_class_s_own_threshold_decides() -> None:
    for label, probabilities_K in (("foot", [0.6, 0.2, 0.1, 0.1]), ("hand", [0.2, 0.6, 0.1, 0.1])):
        for threshold, expected in ((0.59, "accept"), (0.61, "review")):
            classes = of_its_own(**{label: threshold}, knee=0.0)
            (prediction,) = answering(probabilities_K, classes=classes, review_threshold=0.7).classify(noise(1))
            assert (prediction.label, prediction.decision) == (label, expected)


def test_a_class_without_a_threshold_takes_the_model_s() -> None:
    knee = [0.1, 0.1, 0.6, 0.2]
    for threshold, expected in ((0.59, "accept"), (0.61, "review")):
        classifier = answering(knee, classes=of_its_own(foot=0.1, hand=0.9), review_threshold=threshold)
        assert classifier.classify(noise(1))[0].decision == expected


def test_at_a_threshold_of_one_nothing_is_accepted_although_probabilities_round_to_one() -> None:
    certain = [1.0, 1e-30, 1e-30, 1e-30]
    assert answering(certain, review_threshold=0.999).classify(noise(1))[0].probabilities[0] == 1
    assert answering(certain, review_threshold=0.999).classify(noise(1))[0].decision == "accept"
    assert answering(certain, review_threshold=1.0).classify(noise(1))[0].decision == "review"
    never = of_its_own(foot=1.0)
    assert answering(certain, classes=never, review_threshold=0.5).classify(noise(1))[0].decision == "review"


@pytest.mark.parametrize(("tensor", "decision"), [("head.bias", "review"), ("scope.means_KD", "out_of_scope")])
def test_what_is_not_a_number_is_never_accepted(tensor: str, decision: str) -> None:
    tensors = lively_tensors()
    tensors[tensor] = torch.full_like(tensors[tensor], math.nan)
    (prediction,) = torch_classifier(small_spec(review_threshold=0.0), tensors).classify(noise(1))
    assert prediction.decision == decision


# ----------------------------------------------------------------------------------------------------------- heat maps


def test_heat_is_that_of_the_most_probable_class(classifier: Classifier) -> None:
    images = noise(6)
    network = network_with(lively_tensors())
    maps = network.feature_maps(torch.from_numpy(np.stack(images))[:, None].float() / 255).detach().numpy()
    rows = network.head.weight.detach().numpy()
    predictions = classifier.classify(images, grad_cam=True)
    differences = []
    for feature_maps, prediction in zip(maps, predictions, strict=True):
        best = LABELS.index(prediction.label)
        np.testing.assert_allclose(heat_of(prediction), heat_map(feature_maps, rows[best]), atol=1e-4)
        others = [heat_map(feature_maps, rows[other]) for other in range(len(LABELS)) if other != best]
        differences += [np.abs(heat_of(prediction) - other).max() for other in others]
    assert np.median(differences) > 0.1, "the other classes' heat is the same"
    assert len({prediction.label for prediction in predictions}) > 1, "one class is the answer for all"


def test_heat_is_made_on_request_only(classifier: Classifier) -> None:
    (without,), (with_heat,) = classifier.classify(noise(1)), classifier.classify(noise(1), grad_cam=True)
    assert without.heat is None
    assert heat_of(with_heat).shape == (2, 2)
    np.testing.assert_array_equal(without.probabilities, with_heat.probabilities)


# -------------------------------------------------------------------------------------------------- sharing and state


def test_threads_get_the_answers_of_one(classifier: Classifier) -> None:
    batches = [noise(1 + number % 3, seed=number) for number in range(8)]
    expected = [classifier.classify(batch, grad_cam=True) for batch in batches]
    barrier = threading.Barrier(len(batches))

    def classify(number: int) -> list[list[Prediction]]:
        barrier.wait()
        return [classifier.classify(batches[number], grad_cam=True) for _ in range(5)]

    with ThreadPoolExecutor(len(batches)) as pool:
        for number, answers in enumerate(pool.map(classify, range(len(batches)))):
            for answer in answers:
                np.testing.assert_array_equal(probabilities(answer), probabilities(expected[number]))
                assert scores(answer) == scores(expected[number])
                for one, other in zip(answer, expected[number], strict=True):
                    np.testing.assert_array_equal(heat_of(one), heat_of(other))


def test_classifying_leaves_images_and_network_as_they_were(classifier: Classifier) -> None:
    assert isinstance(classifier.engine, TorchEngine)
    network = classifier.engine.network
    state = {key: value.clone() for key, value in network.state_dict().items()}
    images = noise(3)
    before = np.stack(images)
    first = classifier.classify(images, grad_cam=True)
    kept = probabilities(first).copy()
    classifier.classify(noise(3, seed=9), grad_cam=True)
    np.testing.assert_array_equal(probabilities(first), kept)
    np.testing.assert_array_equal(np.stack(images), before)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not network.training
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in network.parameters())


# ------------------------------------------------------------------------------------------------------------ reading


def test_read_gives_the_radiograph_and_its_preprocessed_image(classifier: Classifier) -> None:
    data = synthetic_png(3, size=(300, 200))
    radiograph, image = classifier.read(data)
    assert (radiograph.rows, radiograph.columns) == (300, 200)
    assert radiograph.pixels.shape == (128, 85), "reduced to the model's working size"
    expected = preprocess(read_radiograph(data, working_size=128), small_spec().preprocessing)
    np.testing.assert_array_equal(image, expected)
    assert image.shape == (64, 64)


def test_read_refuses_what_is_no_radiograph(classifier: Classifier) -> None:
    with pytest.raises(NotARadiographFormat):
        classifier.read(b"not a radiograph, whatever its name says")
