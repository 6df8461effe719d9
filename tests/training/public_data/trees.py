"""Small trees in the layouts of the public data sets, filled with smooth noise."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.small_artifact import synthetic_png
from training.__main__ import main
from training.config import TrainingConfig, load_config
from training.run import Run
from training.stages.index import index
from training.stages.split import split

GRAZ_COLUMNS = (
    "filestem", "patient_id", "study_number", "timehash", "gender", "age", "laterality", "projection", "initial_exam",
    "ao_classification", "cast", "diagnosis_uncertain", "osteopenia", "fracture_visible", "metal", "pixel_spacing",
    "device_manufacturer",
)  # fmt: skip
FRACATLAS_COLUMNS = (
    "image_id", "hand", "leg", "hip", "shoulder", "mixed", "hardware", "multiscan", "fractured", "fracture_count",
    "frontal", "lateral", "oblique",
)  # fmt: skip


def fill(folder: Path, keys: Sequence[str], *, seed: int = 0) -> Path:
    """A picture under each key, each another."""
    for number, key in enumerate(keys, start=seed):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(synthetic_png(number))
    return folder


def mura(folder: Path, num_patients: int = 9) -> Path:
    """Two studies of each patient, of another body part each, and what else the archive holds."""
    parts = ("WRIST", "ELBOW", "SHOULDER")
    keys = [
        f"{'valid' if patient % 3 == 2 else 'train'}/XR_{parts[(patient + study) % 3]}/patient{patient:05d}/"
        f"study1_{'positive' if study else 'negative'}/image{image}.png"
        for patient in range(1, num_patients + 1)
        for study in range(2)
        for image in range(1, 2 + patient % 2)
    ]
    fill(folder, keys)
    (folder / "train_image_paths.csv").write_text("MURA-v1.1/" + "\nMURA-v1.1/".join(keys) + "\n")
    (folder / keys[0]).with_name("._image1.png").write_bytes(b"\0\5\26\7")
    return folder


def fracatlas(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """A table of these rows, 0 where they say nothing, and a JPEG for each."""
    whole = [dict.fromkeys(FRACATLAS_COLUMNS, 0) | dict(row) for row in rows]
    for number, row in enumerate(whole):
        path = folder / "images" / ("Fractured" if row["fractured"] else "Non_fractured") / str(row["image_id"])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(synthetic_png(1000 + number))).save(path, format="JPEG")
    write_table(folder / "dataset.csv", whole, FRACATLAS_COLUMNS)
    return folder


def grazpedwri(folder: Path, num_patients: int = 6) -> Path:
    """A frontal and a lateral radiograph of each patient, 16 bits per pixel, in two of the four parts."""
    rows: list[dict[str, object]] = [
        dict[str, object](dict.fromkeys(GRAZ_COLUMNS, ""))
        | {
            "filestem": f"{patient:04d}_0000000001_0{projection}_WRI-{'LR'[patient % 2]}{projection}_F012",
            "patient_id": patient,
            "gender": "FM"[patient % 2],
            "age": f"{patient + 7}.5",
            "laterality": "LR"[patient % 2],
            "projection": projection,
        }
        for patient in range(1, num_patients + 1)
        for projection in (1, 2)
    ]
    for number, row in enumerate(rows):
        path = folder / f"images_part{1 + number % 2}" / f"{row['filestem']}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.asarray(Image.open(io.BytesIO(synthetic_png(2000 + number))), np.uint16)
        Image.fromarray(grey * 200 + 3000).save(path)
    write_table(folder / "dataset.csv", rows, GRAZ_COLUMNS)
    return folder


def write_table(path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """A CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(path.read_text())))


def made_ready(name: str, source: Path, out: Path, *options: str) -> TrainingConfig:
    """What the command writes, as the configuration that names it."""
    assert main(["public", name, "--source", str(source), "--out", str(out), *options]) == 0
    return load_config(out / "training.toml")


def indexed_and_split(config: TrainingConfig, *external_sites: str) -> tuple[Run, dict[str, dict[str, str]]]:
    """Index and split of a configuration, with two folds and small images: the rows of both by key."""
    changed = {
        "preprocessing": config.preprocessing.model_copy(update={"size": 32, "working_size": 64}),
        "index": config.index.model_copy(update={"num_workers": 1, "shard_size": 8}),
        "split": config.split.model_copy(update={"num_folds": 2, "external_sites": external_sites}),
    }
    run = Run(config.model_copy(update=changed))
    index(run)
    split(run)
    parts = {row["key"]: row for row in run.read_csv("split/split.csv")}
    return run, {row["key"]: row | parts[row["key"]] for row in run.read_csv("index/index.csv")}
