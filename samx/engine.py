"""Engines: what computes the last feature maps of preprocessed radiographs.

torch is the reference (`torch_engine`). ONNX Runtime runs the file that was compiled when the artifact was published,
and needs no torch.

All that follows - pooling, head, probabilities, out-of-scope score, heat map - is the classifier's, in numpy and the
same for every engine, one image at a time. So an answer can depend on the rest of a batch only through the engine.

Shape suffixes: N images, H and W rows and columns, D features.
"""

from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

Precision = Literal["fp32", "int8"]

OUTPUTS = ("early_features", "feature_maps")
"""Names of the outputs of an engine file, as `FeatureMaps` has them."""

PRECISION_KEY = "samx.precision"
"""Where an engine file says in its ONNX metadata which precision it has."""


class FeatureMaps(NamedTuple):
    """What an engine computes of N images."""

    early_NE: npt.NDArray[np.float32]
    """Pooled features before the network's last stage."""
    last_NDHW: npt.NDArray[np.float32]
    """The last feature maps."""


class Engine(Protocol):
    """Anything that computes feature maps; safe to share between threads."""

    @property
    def name(self) -> str:
        """Library, precision or device: what answers, in words."""

    @property
    def precision(self) -> Precision:
        """Of weights and activations: decides how far its answers may be from those of the reference."""

    def feature_maps(self, images_NHW: npt.NDArray[np.uint8]) -> FeatureMaps:
        """Features of preprocessed images `(N, S, S)` uint8, in order; float32."""


class OnnxEngine:
    """The compiled engine of an artifact, on the CPU by ONNX Runtime.

    Args:
        model: content of `engine.onnx`: images `(N, S, S)` uint8 to `OUTPUTS`.
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
        if missing := set(OUTPUTS) - {node.name for node in self._session.get_outputs()}:
            raise ValueError(f"it has no output {' and '.join(sorted(missing))}")

    def feature_maps(self, images_NHW: npt.NDArray[np.uint8]) -> FeatureMaps:
        """See `Engine`."""
        return FeatureMaps(*self._session.run(list(OUTPUTS), {self._input: images_NHW}))
