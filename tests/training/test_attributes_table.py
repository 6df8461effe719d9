"""The table of attributes is checked, fills what pictures lack, and leaves DICOM files alone."""

from pathlib import Path

import pytest

from samx.errors import WrongInput
from tests.small_artifact import synthetic_png
from tests.training.small_run import small_config
from training.attributes_table import ATTRIBUTE_COLUMNS, filled, read_attributes
from training.config import IndexConfig, TrainingConfig
from training.run import Run, table_bytes
from training.source_reading import pseudonym
from training.stages.index import index

ROW = dict.fromkeys(ATTRIBUTE_COLUMNS, "") | {"key": "a.png", "patient": "P1", "site": "Westhaven", "laterality": "L"}


def written(folder: Path, *rows: dict[str, str], columns: tuple[str, ...] = ATTRIBUTE_COLUMNS) -> str:
    path = folder / "radiographs.csv"
    path.write_bytes(table_bytes([{column: row[column] for column in columns} for row in rows], columns))
    return str(path)


def source_of(folder: Path, files: dict[str, bytes], *rows: dict[str, str], salt: str = "") -> TrainingConfig:
    (folder / "in").mkdir()
    for name, data in files.items():
        (folder / "in" / name).write_bytes(data)
    section = IndexConfig(num_workers=1, attributes=written(folder, *rows), pseudonym_salt=salt)
    return small_config(folder, folder, source=str(folder / "in"), index=section)


def test_rows_are_found_by_key(tmp_path: Path) -> None:
    assert read_attributes(written(tmp_path, ROW, ROW | {"key": "b.png"}))["b.png"] == ROW | {"key": "b.png"}


@pytest.mark.parametrize("age_group", ["", "0-9", "10-19", "80-89", "90+"])
def test_decades_are_allowed(age_group: str, tmp_path: Path) -> None:
    assert read_attributes(written(tmp_path, ROW | {"age_group": age_group}))["a.png"]["age_group"] == age_group


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age_group": "47"}, "line 2: age_group is '47'"),
        ({"implant": "1"}, "line 2: implant is '1'"),
        ({"age_group": "10-29"}, "line 2: age_group is '10-29'"),
        ({"sex": "male"}, "line 2: sex is 'male'"),
        ({"laterality": "left"}, "line 2: laterality is 'left'"),
    ],
)
def test_other_values_are_refused(change: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=message):
        read_attributes(written(tmp_path, ROW | change))


def test_a_table_that_is_missing_short_or_double_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"index\.attributes: there is no file .*none\.csv"):
        read_attributes(str(tmp_path / "none.csv"))
    with pytest.raises(WrongInput, match=r"lacks the columns \['site'\]"):
        read_attributes(written(tmp_path, ROW, columns=tuple(set(ATTRIBUTE_COLUMNS) - {"site"})))
    with pytest.raises(WrongInput, match="lacks the columns"):
        read_attributes(written(tmp_path))
    with pytest.raises(WrongInput, match=r"1 keys stand in more than one row, the first is a\.png"):
        read_attributes(written(tmp_path, ROW, ROW))
    (tmp_path / "radiographs.csv").write_bytes(b"key,patient\n\xff,1\n")
    with pytest.raises(WrongInput, match="not text in UTF-8"):
        read_attributes(str(tmp_path / "radiographs.csv"))


def test_what_the_table_leaves_empty_stays() -> None:
    row: dict[str, object] = {"key": "a.png", "patient": "of the file", "view_position": "", "sex": ""}
    assert filled(row, dict.fromkeys(ATTRIBUTE_COLUMNS, "")) == row
    assert filled(row, ROW | {"view": "frontal"}) == row | {
        "patient": "P1",
        "site": "Westhaven",
        "laterality": "L",
        "view_position": "frontal",
    }


def test_the_index_holds_salted_pseudonyms_alone(tmp_path: Path) -> None:
    files = {name: synthetic_png(number) for number, name in enumerate(("a.png", "b.png", "c.png"))}
    rows = [ROW | {"key": name, "patient": patient} for name, patient in (("a.png", "P1"), ("b.png", "P1"))]
    run = Run(source_of(tmp_path, files, *rows, ROW | {"key": "c.png", "patient": ""}, salt="secret"))
    index(run)
    first, second, alone = run.read_csv("index/index.csv")
    assert first["patient"] == second["patient"] == pseudonym("P1", "secret") != pseudonym("P1", "")
    assert alone["patient"] == pseudonym("file/c.png", "secret")
    for item in run.storage.list():
        assert b"P1" not in run.read(item.key) or item.key.endswith(".npy"), item.key


def test_dicom_files_keep_their_own_attributes(export: Path, tmp_path: Path) -> None:
    dicom = sorted((export / "radiographs").glob("0*.dcm"))[0].read_bytes()
    other = sorted((export / "radiographs").glob("0*.dcm"))[1].read_bytes()
    run = Run(source_of(tmp_path, {"a.dcm": dicom, "b.dcm": other}, ROW | {"key": "a.dcm"}))
    index(run)
    rows = run.read_csv("index/index.csv")
    assert [row["key"] for row in rows] == ["a.dcm", "b.dcm"]
    assert "Westhaven" not in rows[0]["site"] and pseudonym("P1", "") not in rows[0]["patient"]


def test_implants_are_told_of_pictures_and_dicom_files(export: Path, tmp_path: Path) -> None:
    """No attribute of a radiograph says so."""
    dicom = sorted((export / "radiographs").glob("0*.dcm"))
    files = {"a.png": synthetic_png(1), "b.dcm": dicom[0].read_bytes(), "c.dcm": dicom[1].read_bytes()}
    rows = [ROW | {"implant": "no"}, ROW | {"key": "b.dcm", "implant": "yes"}]
    run = Run(source_of(tmp_path, files, *rows))
    index(run)
    assert {row["key"]: row["implant"] for row in run.read_csv("index/index.csv")} == {
        "a.png": "no",
        "b.dcm": "yes",
        "c.dcm": "",
    }


def test_a_table_without_the_column_of_implants_is_read(tmp_path: Path) -> None:
    older = tuple(column for column in ATTRIBUTE_COLUMNS if column != "implant")
    assert read_attributes(written(tmp_path, ROW, columns=older))["a.png"] == ROW


def test_rows_without_a_file_stop_the_index_and_a_mended_source_is_listed_again(tmp_path: Path) -> None:
    config = source_of(tmp_path, {"z.png": synthetic_png(1)}, ROW)
    with pytest.raises(WrongInput, match=r"1 of 1 keys of .* the first is a\.png; the first there is z\.png"):
        index(Run(config))
    (tmp_path / "in/a.png").write_bytes(synthetic_png(2))
    run = Run(config)
    index(run)
    assert [row["key"] for row in run.read_csv("index/index.csv")] == ["a.png"]
    assert [(row["key"], row["code"]) for row in run.read_csv("index/rejected.csv")] == [("z.png", "no_attributes")]


def test_an_index_goes_on_with_the_table_it_began_with(tmp_path: Path) -> None:
    config = source_of(tmp_path, {"a.png": synthetic_png(1)}, ROW)
    index(Run(config))
    written(tmp_path, ROW | {"site": "Elsewhere"})
    run = Run(config)
    run.storage.delete("index/shards/rejected-00000.csv")
    index(run)
    assert [row["site"] for row in run.read_csv("index/index.csv")] == ["Westhaven"]


def test_a_moved_table_is_the_same_job_but_none_is_another(tmp_path: Path) -> None:
    here, there, none = (
        small_config(tmp_path, tmp_path, index=IndexConfig(attributes=attributes)) for attributes in ("a", "b", None)
    )
    assert here.sha256() == there.sha256() != none.sha256()
    assert "attributes" not in none.fields(["index"])["index"]
