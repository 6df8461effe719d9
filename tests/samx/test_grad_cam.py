"""Grad-CAM against the pytorch-grad-cam library, which takes gradients; the picture by known pixels."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from samx.architecture import Backbone
from samx.engine import OnnxEngine
from samx.grad_cam import heat_map, overlay
from samx.network import to_input
from samx.torch_engine import TorchEngine, torch_classifier
from tests.settled_network import settled_network
from tests.small_artifact import small_spec, small_tensors

# Only now: they import torchvision, which samx.network makes importable.
import cv2  # isort: skip
from pytorch_grad_cam import GradCAM  # isort: skip
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # isort: skip

NUM_CLASSES = 5


@pytest.mark.parametrize(
    "backbone", ["resnet18_slim", "resnet18", "mobilenet_v3_large", "efficientnet_lite0", "convnext_tiny"]
)
def test_heat_equals_the_library_s_for_every_class(backbone: Backbone) -> None:
    network = settled_network(backbone, NUM_CLASSES, seed=3)
    images = torch.nn.functional.interpolate(torch.rand(2, 1, 7, 5), (160, 96), mode="bilinear")
    maps = network.feature_maps(images).detach().numpy()
    rows = network.head.weight.detach().numpy()
    heats = []
    for target in range(NUM_CLASSES):
        with GradCAM(network, [network.backbone]) as oracle:
            expected = oracle(images, [ClassifierOutputTarget(target)] * len(images))
        for feature_maps, expected_heat in zip(maps, expected, strict=True):
            heat = heat_map(feature_maps, rows[target])
            assert np.abs(np.tensordot(rows[target], feature_maps, axes=1)).max() > 1e-3, "nothing beside 1e-7"
            assert heat.shape == (5, 3)
            np.testing.assert_allclose(_as_the_library_finishes(heat, (160, 96)), expected_heat, atol=1e-4)
            heats.append(heat)
    distances = [np.abs(one - other).max() for number, one in enumerate(heats) for other in heats[:number]]
    assert np.median(distances) > 0.1, "heat that is the same for all classes would prove nothing"


def test_heat_of_the_compiled_engine_equals_the_library_s(small_engines: dict[str, bytes]) -> None:
    engine = torch_classifier(small_spec(), small_tensors(small_spec())).engine
    assert isinstance(engine, TorchEngine)
    network = engine.network.requires_grad_(True)
    images = np.kron(np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8), np.ones((1, 8, 8), np.uint8))
    maps = OnnxEngine(small_engines["fp32"], 1).feature_maps(images).last_NDHW
    rows = network.head.weight.detach().numpy()
    for target in range(len(rows)):
        with GradCAM(network, [network.backbone]) as oracle:
            expected = oracle(to_input(torch.from_numpy(images)), [ClassifierOutputTarget(target)] * len(images))
        for feature_maps, expected_heat in zip(maps, expected, strict=True):
            heat = heat_map(feature_maps, rows[target])
            np.testing.assert_allclose(_as_the_library_finishes(heat, (64, 64)), expected_heat, atol=1e-4)


def _as_the_library_finishes(heat: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Enlarges bilinearly to the input's size and stretches to [0, 1], as pytorch-grad-cam does at its end."""
    enlarged = cv2.resize(heat, size[::-1])
    stretched: npt.NDArray[np.float32] = (enlarged - enlarged.min()) / (1e-7 + enlarged.max() - enlarged.min())
    return stretched


def test_known_heat() -> None:
    maps = np.array([[[1, 2], [3, 4]], [[2, 0], [1, 1]]], np.float32)
    np.testing.assert_allclose(heat_map(maps, np.array([1, 2], np.float32)), [[3 / 4, 0], [3 / 4, 1]])
    np.testing.assert_allclose(heat_map(maps, np.array([1, -1], np.float32)), [[0, 2 / 3], [2 / 3, 1]])


def test_evidence_against_a_class_is_no_heat() -> None:
    maps = np.array([[[1, 2, 3]]], np.float32)
    np.testing.assert_array_equal(heat_map(maps, np.array([-1], np.float32)), [[0, 0, 0]])
    np.testing.assert_array_equal(heat_map(maps - 2, np.array([1], np.float32)), [[0, 0, 1]])


@pytest.mark.parametrize("value", [0.0, 2.0, -2.0])
def test_evidence_that_is_everywhere_the_same_points_nowhere(value: float) -> None:
    heat = heat_map(np.full((3, 2, 2), value, np.float32), np.ones(3, np.float32))
    np.testing.assert_array_equal(heat, np.zeros((2, 2)))
    assert heat.dtype == np.float32


def test_strength_of_the_evidence_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    maps, row = generator.normal(size=(8, 4, 6)).astype(np.float32), generator.normal(size=8).astype(np.float32)
    np.testing.assert_allclose(heat_map(maps, row), heat_map(1000 * maps, row / 7), atol=1e-6)


def test_heat_map_leaves_the_feature_maps_as_they_were() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    before = maps.copy()
    heat_map(maps, np.ones(2, np.float32))
    np.testing.assert_array_equal(maps, before)


def test_overlay_leaves_pixels_without_heat_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    np.testing.assert_array_equal(overlay(image, np.zeros((3, 4), np.float32)), np.stack([image] * 3, axis=2))


@pytest.mark.parametrize(
    ("heat", "expected"),
    [  # 0.6 * heat of the colour, the rest of the grey value 100
        (1.0, (0.4 * 100 + 0.6 * 252, 0.4 * 100 + 0.6 * 255, 0.4 * 100 + 0.6 * 164)),
        (0.75, (0.55 * 100 + 0.45 * 249, 0.55 * 100 + 0.45 * 142, 0.55 * 100 + 0.45 * 9)),
        (0.125, (0.925 * 100 + 0.075 * 40, 0.925 * 100 + 0.075 * 9, 0.925 * 100 + 0.075 * 61.5)),
    ],
)
def test_overlay_of_known_heat(heat: float, expected: tuple[float, float, float]) -> None:
    picture = overlay(np.full((8, 8), 100, np.uint8), np.full((2, 2), heat, np.float32))
    np.testing.assert_array_equal(picture, np.broadcast_to(np.rint(expected), (8, 8, 3)))


def test_overlay_puts_heat_where_it_is() -> None:
    heat = np.zeros((4, 8), np.float32)
    heat[0, 6] = 1
    picture = overlay(np.full((40, 80), 60, np.uint8), heat)
    assert picture.shape == (40, 80, 3)
    assert picture.dtype == np.uint8
    hot = np.abs(picture.astype(int) - 60).sum(2)
    row, column = np.unravel_index(hot.argmax(), hot.shape)
    assert row < 10
    assert 60 <= column < 70
    assert (hot[25:] == 0).all()
    assert (hot[:, :40] == 0).all()
