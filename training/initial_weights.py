"""Initial weights of phase 1: from a file, or random; never downloaded.

Accepted are ours (`pretrain/weights.safetensors` of a run, or an artifact's), torchvision's own state dicts, and for
EfficientNet-Lite0, which torchvision lacks, those of `training.efficientnet_lite`. The latter two are for three-channel
images and have a classifier, which is dropped; their first convolution is converted to one grey channel: see
`grey_first_layer`. The `InitialWeights` record is for the artifact's provenance.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import pydantic
import torch
from torch import Tensor

from samx.architecture import Backbone
from samx.errors import WrongInput
from samx.network import INPUT_MEAN, INPUT_STD, Network
from training import efficientnet_lite
from training.config import InitialWeightsConfig
from training.weights_file import find_weights, read_weights, tensors_in

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""Of the channels red, green and blue in [0, 1]: how torchvision normalises the input of its classification models."""

_OUR_PREFIX: Final = "backbone."
_CLASSIFIERS: Final = ("fc.", "classifier.", "_fc.")
_COUNTER: Final = "num_batches_tracked"
"""Tells how often a BatchNorm was updated; old files lack it and nothing here depends on it."""


class InitialWeights(pydantic.BaseModel):
    """What phase 1 started from."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    source: str = ""
    """A path, a URL, `torchvision:<name>` or `package:<name>`. Empty: random weights."""
    sha256: str = ""
    """Of the file, in hexadecimal."""
    licence: str = ""
    """As configured, else what is known of the file; `unknown` where nothing is."""

    @property
    def text(self) -> str:
        """One line for `Provenance.initial_weights`: of a path only the file's name, as an artifact tells no place."""
        if not self.source:
            return "random"
        return f"{self.source.rpartition('/')[2]}, sha256 {self.sha256}, licence {self.licence}"


def load_initial_weights(network: Network, *, backbone: Backbone, config: InitialWeightsConfig) -> InitialWeights:
    """Load the configured weights into a network's backbone; its head stays as it is.

    Args:
        network: changed in place, after everything has been checked; not at all if `config.source` is empty.
        backbone: which one the network has.
        config: which weights.

    Returns:
        What was loaded.

    Raises:
        WrongInput: the file is missing, not the one whose checksum was given, not a file of plain tensors, or does not
            hold this backbone's weights.
        StorageError: the file's place is out of reach.
    """
    if not config.source:
        return InitialWeights()
    file = find_weights(config.source, backbone=backbone)
    data = read_weights(file)
    sha256 = hashlib.sha256(data).hexdigest()
    if config.sha256 and config.sha256 != sha256:
        raise WrongInput(f"{file.name} in {file.folder}: sha256 is {sha256}, the configuration says {config.sha256}")
    as_named = sha256.startswith(file.sha256_start)
    if not config.sha256 and not as_named:
        raise WrongInput(
            f"{file.name} in {file.folder} is damaged or another file: sha256 is {sha256}, by its name it starts with "
            f"{file.sha256_start}; fetch it again, or confirm this file by giving its sha256"
        )
    tensors = tensors_in(data, file.name)
    state = _backbone_state(tensors, network.backbone.state_dict(), backbone=backbone, file_name=file.name)
    network.backbone.load_state_dict(state)
    licence = config.licence or (file.licence if as_named else "unknown")
    return InitialWeights(source=file.source, sha256=sha256, licence=licence)


def grey_first_layer(
    state: Mapping[str, Tensor],
    *,
    convolution: str,
    norm: str,
    mean: Iterable[float] = IMAGENET_MEAN,
    std: Iterable[float] = IMAGENET_STD,
) -> dict[str, Tensor]:
    """A three-channel network's tensors for our one grey channel, with the same answers to grey images.

    The foreign network sees (x - mean_c) / std_c in each channel c, ours sees (x - INPUT_MEAN) / INPUT_STD once. Where
    the channels are equal its first convolution, w, is therefore ours with the weights sum_c w_c INPUT_STD / std_c,
    plus the constant sum_c sum_taps w_c (INPUT_MEAN - mean_c) / std_c. The constant goes into the convolution's bias,
    or, where it has none, into the running mean of the BatchNorm behind it.

    Zero padding stands for the mean: there for `mean` in each channel, here for the grey level INPUT_MEAN. So responses
    whose kernel reaches over the border differ, by the constant's share of the taps outside: they are what the foreign
    network answers to an image that continues with INPUT_MEAN. ConvNeXt's first convolution has no padding: all of its
    responses are the same.

    Args:
        state: the backbone's tensors by name; not changed.
        convolution: name of the first convolution, whose weights are `(D, 3, H, W)`.
        norm: name of what follows it.
        mean: of the three channels, subtracted by the foreign network's preprocessing.
        std: of the three channels, divided by.

    Returns:
        All tensors, with first weights `(D, 1, H, W)`.
    """
    weights_DCHW = state[f"{convolution}.weight"].double()
    mean_CHW, std_CHW = (torch.tensor(tuple(values), dtype=torch.float64).reshape(3, 1, 1) for values in (mean, std))
    grey_D1HW = (weights_DCHW * INPUT_STD / std_CHW).sum(1, keepdim=True)
    constant_D = (weights_DCHW * (INPUT_MEAN - mean_CHW) / std_CHW).sum((1, 2, 3))
    bias, running_mean = f"{convolution}.bias", f"{norm}.running_mean"
    shifted = {bias: state[bias] + constant_D} if bias in state else {running_mean: state[running_mean] - constant_D}
    return {
        **state,
        f"{convolution}.weight": grey_D1HW.float(),
        **{key: value.float() for key, value in shifted.items()},
    }


def _backbone_state(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, backbone: Backbone, file_name: str
) -> dict[str, Tensor]:
    """The backbone's tensors out of a file's, checked, for one grey channel."""
    ours = any(key.startswith(_OUR_PREFIX) for key in tensors)
    foreign = _foreign_layout(backbone)
    names = {key: _OUR_PREFIX + key if ours else foreign.key(key) for key in expected}
    convolution, norm = ("conv1", "bn1") if backbone.startswith("resnet") else ("0.0", "0.1")
    shapes = {key: tuple(value.shape) for key, value in expected.items()}
    if not ours:
        num_filters, _, height, width = shapes[f"{convolution}.weight"]
        shapes[f"{convolution}.weight"] = (num_filters, 3, height, width)
    found = {key: tensors[name] for key, name in names.items() if name in tensors}
    spare = tensors.keys() - set(names.values())
    problems = {
        "missing": [name for key, name in names.items() if key not in found and not key.endswith(_COUNTER)],
        "of another shape": [
            f"{names[key]} {tuple(value.shape)} instead of {shapes[key]}"
            for key, value in found.items()
            if tuple(value.shape) != shapes[key]
        ],
        "not of this network": sorted(
            key for key in spare if (key.startswith(_OUR_PREFIX) if ours else not key.startswith(_CLASSIFIERS))
        ),
        "not finite numbers": [
            names[key] for key, value in found.items() if not (key.endswith(_COUNTER) or _is_finite(value))
        ],
    }
    if any(problems.values()):
        told = "; ".join(f"{problem}: {_a_few(keys)}" for problem, keys in problems.items() if keys)
        layout = "a run's own weights" if ours else foreign.described
        raise WrongInput(f"{file_name} does not hold the weights of {backbone} ({layout}): {told}")
    state = {key: found[key].to(value.dtype) if key in found else value for key, value in expected.items()}
    if ours:
        return state
    return grey_first_layer(state, convolution=convolution, norm=norm, mean=foreign.mean, std=foreign.std)


class _Layout(NamedTuple):
    """How a file of others holds a backbone's tensors."""

    described: str
    key: Callable[[str], str]
    """Its name of one of our tensors."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    """By which the images were normalised."""


def _foreign_layout(backbone: Backbone) -> _Layout:
    if backbone == "efficientnet_lite0":
        return _Layout(
            f"the state dict of the package {efficientnet_lite.PACKAGE}, for three channels",
            efficientnet_lite.packaged_key,
            efficientnet_lite.MEAN,
            efficientnet_lite.STD,
        )
    if backbone == "resnet18_slim":
        return _Layout("a run's own weights, as torchvision has none for it", str)
    return _Layout(
        "torchvision's state dict, for three channels", str if backbone.startswith("resnet") else _features_key
    )


def _features_key(key: str) -> str:
    """Torchvision's name in networks whose convolutions are `features`; ConvNeXt's last norm is with the classifier."""
    return f"classifier.0.{key.removeprefix('norm.')}" if key.startswith("norm.") else f"features.{key}"


def _is_finite(tensor: Tensor) -> bool:
    dense = tensor.layout is torch.strided and tensor.device.type == "cpu" and tensor.is_floating_point()
    return dense and bool(torch.isfinite(tensor).all())


def _a_few(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
