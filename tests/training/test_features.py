"""Principal components are exact and repeatable."""

import torch
from torch.nn import functional

from training.features import concatenate_unit, principal_components


def test_components_agree_with_the_singular_value_decomposition() -> None:
    """Both ways: more radiographs than features, and fewer."""
    for shape in ((40, 12), (12, 40)):
        features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        centred = features - features.mean(0)
        left, values, _ = torch.linalg.svd(centred, full_matrices=False)
        expected = functional.normalize(left[:, :5] * values[:5], dim=1)
        torch.testing.assert_close(principal_components(features, 5).abs(), expected.abs(), atol=1e-4, rtol=0)


def test_the_sign_does_not_depend_on_the_order_of_radiographs() -> None:
    features = torch.randn(30, 8, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        principal_components(features, 4)[order], principal_components(features[order], 4), atol=1e-4, rtol=0
    )


def test_no_more_components_than_there_are() -> None:
    assert principal_components(torch.randn(10, 4), 128).shape == (10, 4)


def test_weights_decide_the_share_of_each_part() -> None:
    joined = concatenate_unit([(torch.tensor([[1.0, 0.0]]), 1.0), (torch.tensor([[0.0, 1.0]]), 0.5)])
    torch.testing.assert_close(joined, torch.tensor([[1.0, 0.0, 0.0, 0.5]]) / 1.25**0.5)
