"""`python -m training public`: what it writes, and what it refuses."""

from pathlib import Path

import pytest

from tests.training.public_data import trees
from tests.training.public_data.trees import fill, made_ready, read_table
from training.__main__ import WRONG_INPUT, main


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["public", *map(str, arguments)]) == WRONG_INPUT
    return capsys.readouterr().err


def test_the_configuration_names_the_tables_and_fits_the_size(tmp_path: Path) -> None:
    config = made_ready("mura", trees.mura(tmp_path / "in"), tmp_path / "out", "--site", 'Höfe "A"')
    assert (config.source, config.run) == (str(tmp_path / "in"), str(tmp_path / "out/run"))
    assert config.index.attributes == str(tmp_path / "out/radiographs.csv")
    assert (config.cluster.num_clusters, config.pretrain.num_prototypes) == (2, 3)
    assert config.architecture.backbone == "resnet50"
    assert {row["site"] for row in read_table(tmp_path / "out/radiographs.csv")} == {'Höfe "A"'}


def test_the_same_command_again_writes_the_same(tmp_path: Path) -> None:
    source = trees.mura(tmp_path / "in")
    made_ready("mura", source, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    made_ready("mura", source, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert before.keys() == {"truth.csv", "radiographs.csv", "training.toml"}


def test_what_was_found_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_ready("mura", trees.mura(tmp_path / "in"), tmp_path / "out")
    said = capsys.readouterr().out
    assert said.startswith(
        "28 radiographs, 28 with a label, 9 patients known; 1 other files. Next: python -m training run"
    )


def test_equal_numbers_in_two_data_sets_are_two_patients(tmp_path: Path) -> None:
    for name in ("one", "two"):
        fill(tmp_path / "in" / name, ["knee/1/a.png", "foot/1/b.png"])
    made_ready("folders", tmp_path / "in", tmp_path / "out", "--below", "one")
    made_ready("folders", tmp_path / "in", tmp_path / "out", "--below", "two", "--add")
    patients = {row["key"]: row["patient"] for row in read_table(tmp_path / "out/radiographs.csv")}
    assert len(patients) == 4
    assert patients["one/knee/1/a.png"] == patients["one/foot/1/b.png"] != patients["two/knee/1/a.png"]


def test_adding_twice_or_to_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "in", ["knee/a.png"])
    options = ("folders", "--source", tmp_path / "in", "--out", tmp_path / "out", "--add")
    assert "--add: there is no truth.csv in" in refused(capsys, *options)
    made_ready("folders", tmp_path / "in", tmp_path / "out")
    before = (tmp_path / "out/radiographs.csv").read_bytes()
    assert "the key knee/a.png is there more than once" in refused(capsys, *options)
    assert (tmp_path / "out/radiographs.csv").read_bytes() == before


def test_results_do_not_lie_in_the_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = fill(tmp_path / "in", ["knee/a.png"])
    said = refused(capsys, "folders", "--source", source, "--out", source / "out")
    assert "lies in --source" in said
    assert not (source / "out").exists()


def test_another_layout_is_exit_code_2_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "in", ["knee/a.png"])
    said = refused(capsys, "mura", "--source", tmp_path / "in", "--out", tmp_path / "out")
    assert "looked for train/XR_WRIST/patient00001" in said and "found knee" in said
    assert not (tmp_path / "out").exists()
    assert "found no files" in refused(capsys, "mura", "--source", tmp_path / "none", "--out", tmp_path / "out")
