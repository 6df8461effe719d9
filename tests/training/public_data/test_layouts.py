"""Each data set, from a tree in its layout through index and split."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from samx.anatomy import ANATOMY
from samx.errors import WrongInput
from tests.training.public_data import trees
from tests.training.public_data.trees import fill, indexed_and_split, made_ready, read_table, write_table
from training.public_data import folders, fracatlas, grazpedwri, mura
from training.public_data.tree import PublicRadiograph, open_tree
from training.simulated_reader import read_truth


def sides(rows: Iterable[Mapping[str, str]]) -> list[set[tuple[str, str]]]:
    """Part and fold of each patient's radiographs."""
    found = defaultdict(set)
    for row in rows:
        found[row["patient"]].add((row["part"], row["fold"]))
    return list(found.values())


# --------------------------------------------------------------------------------------------------------------- MURA


def test_mura_is_split_by_its_patients(tmp_path: Path) -> None:
    config = made_ready("mura", trees.mura(tmp_path / "in"), tmp_path / "out")
    run, rows = indexed_and_split(config)
    assert len(rows) == 28
    assert run.read_json("index/summary.json")["num_patients"] == 9
    assert run.read_json("index/summary.json")["radiographs_by_site"] == {"MURA": 28}
    assert len(sides(rows.values())) == 9
    assert all(len(side) == 1 for side in sides(rows.values()))
    assert config.label.simulated_reader is not None
    truth = read_truth(config.label.simulated_reader)
    assert truth.keys() == rows.keys()
    assert all(f"XR_{label.upper()}/" in key for key, label in truth.items())
    assert set(truth.values()) == {"wrist", "elbow", "shoulder"} <= ANATOMY.keys()
    assert b"patient0" not in Path(config.index.attributes or "").read_bytes().replace(b"/patient0", b"")


def test_without_its_table_every_picture_would_be_a_patient(tmp_path: Path) -> None:
    config = made_ready("mura", trees.mura(tmp_path / "in"), tmp_path / "out")
    run, rows = indexed_and_split(
        config.model_copy(update={"index": config.index.model_copy(update={"attributes": None})})
    )
    assert run.read_json("index/summary.json")["num_patients"] == len(rows) == 28


# ---------------------------------------------------------------------------------------------------------- FracAtlas


def test_fracatlas_labels_are_single_regions(tmp_path: Path) -> None:
    source = trees.fracatlas(
        tmp_path / "in",
        [
            {"image_id": "IMG0000001.jpg", "hand": 1, "frontal": 1},
            {"image_id": "IMG0000002.jpg", "leg": 1, "fractured": 1, "lateral": 1},
            {"image_id": "IMG0000003.jpg", "leg": 1, "hip": 1, "mixed": 1, "frontal": 1},
            {"image_id": "IMG0000004.jpg", "shoulder": 1, "hand": 1, "hardware": 1, "oblique": 1},
            {"image_id": "IMG0000005.jpg", "hip": 1, "multiscan": 1, "frontal": 1, "lateral": 1},
            {"image_id": "IMG0000006.jpg", "hand": 1, "mixed": 1, "frontal": 1},
            {"image_id": "IMG0000007.jpg", "frontal": 1},
        ],
    )
    config = made_ready("fracatlas", source, tmp_path / "out")
    assert read_table(tmp_path / "out/truth.csv") == [
        {"key": "images/Non_fractured/IMG0000001.jpg", "label": "hand"},
        {"key": "images/Fractured/IMG0000002.jpg", "label": "leg"},
        {"key": "images/Non_fractured/IMG0000005.jpg", "label": "hip"},
    ]
    run, rows = indexed_and_split(config)
    views = {key[-8:-4]: row["view_position"] for key, row in rows.items()}
    assert views == {"0001": "frontal", "0002": "lateral", "0003": "frontal", "0004": "oblique", "0005": ""} | {
        "0006": "frontal",
        "0007": "frontal",
    }
    assert run.read_json("index/summary.json")["num_patients"] == 7
    assert {row["site"] for row in rows.values()} == {"FracAtlas"}
    assert {key[-8:-4] for key, row in rows.items() if row["implant"] == "yes"} == {"0004"}
    assert {row["implant"] for row in rows.values()} == {"yes", "no"}


def test_a_picture_that_the_table_lacks_is_rejected_and_one_that_is_not_there_left_out(tmp_path: Path) -> None:
    names = [f"IMG000000{number}.jpg" for number in range(6)]
    source = trees.fracatlas(tmp_path / "in", [{"image_id": name, "hip": 1} for name in names])
    table = read_table(source / "dataset.csv")
    write_table(source / "dataset.csv", table[1:], trees.FRACATLAS_COLUMNS)
    (source / "images/Non_fractured" / names[5]).unlink()
    run, rows = indexed_and_split(made_ready("fracatlas", source, tmp_path / "out"))
    assert [key[-len(names[0]) :] for key in rows] == names[1:5]
    rejected = {row["key"]: row["code"] for row in run.read_csv("index/rejected.csv")}
    assert rejected == {"dataset.csv": "unknown_format", f"images/Non_fractured/{names[0]}": "no_attributes"}


# -------------------------------------------------------------------------------------------------------- GRAZPEDWRI-DX


def test_grazpedwri_tells_patient_view_side_sex_and_decade(tmp_path: Path) -> None:
    config = made_ready("grazpedwri", trees.grazpedwri(tmp_path / "in"), tmp_path / "out")
    run, rows = indexed_and_split(config)
    columns = ("view_position", "laterality", "sex", "age_group", "site")
    assert len(rows) == 12
    second = {key: [row[column] for column in columns] for key, row in rows.items() if "/0002_" in key}
    assert sorted(second.values()) == [
        ["frontal", "L", "F", "0-9", "GRAZPEDWRI-DX"],
        ["lateral", "L", "F", "0-9", "GRAZPEDWRI-DX"],
    ]
    assert [row["age_group"] for key, row in rows.items() if "/0003_" in key] == ["10-19", "10-19"]
    assert run.read_json("index/summary.json")["num_patients"] == 6
    assert all(len(side) == 1 for side in sides(rows.values()))
    assert {row["label"] for row in read_table(tmp_path / "out/truth.csv")} == {"wrist"}


def test_grazpedwri_beside_mura_is_an_external_site(tmp_path: Path) -> None:
    trees.mura(tmp_path / "in/MURA-v1.1")
    trees.grazpedwri(tmp_path / "in/graz")
    made_ready("mura", tmp_path / "in", tmp_path / "out", "--below", "MURA-v1.1")
    config = made_ready("grazpedwri", tmp_path / "in", tmp_path / "out", "--below", "graz/", "--add")
    _, rows = indexed_and_split(config, "GRAZPEDWRI-DX")
    assert len(rows) == 40
    external = {key for key, row in rows.items() if row["part"] == "holdout_external"}
    assert external == {key for key in rows if key.startswith("graz/")}
    assert {row["key"] for row in read_table(tmp_path / "out/truth.csv")} == rows.keys()


# ------------------------------------------------------------------------------------------------- a folder per label


def test_folders_name_label_and_patient(tmp_path: Path) -> None:
    keys = [f"{label}/{patient}/{n}.png" for label in ("knee", "foot") for patient in ("Q7", "Q8") for n in (1, 2)]
    source = fill(tmp_path / "in", [*keys, "hip/one.png", "hip/two.png", "read me.png"])
    config = made_ready("folders", source, tmp_path / "out", "--site", "Westhaven")
    assert {row["key"]: row["label"] for row in read_table(tmp_path / "out/truth.csv")} == {
        key: key.partition("/")[0] for key in [*keys, "hip/one.png", "hip/two.png"]
    }
    run, rows = indexed_and_split(config)
    assert len({row["patient"] for key, row in rows.items() if "Q7" in key}) == 1
    assert len({row["patient"] for row in rows.values()}) == 4
    assert {row["site"] for row in rows.values()} == {"Westhaven"}
    assert [(row["key"], row["code"]) for row in run.read_csv("index/rejected.csv")] == [
        ("read me.png", "no_attributes")
    ]


# ------------------------------------------------------------------------------------------------------- other layouts


@pytest.mark.parametrize(
    ("name", "looked_for"),
    [
        ("mura", "train/XR_WRIST/patient00001"),
        ("fracatlas", "the table dataset.csv"),
        ("grazpedwri", "the table dataset.csv"),
        ("folders", "LABEL/picture.png"),
    ],
)
def test_another_layout_is_refused_with_what_was_found(name: str, looked_for: str, tmp_path: Path) -> None:
    source = fill(tmp_path, ["a.png", "b.png", ".c.png"])
    radiographs = {"mura": mura, "fracatlas": fracatlas, "grazpedwri": grazpedwri, "folders": folders}[name].radiographs
    with pytest.raises(WrongInput, match=rf"looked for {looked_for}.*; found a\.png, b\.png$"):
        radiographs(open_tree(str(source)))


def test_tables_without_pictures_or_columns_and_with_rows_twice_are_refused(tmp_path: Path) -> None:
    rows = [{"image_id": "IMG0000001.jpg", "hip": "1", "fractured": "0"}]
    write_table(tmp_path / "dataset.csv", rows, ("image_id", "hip", "fractured"))
    with pytest.raises(WrongInput, match=r"dataset\.csv in .* lacks the columns \['frontal', 'hand'"):
        fracatlas.radiographs(open_tree(str(tmp_path)))
    write_table(tmp_path / "dataset.csv", rows, trees.FRACATLAS_COLUMNS)
    with pytest.raises(WrongInput, match=r"looked for images/Fractured/ .*IMG0000001\.jpg.*; found dataset\.csv"):
        fracatlas.radiographs(open_tree(str(tmp_path)))
    write_table(tmp_path / "dataset.csv", rows * 2, trees.FRACATLAS_COLUMNS)
    with pytest.raises(WrongInput, match=r"image_id IMG0000001\.jpg is there more than once"):
        fracatlas.radiographs(open_tree(str(tmp_path)))


def test_a_filestem_in_two_parts_is_refused(tmp_path: Path) -> None:
    source = trees.grazpedwri(tmp_path)
    first = next((source / "images_part1").iterdir())
    (source / "images_part2" / first.name).write_bytes(first.read_bytes())
    with pytest.raises(WrongInput, match=f"a picture of the filestem {first.stem} is there more than once"):
        grazpedwri.radiographs(open_tree(str(source)))


def test_what_grazpedwri_does_not_say_stays_empty(tmp_path: Path) -> None:
    row = dict.fromkeys(trees.GRAZ_COLUMNS, "") | {"filestem": "1_a", "projection": "3", "laterality": "X", "age": "?"}
    fill(tmp_path, ["images/1_a.png"])
    write_table(tmp_path / "dataset.csv", [row], trees.GRAZ_COLUMNS)
    assert grazpedwri.radiographs(open_tree(str(tmp_path))) == [PublicRadiograph("images/1_a.png", "wrist")]


def test_reserved_words_are_no_labels(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="mixed is a reserved word"):
        folders.radiographs(open_tree(str(fill(tmp_path, ["mixed/a.png", "knee/b.png"]))))
