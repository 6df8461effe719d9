"""Which network: the part of the artifact's description that can be read without torch."""

from typing import Literal, Self

import pydantic

Backbone = Literal["resnet18_slim", "resnet18", "resnet50", "mobilenet_v3_large", "efficientnet_lite0", "convnext_tiny"]


class ArchitectureConfig(pydantic.BaseModel):
    """Which network; saved inside the artifact."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    backbone: Backbone = "resnet50"
    """Without a GPU: `resnet18_slim`, ResNet-18 with half the channels after the stem, from random weights;
    `efficientnet_lite0` from ImageNet's."""
    last_stride: Literal[1, 2] = 2
    """Of the last stage of a ResNet: 1 keeps the resolution, so that heat maps have twice as many positions along each
    side. Of 96 pixels that is 6 x 6 in place of 3 x 3, which are too few to say where; half as much work again. Phase 1
    has 2 in any case."""

    @pydantic.model_validator(mode="after")
    def _strides_of_resnets_only(self) -> Self:
        if self.last_stride == 1 and not self.backbone.startswith("resnet"):
            raise ValueError(f"last_stride = 1 is for ResNets, not for {self.backbone}")
        return self
