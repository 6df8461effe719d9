import pytest
import torch

from training.loop import autocast


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
