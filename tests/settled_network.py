"""Networks with random weights whose numbers are worth comparing."""

import torch
from torch import nn

from samx.architecture import ArchitectureConfig, Backbone
from samx.network import Network


def settled_network(backbone: Backbone, num_classes: int = 3, seed: int = 0) -> Network:
    """Random weights, evaluation mode, and batch normalisation that has seen images.

    Without that the activations of a fresh MobileNet fade to 1e-9 on the way, and any two of its answers are equal.
    """
    torch.manual_seed(seed)
    network = Network(ArchitectureConfig(backbone=backbone), num_classes).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # running statistics = those of the next batch
    with torch.no_grad():
        network(torch.rand(8, 1, 96, 96))
    return network.eval()
