"""The networks: one grey channel in, pooled features, one linear head, and names of weights that never change.

`python -m tests.samx.test_network` rewrites tests/golden/network_weights.txt. A change there means that published
artifacts and pretrained weights can no longer be loaded: raise `samx.artifact.SCHEMA_VERSION` with it.
"""

import copy
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pydantic
import pytest
import torch

from samx.architecture import ArchitectureConfig, Backbone
from samx.network import INPUT_MEAN, INPUT_STD, Network, to_input
from tests.settled_network import settled_network

NUM_FEATURES: dict[Backbone, int] = {
    "resnet18_slim": 256,
    "resnet18": 512,
    "resnet50": 2048,
    "mobilenet_v3_large": 960,
    "efficientnet_lite0": 1280,
    "convnext_tiny": 768,
}
GOLDEN = Path(__file__).parent.parent / "golden" / "network_weights.txt"

every_backbone = pytest.mark.parametrize("backbone", get_args(Backbone))


@cache
def _built(backbone: Backbone, num_classes: int) -> Network:
    return settled_network(backbone, num_classes)


def network_of(backbone: Backbone, num_classes: int = 3) -> Network:
    """A copy of one that is built once: ResNet-50 takes half a second."""
    return copy.deepcopy(_built(backbone, num_classes))


def weights_table() -> str:
    """A line per tensor: backbone, name, shape."""
    lines = []
    for backbone in get_args(Backbone):
        for name, tensor in Network(ArchitectureConfig(backbone=backbone), 3).state_dict().items():
            lines.append(f"{backbone} {name} {'x'.join(map(str, tensor.shape)) or 'scalar'}\n")
    return "".join(lines)


def test_names_and_shapes_of_weights_are_those_of_published_artifacts() -> None:
    assert weights_table().splitlines() == GOLDEN.read_text().splitlines()


@every_backbone
def test_feature_sizes(backbone: Backbone) -> None:
    network = network_of(backbone)
    assert network.num_features == NUM_FEATURES[backbone]
    rows = 3 if backbone == "convnext_tiny" else 4  # 100 / 32, down or up
    assert network.feature_maps(torch.rand(2, 1, 100, 64)).shape == (2, NUM_FEATURES[backbone], rows, 2)
    assert network(torch.rand(2, 1, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize("backbone", ["resnet18_slim", "resnet18", "resnet50"])
def test_without_the_last_stride_the_same_weights_give_maps_of_twice_the_resolution(backbone: Backbone) -> None:
    fine = Network(ArchitectureConfig(backbone=backbone, last_stride=1), 3).eval()
    fine.load_state_dict(network_of(backbone).state_dict())
    images = torch.rand(2, 1, 96, 64)
    early, maps = fine.early_and_last(images)
    assert maps.shape == (2, NUM_FEATURES[backbone], 6, 4)
    torch.testing.assert_close(early, network_of(backbone).early_and_last(images)[0])
    torch.testing.assert_close(fine(images), fine.head(maps.mean((2, 3))))


def test_only_resnets_may_do_without_the_last_stride() -> None:
    with pytest.raises(pydantic.ValidationError, match="last_stride = 1 is for ResNets, not for mobilenet_v3_large"):
        ArchitectureConfig(backbone="mobilenet_v3_large", last_stride=1)


@every_backbone
def test_early_features_are_those_before_the_last_halving_and_cost_nothing_of_the_last(backbone: Backbone) -> None:
    network, images = network_of(backbone), torch.rand(2, 1, 128, 96)
    early, last = network.early_and_last(images)
    torch.testing.assert_close(last, network.feature_maps(images))
    assert early.shape == (2, network.num_scope_features - network.num_features)
    before = {(4, 3): 0, (8, 6): 0}
    x = (images - INPUT_MEAN) / INPUT_STD
    for layer in network.backbone:
        x = layer(x)
        if tuple(x.shape[2:]) in before:
            before[tuple(x.shape[2:])] += 1
            if tuple(x.shape[2:]) == (8, 6):
                expected = x.mean((2, 3))
    assert all(before.values())
    torch.testing.assert_close(early, expected)
    torch.testing.assert_close(network.scope_features(images), torch.cat([last.mean((2, 3)), expected], 1))


@every_backbone
def test_logits_are_the_head_of_the_mean_of_the_feature_maps(backbone: Backbone) -> None:
    network, images = network_of(backbone), torch.rand(3, 1, 96, 64)
    maps = network.feature_maps(images).detach().double().numpy()
    weight, bias = (tensor.detach().double().numpy() for tensor in network.head.parameters())
    expected = maps.mean((2, 3)) @ weight.T + bias
    np.testing.assert_allclose(network.features(images).detach(), maps.mean((2, 3)), atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(network(images).detach(), expected, atol=1e-5, rtol=1e-4)
    assert maps.mean((2, 3)).std(0).max() > 0.01, "features are the same for all images"


@every_backbone
def test_without_classes_the_features_are_the_answer(backbone: Backbone) -> None:
    network, images = network_of(backbone, num_classes=0), torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(network(images), network.features(images))
    assert not list(network.head.parameters())


@every_backbone
def test_a_colour_image_is_refused(backbone: Backbone) -> None:
    with pytest.raises(RuntimeError, match=r"expected input.* to have 1 channels, but got 3"):
        network_of(backbone)(torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize("backbone", ["resnet18_slim", "mobilenet_v3_large"])  # the quick ones, built anew
def test_a_seed_decides_the_weights_and_evaluation_is_deterministic(backbone: Backbone) -> None:
    images = torch.rand(2, 1, 64, 64)
    network, twin, other = network_of(backbone), settled_network(backbone), settled_network(backbone, seed=1)
    answer = network(images)
    torch.rand(7)  # evaluation draws no random numbers
    assert torch.equal(network(images), answer)
    assert torch.equal(twin(images), answer)
    assert not torch.equal(other(images), answer)


@every_backbone
def test_one_image_does_not_change_another(backbone: Backbone) -> None:
    network, images = network_of(backbone), torch.rand(4, 1, 64, 64)
    together = network(images)
    apart = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)  # measured: 1.4e-5 (ResNet-50)
    assert (together[0] - together[1]).abs().max() > 0.01, "answers are the same for all images"


@every_backbone
def test_every_weight_learns(backbone: Backbone) -> None:
    network = network_of(backbone).train()
    network(torch.rand(4, 1, 64, 64)).square().sum().backward()
    silent = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


@every_backbone
def test_input_is_normalised(backbone: Backbone) -> None:
    """The mean grey level is what the backbone sees as 0, one standard deviation above it is 1."""
    network, shape = network_of(backbone), (1, 1, 64, 64)
    black, bright = (network.backbone(torch.full(shape, seen)) for seen in (0.0, 1.0))
    assert (bright - black).abs().max() > 0.01, "the level does not matter to these weights"
    for level, expected in ((INPUT_MEAN, black), (INPUT_MEAN + INPUT_STD, bright)):
        torch.testing.assert_close(network.feature_maps(torch.full(shape, level)), expected, atol=1e-5, rtol=1e-4)


def test_slim_has_half_the_channels_and_a_quarter_of_the_weights() -> None:
    slim, full = (dict(network_of(backbone, num_classes=0).state_dict()) for backbone in ("resnet18_slim", "resnet18"))
    assert slim["backbone.conv1.weight"].shape == full["backbone.conv1.weight"].shape == (64, 1, 7, 7)
    for stage in (1, 2, 3, 4):
        key = f"backbone.layer{stage}.1.conv2.weight"
        assert slim[key].shape[0] == slim[key].shape[1] == full[key].shape[0] // 2
    num_slim, num_full = (sum(weight.numel() for weight in state.values()) for state in (slim, full))
    assert num_slim / num_full == pytest.approx(0.25, abs=0.01)


def test_convnext_normalises_its_maps_before_they_are_pooled() -> None:
    maps = network_of("convnext_tiny").feature_maps(torch.rand(2, 1, 96, 64)).detach()
    torch.testing.assert_close(maps.mean(1), torch.zeros(2, 3, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.std(1, correction=0), torch.ones(2, 3, 2), atol=1e-3, rtol=0)


@every_backbone
def test_training_draws_no_random_numbers(backbone: Backbone) -> None:
    """An interrupted run continues from a checkpoint that knows nothing of torch's global generator."""
    network, images = network_of(backbone).train(), torch.rand(4, 1, 64, 64)
    before = torch.random.get_rng_state()
    network(images)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match=r"resnet18_slim.*resnet50"):
        ArchitectureConfig.model_validate({"backbone": "vgg16"})


def test_to_input_scales_to_one_and_adds_the_channel() -> None:
    images = torch.tensor([[[0, 51, 255], [102, 153, 204]], [[1, 2, 3], [4, 5, 6]]], dtype=torch.uint8)
    before = images.clone()
    network_input = to_input(images)
    assert network_input.dtype == torch.float32
    assert network_input.shape == (2, 1, 2, 3)
    torch.testing.assert_close(network_input[0, 0], torch.tensor([[0, 0.2, 1], [0.4, 0.6, 0.8]]))
    torch.testing.assert_close(network_input[1, 0] * 255, images[1].float())
    assert network_input.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


if __name__ == "__main__":
    GOLDEN.write_text(weights_table())
