"""View and laterality, by hand."""

import pytest

from training.evaluation.attributes import attribute_figures


def row(truth: str, answer: str) -> dict[str, object]:
    return {"view_label": truth, "view_answer": answer}


def test_only_what_is_known_and_learned_is_judged() -> None:
    rows = [row("AP", "AP"), row("AP", "LAT"), row("AP", "AP"), row("LAT", "LAT")]
    rows += [row("", "AP"), row("AP", ""), row("Y", "AP")]  # unknown, not answered, never learned
    found = attribute_figures(rows, {"view": ["AP", "LAT", "OBL"]})["view"]
    assert found["n"] == 4
    assert found["accuracy"]["value"] == 0.75  # type: ignore[index]
    assert found["macro_recall"]["value"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-6)  # type: ignore[index]
    assert found["commonest"] == 0.75
    recall = found["recall"]
    assert isinstance(recall, dict) and {value: figures["n"] for value, figures in recall.items()} == {
        "AP": 3,
        "LAT": 1,
    }


def test_nothing_known_is_no_figure() -> None:
    assert attribute_figures([row("", "AP")], {"view": ["AP", "LAT"]}) == {"view": {"n": 0}}
    assert attribute_figures([], {}) == {}
