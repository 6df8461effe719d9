"""The merge: text that spreadsheets would compute, and names that no table can hold, lose nothing."""

import csv
import io
import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from samx.storage import open_storage
from tests.service.sorting.conftest import fill, merged, sort
from tests.small_artifact import synthetic_png

HOSTILE = (
    "=HYPERLINK(A1).png",
    "+1.png",
    "-1.png",
    "@SUM(A1).png",
    "\tindented.png",
    "\rreturned.png",
    "\nnext line.png",
    "'quoted.png",
    'in"side, and\rmore.png',
)


@pytest.fixture
def files(tmp_path: Path, small_artifact: Path) -> dict[str, bytes]:
    """Merged files of a folder with such names."""
    fill(open_storage(tmp_path / "in"), {key: synthetic_png(number) for number, key in enumerate(HOSTILE)})
    (tmp_path / "in" / os.fsdecode(b"\xff latin.png")).write_bytes(synthetic_png(20))
    assert sort(str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(small_artifact), "--job", "job") == 0
    return merged(str(tmp_path / "out"), "job")


def test_no_cell_begins_like_a_formula_and_every_key_can_be_had_back(files: dict[str, bytes]) -> None:
    rows = [json.loads(line) for line in files["manifest.jsonl"].splitlines()]
    assert {row["key"] for row in rows} == {*HOSTILE, "\udcff latin.png"}
    table = list(csv.DictReader(io.StringIO(files["manifest.csv"].decode(), newline="")))
    assert not [cell for row in table for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    keys = [row["key"].removeprefix("'") for row in table]
    assert keys == [row["key"].replace("\udcff", "\\udcff") for row in rows]
    assert [row["label"] for row in table] == [row["label"] for row in rows], "columns are where they were"


def test_parquet_holds_the_keys_as_they_are(files: dict[str, bytes]) -> None:
    keys = pq.read_table(io.BytesIO(files["manifest.parquet"]))["key"].to_pylist()
    assert set(keys) == {*HOSTILE, "\\udcff latin.png"}
