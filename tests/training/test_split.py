"""The split keeps patients together and the hold-out apart."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from samx.errors import WrongInput
from tests.training.small_run import small_config
from training.config import SplitConfig
from training.dataset import INDEX_COLUMNS
from training.run import Run
from training.stages.split import split


def split_rows(
    tmp_path: Path, config: SplitConfig, num_patients: int = 60, duplicates: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, str]]:
    """Patients of one to four radiographs at three sites; patient 0 was at two sites."""
    run = Run(small_config(tmp_path, tmp_path, split=config))
    rows = [
        dict.fromkeys(INDEX_COLUMNS, "")
        | {
            "key": f"{patient}-{image}",
            "patient": f"p{patient}",
            "site": "c" if image and not patient else "abc"[patient % 3],
            "duplicate_of": duplicates.get(f"{patient}-{image}", ""),
        }
        for patient in range(num_patients)
        for image in range(1 + patient % 4)
    ] + [dict.fromkeys(INDEX_COLUMNS, "") | {"key": "0-1", "patient": "p0", "site": "c"}]
    run.write_csv("index/index.csv", rows, INDEX_COLUMNS)
    split(run)
    return [row | entry for row, entry in zip(rows, run.read_csv("split/split.csv"), strict=True)]


CONFIG = SplitConfig(external_sites=("c",), holdout_fraction=0.25, num_folds=4)


def test_no_patient_is_on_two_sides(tmp_path: Path) -> None:
    sides = defaultdict(set)
    for row in split_rows(tmp_path, CONFIG):
        sides[row["patient"]].add((row["part"], row["fold"]))
    assert all(len(found) == 1 for found in sides.values())


def test_patients_who_share_a_near_duplicate_are_on_one_side(tmp_path: Path) -> None:
    """Every patient is joined with the 30th after it, at an internal site, some over a third; 1 and 5 with the c's."""
    duplicates = {f"{patient}-0": f"{patient - 30}-0" for patient in range(33, 60) if patient % 3 != 2}
    duplicates |= {"7-2": "6-0", "36-0": "7-1", "5-1": "1-0"}
    rows = split_rows(tmp_path, CONFIG, duplicates=duplicates)
    by_key = {row["key"]: row for row in rows}
    for key, first in duplicates.items():
        assert [by_key[key][column] for column in ("part", "fold")] == [by_key[first][c] for c in ("part", "fold")]
    sides = defaultdict(set)
    for row in rows:
        sides[row["patient"]].add((row["part"], row["fold"]))
    assert all(len(found) == 1 for found in sides.values())
    assert {by_key[key]["part"] for key in ("1-0", "1-1", "5-0", "5-1")} == {"holdout_external"}
    assert {row["part"] for row in rows if row["site"] == "a"} >= {"development", "holdout_internal"}


def test_the_summary_counts_the_patients_who_were_joined(tmp_path: Path) -> None:
    split_rows(tmp_path, CONFIG, duplicates={"7-1": "6-0", "9-1": "7-0", "10-1": "10-0", "15-1": "13-0"})
    summary = json.loads((tmp_path / "run/split/summary.json").read_text())
    assert summary["patients_joined_by_near_duplicates"] == 5
    assert sum(summary["patients"].values()) == 60


def test_without_near_duplicates_nobody_is_joined(tmp_path: Path) -> None:
    split_rows(tmp_path, CONFIG)
    assert json.loads((tmp_path / "run/split/summary.json").read_text())["patients_joined_by_near_duplicates"] == 0


def test_external_sites_are_held_out_whole_with_their_patients(tmp_path: Path) -> None:
    rows = split_rows(tmp_path, CONFIG)
    assert {row["part"] for row in rows if row["site"] == "c"} == {"holdout_external"}
    assert {row["part"] for row in rows if row["patient"] == "p0"} == {"holdout_external"}


def test_the_internal_share_is_held_out(tmp_path: Path) -> None:
    rows = [row for row in split_rows(tmp_path, CONFIG, num_patients=400) if row["part"] != "holdout_external"]
    assert sum(row["part"] == "holdout_internal" for row in rows) / len(rows) == pytest.approx(0.25, abs=0.01)


def test_folds_are_of_even_size_and_only_in_development(tmp_path: Path) -> None:
    rows = split_rows(tmp_path, CONFIG, num_patients=400)
    sizes = [sum(row["fold"] == str(fold) for row in rows) for fold in range(4)]
    assert max(sizes) - min(sizes) <= 4
    assert {row["fold"] == "" for row in rows if row["part"] != "development"} == {True}


def test_the_seed_decides(tmp_path: Path) -> None:
    first, again = (split_rows(tmp_path / name, CONFIG) for name in "ab")
    assert [row["part"] for row in first] == [row["part"] for row in again]


def test_an_unknown_external_site_is_named(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"Institution Name \['d'\]; found \['a', 'b', 'c'\]"):
        split_rows(tmp_path, SplitConfig(external_sites=("d",)))


def test_too_few_patients_for_the_folds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="folds need at least as many"):
        split_rows(tmp_path, CONFIG, num_patients=4)
