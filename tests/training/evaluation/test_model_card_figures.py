"""The card in the artifact repeats the figures of metrics.json."""

import json
import re

from samx.artifact import read_artifact, resolve
from samx.storage import open_storage
from training.config import TrainingConfig


def test_the_card_says_what_metrics_json_says(evaluated: TrainingConfig) -> None:
    artifact = read_artifact(resolve(open_storage(f"{evaluated.publish.models}/{evaluated.publish.name}")))
    card, metrics = artifact.files["MODEL_CARD.md"].decode(), json.loads(artifact.files["metrics.json"])["holdout"]
    found, shares = metrics["holdout"], {k: v["top_1"]["value"] for k, v in metrics["robustness"].items()}
    low, high = (100 * found["top_1"]["bootstrap"][limit] for limit in ("low", "high"))
    assert f"{low:.1f}-{high:.1f} % (bootstrap, {found['num_patients']} patients)" in card
    assert f"Calibration error {found['expected_calibration_error']:.3f}" in card
    assert f"Brier score {found['brier']:.3f} ({found['brier_uncalibrated']:.3f})" in card
    worst = min(value for name, value in shares.items() if name != "original")
    assert f", top-1 {100 * worst:.1f} %" in card
    for entry, threshold in zip(
        artifact.manifest.model.classes, artifact.manifest.model.review_thresholds, strict=True
    ):
        (row,) = re.findall(rf"^\| {entry.label} \| .*$", card, re.MULTILINE)
        review, accepted, right = row.split(" | ")[3:]
        assert review == ("always" if threshold == 1 else f"{threshold:.3f}")
        for cell, name in ((accepted, "accepted"), (right.removesuffix("|"), "accepted_precision")):
            value = found["per_class"][entry.label][name]["value"]
            assert cell.strip().partition(" (")[0] == ("" if value is None else f"{100 * value:.1f} %")
    for kind, figures in metrics["foreign"].items():
        assert f"{kind.replace('_', ' ')} {figures['auroc']['value']:.3f}" in card
