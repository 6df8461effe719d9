"""Every file of the source is a row of the index or of rejected.csv."""

from pathlib import Path

import pytest

from samx.errors import WrongInput
from tests.training.small_run import small_config
from training.dataset import images_key
from training.run import Run
from training.stages.index import index


@pytest.fixture(scope="module")
def indexed(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(small_config(export, tmp_path_factory.mktemp("index")))
    index(run)
    return run


def test_no_file_is_lost(indexed: Run, export: Path) -> None:
    files = {str(path.relative_to(export / "radiographs")) for path in (export / "radiographs").rglob("*.*")}
    indexed_keys = [row["key"] for row in indexed.read_csv("index/index.csv")]
    rejected_keys = [row["key"] for row in indexed.read_csv("index/rejected.csv")]
    assert sorted(indexed_keys + rejected_keys) == sorted(files)
    assert len(indexed_keys) == 60


def test_reasons_are_given(indexed: Run) -> None:
    codes = [row["code"] for row in indexed.read_csv("index/rejected.csv")]
    assert codes.count("duplicate") == 1
    assert len(codes) == 3
    assert indexed.read_json("index/summary.json")["rejected_by_code"]["duplicate"] == 1


def test_patients_are_pseudonyms(indexed: Run) -> None:
    rows = indexed.read_csv("index/index.csv")
    assert 10 < len({row["patient"] for row in rows}) < 60
    assert b"PHANTOM-" not in indexed.read("index/index.csv")


def test_images_match_rows(indexed: Run) -> None:
    shards = [indexed.read_array(images_key(number)) for number in range(4)]
    assert sum(map(len, shards)) == 60
    assert shards[0].shape[1:] == (32, 32)
    assert shards[0].std() > 20


def test_an_interrupted_index_keeps_finished_shards_and_ends_the_same(
    export: Path, indexed: Run, tmp_path: Path
) -> None:
    run = Run(small_config(export, tmp_path))
    index(run)
    before = run.read_csv("index/shards/rows-00000.csv")
    run.storage.delete("index/index.csv")
    for what in ("rejected", "rows"):
        run.storage.delete(f"index/shards/{what}-00002.csv")
    untouched = (tmp_path / "run/index/images-00000.npy").stat().st_mtime_ns
    again = Run(small_config(export, tmp_path))
    index(again)
    assert (tmp_path / "run/index/images-00000.npy").stat().st_mtime_ns == untouched
    assert again.read("index/index.csv") == indexed.read("index/index.csv")
    assert again.read_csv("index/shards/rows-00000.csv") == before


def test_a_source_without_radiographs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "radiographs").mkdir()
    with pytest.raises(WrongInput, match="there are no files in the source"):
        index(Run(small_config(tmp_path, tmp_path / "a")))
    (tmp_path / "radiographs" / "notes.txt").write_text("no radiograph")
    with pytest.raises(WrongInput, match="none of the 1 files"):
        index(Run(small_config(tmp_path, tmp_path / "b")))
