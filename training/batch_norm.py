"""Batch normalisation that sees the images of all ranks, so that the result does not depend on how many there are."""

import torch
from torch import Tensor, nn

from training.distribution import add_up_with_gradient, num_ranks


def synchronise_batch_norm(module: nn.Module, device: torch.device) -> None:
    """Let the batch normalisation in a module use the statistics of all ranks' images, in place."""
    if num_ranks() == 1:
        return
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                replacement = nn.SyncBatchNorm if device.type == "cuda" else _BatchNormOverRanks
                synchronised = replacement(child.num_features, child.eps, child.momentum)
                synchronised.to(device, child.weight.dtype)
                synchronised.load_state_dict(child.state_dict())
                setattr(parent, name, synchronised)


class _BatchNormOverRanks(nn.Module):
    """Batch normalisation over all ranks for the devices that `nn.SyncBatchNorm` does not know."""

    def __init__(self, num_features: int, eps: float, momentum: float | None) -> None:
        super().__init__()
        assert momentum is not None, "no network here averages its statistics cumulatively"
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.num_batches_tracked: Tensor
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))

    def forward(self, values: Tensor) -> Tensor:
        """Normalise `(N, C, ...)` by channel; in training, with the statistics of the N of all ranks."""
        if not self.training:
            return nn.functional.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        axes = [axis for axis in range(values.ndim) if axis != 1]
        count = values.numel() // values.shape[1] * num_ranks()
        exact = values.to(self.weight.dtype)
        mean_C = add_up_with_gradient(exact.sum(axes)) / count
        shape = [1, -1] + [1] * (values.ndim - 2)
        centred = exact - mean_C.view(shape)
        variance_C = add_up_with_gradient(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(variance_C * (count / max(1, count - 1)), self.momentum)
        scale_C = self.weight * (variance_C + self.eps).rsqrt()
        return (centred * scale_C.view(shape) + self.bias.view(shape)).to(values.dtype)
