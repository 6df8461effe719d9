"""Two runs on the same hold-out: figures against scipy and explicit resampling, and what cannot be compared."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest  # type: ignore[import-untyped]  # carries no types

from samx.artifact import read_artifact, resolve, write_artifact
from samx.errors import WrongInput
from samx.storage import open_storage
from training.__main__ import main
from training.config import TrainingConfig
from training.evaluation.comparison import Evaluated, as_table, compare, load_evaluated, mcnemar
from training.evaluation.predictions import PREDICTION_COLUMNS
from training.run import table_bytes


def rows_of(seed: int, num_patients: int = 40, skill: float = 0.7) -> list[dict[str, str]]:
    """Three radiographs per patient, answered with some skill."""
    generator = np.random.default_rng(seed)
    rows = []
    for index in range(3 * num_patients):
        label = ("hand", "knee", "foot")[index % 3]
        guess = generator.random()
        answer, second = (label, "hip") if guess < skill else ("hip", label) if guess < skill + 0.15 else ("hip", "toe")
        decision = "accept" if generator.random() < skill else "review"
        part = "holdout_internal" if index % 2 else "holdout_external"
        known = {"key": f"{index}.dcm", "patient": f"p{index // 3}", "part": part, "label": label}
        rows.append(
            dict.fromkeys(PREDICTION_COLUMNS, "") | known | {"answer": answer, "second": second, "decision": decision}
        )
    return rows


def evaluated_rows(name: str, rows: Sequence[Mapping[str, str]]) -> Evaluated:
    return Evaluated(name, {row["key"]: row for row in rows})


def write_run(folder: Path, rows: Sequence[Mapping[str, str]]) -> str:
    (folder / "evaluate").mkdir(parents=True)
    (folder / "evaluate/predictions.csv").write_bytes(table_bytes(rows, PREDICTION_COLUMNS))
    return str(folder)


@pytest.mark.parametrize(("only_one", "only_other"), [(0, 0), (3, 0), (5, 5), (12, 4), (700, 800), (4, 12)])
def test_mcnemar_is_the_exact_binomial_test(only_one: int, only_other: int) -> None:
    total = only_one + only_other
    expected = binomtest(only_one, total, 0.5).pvalue if total else 1.0
    assert mcnemar(only_one, only_other) == pytest.approx(expected, rel=1e-9)


def test_a_run_does_not_differ_from_itself() -> None:
    rows = rows_of(1)
    found = compare(evaluated_rows("a", rows), evaluated_rows("b", rows), resamples=200)
    for name in ("top_1", "top_2", "accepted"):
        figure = found["holdout"][name]  # type: ignore[index]
        assert figure["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
        assert (figure["only_a"], figure["only_b"], figure["mcnemar_p"]) == (0, 0, 1.0)


def test_differences_are_those_of_the_drawn_radiographs() -> None:
    a, b = rows_of(1), rows_of(2, skill=0.8)
    found = compare(evaluated_rows("a", a), evaluated_rows("b", b), resamples=300, seed=7)["holdout"]
    keys = sorted(row["key"] for row in a)
    by_key = [{row["key"]: row for row in rows} for rows in (a, b)]
    hits = [np.array([rows[key]["label"] == rows[key]["answer"] for key in keys]) for rows in by_key]
    patients = np.array([by_key[0][key]["patient"] for key in keys])
    of_patient = [np.flatnonzero(patients == name) for name in np.unique(patients)]
    generator = np.random.default_rng(7)
    differences = []
    for _ in range(3):
        for picks in generator.integers(len(of_patient), size=(100, len(of_patient))):
            drawn = np.concatenate([of_patient[pick] for pick in picks])
            differences.append(hits[1][drawn].mean() - hits[0][drawn].mean())
    figure = found["top_1"]  # type: ignore[index]
    limits = (figure["difference"]["low"], figure["difference"]["high"])
    assert limits == pytest.approx(tuple(np.percentile(differences, (2.5, 97.5))), abs=1e-6)
    assert figure["difference"]["value"] == pytest.approx(hits[1].mean() - hits[0].mean(), abs=1e-6)
    assert (figure["a"], figure["b"]) == pytest.approx((hits[0].mean(), hits[1].mean()), abs=1e-6)
    assert figure["only_a"] == (hits[0] & ~hits[1]).sum()
    assert figure["only_b"] == (hits[1] & ~hits[0]).sum()


def test_halves_add_up_and_the_order_of_rows_does_not_matter() -> None:
    a, b = rows_of(1), rows_of(2)
    found = compare(evaluated_rows("a", a), evaluated_rows("b", b), resamples=200)
    again = compare(evaluated_rows("a", a[::-1]), evaluated_rows("b", b[::-1]), resamples=200)
    assert found == again
    parts = [found[part]["n"] for part in ("holdout_internal", "holdout_external", "holdout")]  # type: ignore[index]
    assert parts[0] + parts[1] == parts[2] == len(a)


def test_the_better_run_is_better_beyond_chance() -> None:
    found = compare(evaluated_rows("a", rows_of(1, 200, 0.5)), evaluated_rows("b", rows_of(2, 200, 0.8)))
    figure = found["holdout"]["top_1"]  # type: ignore[index]
    assert figure["difference"]["low"] > 0.2
    assert figure["mcnemar_p"] < 1e-4
    assert "| all | 600 | 200 | top-1 | " in as_table(found)
    assert "< 0.0001" in as_table(found)


def test_other_radiographs_or_labels_are_refused() -> None:
    a, b = rows_of(1), rows_of(2)
    with pytest.raises(WrongInput, match="2 labelled radiographs are only in a, 1 only in b, 117 in both"):
        compare(evaluated_rows("a", a[1:]), evaluated_rows("b", b[3:] + b[:1]))
    b[4]["label"] = "toe"
    with pytest.raises(WrongInput, match=r"1 radiographs have another label, the first is 4\.dcm"):
        compare(evaluated_rows("a", a), evaluated_rows("b", b))


def test_the_command_prints_a_table_and_writes_only_where_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write_run(tmp_path / "a", rows_of(1)), write_run(tmp_path / "b", rows_of(2))
    before = sorted(tmp_path.rglob("*"))
    assert main(["compare", "--a", a, "--b", b, "--resamples", "200"]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    printed = capsys.readouterr().out
    assert f"A: {a}\nB: {b}\n" in printed
    assert main(["compare", "--a", a, "--b", b, "--resamples", "200", "--out", str(tmp_path / "c.json")]) == 0
    figures = json.loads((tmp_path / "c.json").read_text())
    assert figures == json.loads(json.dumps(compare(load_evaluated(a), load_evaluated(b), resamples=200)))
    assert f"{100 * figures['holdout']['top_1']['a']:.1f} %" in printed


def test_the_command_refuses_what_differs_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write_run(tmp_path / "a", rows_of(1)), write_run(tmp_path / "b", rows_of(2)[:-3])
    assert main(["compare", "--a", a, "--b", b]) == 2
    assert "the hold-outs differ: 3 labelled radiographs are only in" in capsys.readouterr().err
    assert main(["compare", "--a", a, "--b", str(tmp_path)]) == 2
    assert "is neither a run that was evaluated" in capsys.readouterr().err


def test_a_model_stands_for_the_run_that_made_it(evaluated: TrainingConfig, tmp_path: Path) -> None:
    model = f"{evaluated.publish.models}/{evaluated.publish.name}"
    run, found = load_evaluated(str(evaluated.run)), load_evaluated(model)
    assert found.rows == run.rows
    assert found.url == model
    assert compare(run, found, resamples=200)["holdout"]["n"] == len(run.rows)  # type: ignore[index]


def test_a_model_whose_run_has_published_another_since_is_refused(evaluated: TrainingConfig, tmp_path: Path) -> None:
    artifact = read_artifact(resolve(open_storage(f"{evaluated.publish.models}/{evaluated.publish.name}")))
    manifest, models = artifact.manifest, open_storage(tmp_path)
    for version, source in (("before", manifest.provenance.source), ("lost", str(tmp_path / "lost"))):
        provenance = manifest.provenance.model_copy(update={"source": source})
        write_artifact(
            models, name="small", version=version, model=manifest.model, provenance=provenance, files=artifact.files
        )
    with pytest.raises(WrongInput, match=f"is version before; its run .* has published {manifest.version} since"):
        load_evaluated(str(tmp_path / "small/before"))
    with pytest.raises(WrongInput, match="which is not there"):
        load_evaluated(str(tmp_path / "small/lost"))
