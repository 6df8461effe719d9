"""The reference engine: the network as it was trained, by torch. Imported only where torch is to answer."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from samx.classifier import HEADS, Classifier
from samx.engine import FeatureMaps, Precision
from samx.manifest import ModelSpec
from samx.network import Network, to_input


class TorchEngine:
    """A network in evaluation mode."""

    precision: Precision = "fp32"

    def __init__(self, network: Network) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = next(network.parameters()).device
        self.name = f"torch {self._device.type}"

    def feature_maps(self, images_NHW: npt.NDArray[np.uint8]) -> FeatureMaps:
        """See `samx.engine.Engine`."""
        with torch.inference_mode():
            both = self.network.early_and_last(to_input(torch.from_numpy(images_NHW), self._device))
            return FeatureMaps(*(features.cpu().contiguous().numpy() for features in both))


def read_tensors(weights: bytes) -> dict[str, Tensor]:
    """The tensors of `weights.safetensors`.

    Raises:
        ValueError: it is no such file.
    """
    try:
        return safetensors.torch.load(weights)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error


def build_network(spec: ModelSpec) -> Network:
    """A network of the model's shape, with random weights."""
    return Network(spec.architecture, len(spec.classes), {head.name: len(head.values) for head in spec.attributes})


def load_network(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> Network:
    """The network of the tensors of `weights.safetensors`, on the CPU.

    Raises:
        ValueError: these are not the tensors of such a network.
    """
    network = build_network(spec)
    try:
        network.load_state_dict({key: value for key, value in tensors.items() if not key.startswith("scope.")})
    except RuntimeError as error:
        raise ValueError(f"no {spec.architecture.backbone} of {len(spec.classes)} classes: {error}") from error
    return network


def torch_classifier(
    spec: ModelSpec, tensors: Mapping[str, Tensor], device: str = "cpu", *, num_threads: int | None = None
) -> Classifier:
    """The classifier of the tensors of `weights.safetensors`, answering by torch.

    Args:
        spec: which network.
        tensors: its weights, and the distribution of its features.
        device: where it runs.
        num_threads: of torch in this process, for whatever it does; as they are by default.

    Raises:
        RuntimeError: torch cannot use `device`.
        ValueError: these are not the tensors of such a network.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    network = load_network(spec, tensors)
    arrays = {key: value.cpu().numpy() for key, value in tensors.items() if key.startswith(HEADS)}
    return Classifier(spec, TorchEngine(network.to(device)), arrays)
