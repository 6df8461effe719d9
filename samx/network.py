"""The network of both phases: a torchvision backbone for one grey channel, global average pooling, a linear head.

Phase 1 uses `features`, phase 2 adds the head. Pooling followed by one linear layer is a choice: the Grad-CAM of the
last feature maps is then a weighted sum of them and needs no backward pass (Zhou et al. 2016; Selvaraju et al. 2017,
section 3.1).

Shape suffixes: N images, C channels, H and W rows and columns, D features, K classes.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from samx.architecture import ArchitectureConfig
from samx.torchvision_loader import import_torchvision

import_torchvision()

from torchvision.models import convnext_tiny, efficientnet, mobilenet_v3_large, resnet  # noqa: E402  (only after the line above)

INPUT_MEAN = 0.35
INPUT_STD = 0.27
"""Grey level statistics of preprocessed radiographs in [0, 1], used to normalise the input."""


CLASS_HEAD = "class"
"""Name of the head of the classes among all heads."""


class Network(nn.Module):
    """Backbone, global average pooling and a linear head.

    Args:
        architecture: which backbone.
        num_classes: rows of the head, 0 for none (phase 1).
        attributes: rows of further heads on the same features, by name; see `samx.artifact.AttributeHead`.
    """

    def __init__(
        self, architecture: ArchitectureConfig, num_classes: int, attributes: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        built = _build_backbone(architecture)
        self.backbone, self.num_features = built.layers, built.num_features
        self.num_scope_features = built.num_features + built.num_early_features
        self._num_early_layers = built.num_early_layers
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.attribute_heads = nn.ModuleDict(
            {name: nn.Linear(self.num_features, num_values) for name, num_values in (attributes or {}).items()}
        )

    def feature_maps(self, images_N1HW: Tensor) -> Tensor:
        """Last feature maps, `(N, D, H/32, W/32)`, of images `(N, 1, H, W)` float in [0, 1].

        `(N, D, H/16, W/16)` where the architecture's `last_stride` is 1. Sides are rounded up, by ConvNeXt down: its
        strided convolutions leave out what no longer fills a patch.
        """
        maps: Tensor = self.backbone((images_N1HW - INPUT_MEAN) / INPUT_STD)
        return maps

    def early_and_last(self, images_N1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features before the last stage, `(N, E)`, and the last feature maps, of images as `feature_maps`.

        The early ones know of textures what the last ones have forgotten because it does not tell the classes apart.
        """
        early = self.backbone[: self._num_early_layers]((images_N1HW - INPUT_MEAN) / INPUT_STD)
        last: Tensor = self.backbone[self._num_early_layers :](early)
        return early.mean((2, 3)), last

    def scope_features(self, images_N1HW: Tensor) -> Tensor:
        """What the out-of-scope score is computed from, `(N, D + E)`: pooled features, then the early ones."""
        early_NE, maps_NDHW = self.early_and_last(images_N1HW)
        return torch.cat([maps_NDHW.mean((2, 3)), early_NE], 1)

    def features(self, images_N1HW: Tensor) -> Tensor:
        """Pooled features `(N, D)` of images `(N, 1, H, W)` float in [0, 1]."""
        return self.feature_maps(images_N1HW).mean((2, 3))

    def forward(self, images_N1HW: Tensor) -> Tensor:
        """Logits `(N, K)` of images `(N, 1, H, W)` float in [0, 1]."""
        logits: Tensor = self.head(self.features(images_N1HW))
        return logits

    def all_logits(self, images_N1HW: Tensor) -> dict[str, Tensor]:
        """Logits by head: of the classes `(N, K)` by `CLASS_HEAD`, of an attribute's values `(N, V)` by its name."""
        return self.logits_of(self.features(images_N1HW))

    def logits_of(self, features_ND: Tensor) -> dict[str, Tensor]:
        """The same of pooled features."""
        heads = {CLASS_HEAD: self.head} | dict(self.attribute_heads.items())
        return {name: head(features_ND) for name, head in heads.items()}


class _SlimResNet(resnet.ResNet):  # type: ignore[misc]  # torchvision carries no types
    """ResNet whose four stages have half the channels: a quarter of the weights, made for radiographs on CPUs."""

    def _make_layer(
        self, block: type, planes: int, blocks: int, stride: int = 1, dilate: bool = False
    ) -> nn.Sequential:
        layer: nn.Sequential = super()._make_layer(block, planes // 2, blocks, stride, dilate)
        return layer


def _efficientnet_lite0() -> nn.Sequential:
    """EfficientNet-B0 without squeeze-and-excitation and with ReLU6, so that 8 bits lose little.

    Liu 2020, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog. Stochastic depth is left out
    as for ConvNeXt.
    """
    norm = functools.partial(nn.BatchNorm2d, eps=1e-3)
    trunk = efficientnet.efficientnet_b0(weights=None, stochastic_depth_prob=0.0, norm_layer=norm).features
    trunk[0][0] = _one_channel(trunk[0][0])
    for module in list(trunk.modules()):
        for name, child in module.named_children():
            if isinstance(child, efficientnet.SqueezeExcitation):
                module.set_submodule(name, nn.Identity())
            elif isinstance(child, nn.SiLU):
                module.set_submodule(name, nn.ReLU6(inplace=True))
    layers: nn.Sequential = trunk
    return layers


class _Built(NamedTuple):
    """The convolutional part of a torchvision network with one input channel."""

    layers: nn.Sequential
    num_features: int
    num_early_layers: int
    """Before the last halving of the resolution."""
    num_early_features: int
    """Which those have."""


def _build_backbone(architecture: ArchitectureConfig) -> _Built:
    name = architecture.backbone
    if name == "mobilenet_v3_large":
        trunk = mobilenet_v3_large(weights=None).features
        trunk[0][0] = _one_channel(trunk[0][0])
        return _Built(trunk, 960, 13, 112)
    if name == "efficientnet_lite0":
        return _Built(_efficientnet_lite0(), 1280, 6, 112)
    if name == "convnext_tiny":
        # Stochastic depth draws from torch's global generator, whose state no checkpoint holds: a resumed run would end
        # otherwise than an uninterrupted one.
        convnext = convnext_tiny(weights=None, stochastic_depth_prob=0.0)
        trunk = convnext.features
        trunk[0][0] = _one_channel(trunk[0][0])
        # torchvision pools, then applies this LayerNorm2d, then its linear layer. Here it comes before the pooling, so
        # that the head stays pooling and one linear layer, and Grad-CAM a weighted sum of the maps.
        trunk.add_module("norm", convnext.classifier[0])
        return _Built(trunk, 768, 6, 384)
    built: resnet.ResNet
    match name:
        case "resnet18_slim":
            built, num_features = _SlimResNet(resnet.BasicBlock, [2, 2, 2, 2]), 256
        case "resnet18":
            built, num_features = resnet.resnet18(weights=None), 512
        case "resnet50":
            built, num_features = resnet.resnet50(weights=None), 2048
    built.conv1 = _one_channel(built.conv1)
    for layer in built.layer4[0].modules():  # the only block of the last stage that may halve the resolution
        if isinstance(layer, nn.Conv2d) and architecture.last_stride == 1:
            layer.stride = (1, 1)
    children = {key: child for key, child in built.named_children() if key not in ("avgpool", "fc")}
    trunk = nn.Sequential()
    for key, child in children.items():
        trunk.add_module(key, child)
    return _Built(trunk, num_features, len(trunk) - 1, num_features // 2)


def _one_channel(convolution: nn.Conv2d) -> nn.Conv2d:
    """The same convolution for one input channel, freshly initialised (He et al. 2015)."""
    grey = nn.Conv2d(
        1,
        convolution.out_channels,
        kernel_size=convolution.kernel_size,  # type: ignore[arg-type]  # torch types it as a tuple of any length
        stride=convolution.stride,  # type: ignore[arg-type]
        padding=convolution.padding,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )
    nn.init.kaiming_normal_(grey.weight, mode="fan_out", nonlinearity="relu")
    if grey.bias is not None:
        nn.init.zeros_(grey.bias)
    return grey


def to_input(images_NHW: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Preprocessed uint8 images `(N, H, W)` as network input `(N, 1, H, W)` float32 in [0, 1], channels last."""
    images_N1HW = images_NHW.to(device).unsqueeze(1).to(torch.float32) / 255.0
    return images_N1HW.contiguous(memory_format=torch.channels_last)
