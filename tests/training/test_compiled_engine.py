"""What is published as the compiled engine, and by which answers it is accepted."""

from dataclasses import replace

import numpy as np
import onnx

from samx.classifier import Prediction
from samx.torch_engine import TorchEngine, torch_classifier
from tests.small_artifact import small_spec, small_tensors
from training.compiled_engine import OPSET, agreement, export

ANSWER = Prediction(("hand", "knee"), np.array([0.7, 0.3], np.float32), 1.0, "accept")


def test_export_gives_the_same_bytes_and_names_no_file(small_engines: dict[str, bytes]) -> None:
    engine = torch_classifier(small_spec(), small_tensors(small_spec())).engine
    assert isinstance(engine, TorchEngine)
    assert export(engine.network, 64) == small_engines["fp32"]
    for content in small_engines.values():
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model)
        assert [(entry.domain, entry.version) for entry in model.opset_import if not entry.domain] == [("", OPSET)]
        assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
        assert b".py" not in content


def test_weights_in_8_bits_take_a_quarter(small_engines: dict[str, bytes]) -> None:
    assert len(small_engines["int8"]) < 0.3 * len(small_engines["fp32"])
    weights = [w for w in onnx.load_from_string(small_engines["int8"]).graph.initializer if w.data_type == 3]
    values = [onnx.numpy_helper.to_array(weight) for weight in weights]
    assert len(values) > 15
    assert max(int(np.abs(value.astype(int)).max()) for value in values) <= 64, "a ninth bit in a sum of two"


def test_only_equal_labels_and_decisions_are_accepted() -> None:
    nearly = replace(ANSWER, probabilities=np.array([0.6, 0.4], np.float32))
    other_label = replace(ANSWER, probabilities=np.array([0.4, 0.6], np.float32))
    other_decision = replace(ANSWER, decision="review")
    assert agreement([ANSWER] * 2, [ANSWER, nearly]).is_accepted
    assert np.isclose(agreement([ANSWER] * 2, [ANSWER, nearly]).largest_difference, 0.1)
    assert not agreement([ANSWER] * 2, [ANSWER, other_label]).is_accepted
    assert not agreement([ANSWER] * 2, [ANSWER, other_decision]).is_accepted
    found = agreement([ANSWER] * 3, [other_label, other_decision, ANSWER])
    assert (found.num_radiographs, found.num_other_labels, found.num_other_decisions) == (3, 1, 1)
