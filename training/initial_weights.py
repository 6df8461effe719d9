"""Initial weights of phase 1: from a file, or random; never downloaded.

Accepted are torchvision's own state dicts (three-channel images, a classifier that is dropped) and ours
(`pretrain/weights.safetensors` of a run, or an artifact's). A torchvision file's first convolution is converted to one
grey channel: see `grey_first_layer`. The `InitialWeights` record is for the artifact's provenance.
"""

import hashlib
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pydantic
import safetensors.torch
import torch
from torch import Tensor

from samx.architecture import Backbone
from samx.errors import ObjectNotFound, WrongInput
from samx.network import INPUT_MEAN, INPUT_STD, Network
from samx.storage import open_storage
from samx.torchvision_loader import import_torchvision
from training.config import InitialWeightsConfig

import_torchvision()

from torchvision.models import get_model_weights  # noqa: E402  (importable only after the line above)

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""Of the channels red, green and blue in [0, 1]: how torchvision normalises the input of its classification models."""

TORCHVISION_LICENCE: Final = (
    "torchvision's code is BSD-3-Clause; trained on ImageNet-1K, from whose terms further conditions may follow"
)
"""After "Pre-trained Model License" in torchvision's README: it names no licence for these files, and says that a model
may have "licenses or terms and conditions derived from the dataset used for training"."""

_TORCHVISION: Final = "torchvision:"
_OUR_PREFIX: Final = "backbone."
_CLASSIFIERS: Final = ("fc.", "classifier.")
_COUNTER: Final = "num_batches_tracked"
"""Tells how often a BatchNorm was updated; old files lack it and nothing here depends on it."""


class InitialWeights(pydantic.BaseModel):
    """What phase 1 started from."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    source: str = ""
    """A path, a URL or `torchvision:<name>`. Empty: random weights."""
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


class _File(NamedTuple):
    """Where the weights lie, and what is known before they are read."""

    source: str
    folder: str
    name: str
    advice: str
    """What to do when the file is missing."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    sha256_start: str = ""
    """First digits of the digest, which torch hub puts at the end of its file names; empty: not known."""


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
    named = config.source.startswith(_TORCHVISION)
    file = _torchvision_file(backbone, config.source) if named else _configured_file(config.source)
    data = _read(file)
    sha256 = hashlib.sha256(data).hexdigest()
    if config.sha256 and config.sha256 != sha256:
        raise WrongInput(f"{file.name} in {file.folder}: sha256 is {sha256}, the configuration says {config.sha256}")
    as_named = sha256.startswith(file.sha256_start)
    if not config.sha256 and not as_named:
        raise WrongInput(
            f"{file.name} in {file.folder} is damaged or another file: sha256 is {sha256}, by its name it starts with "
            f"{file.sha256_start}; fetch it again, or confirm this file by giving its sha256"
        )
    tensors = _state_dict(data, file.name)
    state = _backbone_state(tensors, network.backbone.state_dict(), backbone=backbone, file=file)
    network.backbone.load_state_dict(state)
    known = TORCHVISION_LICENCE if named and as_named else "unknown"
    return InitialWeights(source=file.source, sha256=sha256, licence=config.licence or known)


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


# ------------------------------------------------------------------------------------------------------------ the file


def _configured_file(source: str) -> _File:
    folder, slash, name = source.rpartition("/")
    return _File(
        source, folder or slash or ".", name, "correct pretrain.init.source, or leave it empty for random weights"
    )


def _torchvision_file(backbone: Backbone, source: str) -> _File:
    """The file that torchvision itself would load, in torch hub's cache."""
    try:
        available = get_model_weights(backbone)
    except ValueError:
        raise WrongInput(
            f"{source}: torchvision has no weights for {backbone}; choose another backbone, or give the file of an "
            "earlier run"
        ) from None
    try:
        weights = available[source.removeprefix(_TORCHVISION)]
    except KeyError:
        names = ", ".join(_TORCHVISION + member.name for member in available)
        raise WrongInput(f"{source}: torchvision's weights for {backbone} are {names}") from None
    name = weights.url.rpartition("/")[2]
    transforms = weights.transforms()
    return _File(
        source=_TORCHVISION + weights.name,  # its own name where an alias like DEFAULT was given
        folder=str(Path(torch.hub.get_dir()) / "checkpoints"),
        name=name,
        advice=f"nothing is downloaded here: fetch {weights.url} and put it there, or set TORCH_HOME to where it is",
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        sha256_start=Path(name).stem.rpartition("-")[2],
    )


def _read(file: _File) -> bytes:
    try:
        return open_storage(file.folder).read(file.name)
    except ObjectNotFound as error:
        raise WrongInput(f"initial weights: there is no {file.name} in {file.folder}; {file.advice}") from error
    except ValueError as error:
        raise WrongInput(
            f"initial weights: {file.source}: allowed are the path of a file and s3://bucket/key ({error})"
        ) from error


def _state_dict(data: bytes, name: str) -> dict[str, Tensor]:
    """Tensors by name, out of `{"state_dict": ...}`, `{"model": ...}` and a leading `module.`, where these are."""
    try:
        if name.endswith(".safetensors"):
            content: Any = safetensors.torch.load(data)
        else:
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile file makes the unpickler raise anything
        raise WrongInput(
            f"{name} is broken, or holds more than plain tensors, which is not read as it could run code "
            f"({type(error).__name__}); save its tensors as .safetensors"
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not (isinstance(content, Mapping) and content and all(isinstance(value, Tensor) for value in content.values())):
        raise WrongInput(f"{name} holds no state dict: allowed are tensors by name, bare or as `state_dict` or `model`")
    return {str(key).removeprefix("module."): value.detach() for key, value in content.items()}


# --------------------------------------------------------------------------------------------------------- the tensors


def _backbone_state(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, backbone: Backbone, file: _File
) -> dict[str, Tensor]:
    """The backbone's tensors out of a file's, checked, for one grey channel."""
    ours = any(key.startswith(_OUR_PREFIX) for key in tensors)
    names = {key: _OUR_PREFIX + key if ours else _torchvision_key(key, backbone) for key in expected}
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
        layout = "a run's own weights" if ours else "torchvision's state dict, for three channels"
        if backbone == "resnet18_slim" and not ours:
            layout = "a run's own weights, as torchvision has none for it"
        raise WrongInput(f"{file.name} does not hold the weights of {backbone} ({layout}): {told}")
    state = {key: found[key].to(value.dtype) if key in found else value for key, value in expected.items()}
    if ours:
        return state
    return grey_first_layer(state, convolution=convolution, norm=norm, mean=file.mean, std=file.std)


def _torchvision_key(key: str, backbone: Backbone) -> str:
    if backbone.startswith("resnet"):
        return key
    return f"classifier.0.{key.removeprefix('norm.')}" if key.startswith("norm.") else f"features.{key}"


def _is_finite(tensor: Tensor) -> bool:
    dense = tensor.layout is torch.strided and tensor.device.type == "cpu" and tensor.is_floating_point()
    return dense and bool(torch.isfinite(tensor).all())


def _a_few(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
