"""Engines: what computes the last feature maps of preprocessed radiographs.

torch is the reference (`torch_engine`). ONNX Runtime runs the file that was compiled when the artifact was published,
and needs no torch.

All that follows - pooling, head, probabilities, out-of-scope score, heat map - is the classifier's, in numpy and the
same for every engine, one image at a time. So an answer can depend on the rest of a batch only through the engine.

Shape suffixes: N images, H and W rows and columns, D features.
"""

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

Precision = Literal["fp32", "int8"]

PRECISION_KEY = "samx.precision"
"""Where an engine file says in its ONNX metadata which precision it has."""


class Engine(Protocol):
    """Anything that computes feature maps; safe to share between threads."""

    @property
    def name(self) -> str:
        """Library, precision or device: what answers, in words."""

    @property
    def precision(self) -> Precision:
        """Of weights and activations: decides how far its answers may be from those of the reference."""

    def feature_maps(self, images_NHW: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Last feature maps `(N, D, h, w)` float32 of preprocessed images `(N, S, S)` uint8, in order."""


class OnnxEngine:
    """The compiled engine of an artifact, on the CPU by ONNX Runtime.

    Args:
        model: content of `engine.onnx`: images `(N, S, S)` uint8 to feature maps.
        num_threads: that work together on one call; calls from several threads each have their own.

    Raises:
        ValueError: ONNX Runtime cannot run this.
    """

    def __init__(self, model: bytes, num_threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors: they are raised as well
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's classes of errors have no common base
            raise ValueError(f"ONNX Runtime {onnxruntime.__version__} cannot run it: {error}") from error
        precision = self._session.get_modelmeta().custom_metadata_map.get(PRECISION_KEY)
        if precision not in ("fp32", "int8"):
            raise ValueError(f"its {PRECISION_KEY} is {precision}, not fp32 or int8")
        self.precision: Precision = precision
        self.name = f"onnxruntime {precision}"
        (self._input,) = (node.name for node in self._session.get_inputs())

    def feature_maps(self, images_NHW: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See `Engine`."""
        (maps_NDHW,) = self._session.run(None, {self._input: images_NHW})
        return maps_NDHW  # type: ignore[no-any-return]
