"""The network compiled for CPUs: torch to ONNX, ONNX in 32 bits to 8 bits, and whether the answers stay the same."""

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn

from samx.classifier import Prediction
from samx.engine import OUTPUTS, PRECISION_KEY, Precision
from samx.network import Network, to_input

OPSET = 20
"""Version of ONNX's operators; ONNX Runtime runs it from release 1.17 on."""
_INPUT = "images"


class _FromPixels(nn.Module):
    """The network from preprocessed uint8 images `(N, S, S)` to what `samx.engine.OUTPUTS` names."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.early_and_last(to_input(images))


def export(network: Network, size: int) -> bytes:
    """The network as an ONNX model of 32 bits, for any number of images of one size.

    Args:
        network: on the CPU, in evaluation mode.
        size: side of its images in pixels.

    Returns:
        The same bytes for the same weights: without names of files and lines, which the exporter notes everywhere.
    """
    example = torch.zeros(2, size, size, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about its own calls
        program = torch.onnx.export(
            _FromPixels(network).eval(),
            (example,),
            dynamo=True,
            dynamic_shapes={_INPUT: {0: torch.export.Dim("N")}},
            input_names=[_INPUT],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for noted in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input):
        del noted.metadata_props[:]
        noted.doc_string = ""
    del model.graph.metadata_props[:]
    return _with_precision(model, "fp32")


def quantize(model: bytes, images_NHW: npt.NDArray[np.uint8]) -> bytes:
    """The model with weights and activations in 8 bits, by the ranges that activations take on these images.

    Weights have a scale for each channel, activations one for each tensor (Krishnamoorthi 2018, section 3). Of a
    weight's 8 bits 7 are used: processors without VNNI add two products in 16 bits, which would overflow, and then give
    other answers than those with it.
    """
    nodes = onnx.load_from_string(model).graph.node
    first = next(index for index, node in enumerate(nodes) if node.op_type == "Conv")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(model)
        quantize_static(
            source,
            target,
            _Calibration(images_NHW),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=[node.name for node in nodes[:first]],  # from pixels to the network's input
        )
        return _with_precision(onnx.load(target), "int8")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the answers of a compiled engine are from those of the reference."""

    num_radiographs: int
    num_other_labels: int
    num_other_decisions: int
    largest_difference: float
    """Of any class's probability for any radiograph."""

    @property
    def is_accepted(self) -> bool:
        """Whether no radiograph gets another label and none another decision."""
        return self.num_other_labels == self.num_other_decisions == 0


def agreement(reference: Sequence[Prediction], compiled: Sequence[Prediction]) -> Agreement:
    """Compare two engines' answers for the same radiographs."""
    pairs = list(zip(reference, compiled, strict=True))
    differences = [float(np.abs(one.probabilities - other.probabilities).max()) for one, other in pairs]
    return Agreement(
        num_radiographs=len(pairs),
        num_other_labels=sum(one.label != other.label for one, other in pairs),
        num_other_decisions=sum(one.decision != other.decision for one, other in pairs),
        largest_difference=max(differences, default=0.0),
    )


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime carries no types
    """Gives the images one by one."""

    def __init__(self, images_NHW: npt.NDArray[np.uint8]) -> None:
        self._images = iter(images_NHW)

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {_INPUT: image[None]}


def _with_precision(model: onnx.ModelProto, precision: Precision) -> bytes:
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {PRECISION_KEY: precision})
    encoded: bytes = model.SerializeToString(deterministic=True)
    return encoded
