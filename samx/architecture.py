"""Which network: the part of the artifact's description that can be read without torch."""

from typing import Literal

import pydantic

Backbone = Literal["resnet18_slim", "resnet18", "resnet50", "mobilenet_v3_large", "convnext_tiny"]


class ArchitectureConfig(pydantic.BaseModel):
    """Which network; saved inside the artifact."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    backbone: Backbone = "resnet50"
    """`resnet18_slim` is ResNet-18 with half the channels after the stem: the one for training without a GPU."""
