import pytest
import torch

from samx.architecture import ArchitectureConfig, Backbone
from samx.network import Network
from training.loop import autocast, fastest_precision


@pytest.mark.parametrize(
    ("capability", "precision", "expected"),
    [
        ("AVX512", "bfloat16", torch.bfloat16),
        ("AVX2", "bfloat16", torch.float32),  # which would emulate it
        ("DEFAULT", "bfloat16", torch.float32),
        ("AVX512", "float32", torch.float32),
    ],
)
def test_passes_are_in_bfloat16_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capability: str, precision: str, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    with autocast(torch.device("cpu"), precision):  # type: ignore[arg-type]
        assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(3, 2)).dtype == expected


@pytest.mark.parametrize(
    ("backbone", "device", "expected"),
    [
        ("mobilenet_v3_large", "cpu", "float32"),
        ("mobilenet_v3_large", "cuda", "bfloat16"),
        ("resnet18_slim", "cpu", "bfloat16"),
    ],
)
def test_depthwise_convolutions_are_in_float32_on_a_processor(backbone: Backbone, device: str, expected: str) -> None:
    network = Network(ArchitectureConfig(backbone=backbone), 2)
    assert fastest_precision(network, torch.device(device)) == expected
