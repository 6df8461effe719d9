"""Every file of the source is a row of the index or of rejected.csv."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from samx.errors import SamxError, WrongInput
from samx.phantom.not_musculoskeletal import PAINTED
from samx.storage import LocalStorage
from tests.training.small_run import small_config, to_toml
from training.config import IndexConfig, TrainingConfig
from training.dataset import images_key
from training.run import Run
from training.source_reading import Reading, ReadingConfig, age_group, read_files
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


def test_sex_and_decade_of_age_are_kept_and_no_exact_age(indexed: Run) -> None:
    rows = indexed.read_csv("index/index.csv")
    assert {row["sex"] for row in rows} == {"F", "M"}
    groups = {row["age_group"] for row in rows}
    assert len(groups) > 3
    assert groups <= {*(f"{decade}-{decade + 9}" for decade in range(0, 90, 10)), "90+"}


@pytest.mark.parametrize(
    ("patient_age", "expected"),
    [("045Y", "40-49"), ("009Y", "0-9"), ("089Y", "80-89"), ("090Y", "90+"), ("104Y", "90+"), ("018M", "0-9"),
     ("130M", "10-19"), ("020W", "0-9"), ("003D", "0-9"), ("", ""), ("45", ""), ("45Y", ""), ("0450", "")],
)  # fmt: skip
def test_an_age_becomes_its_decade(patient_age: str, expected: str) -> None:
    assert age_group(patient_age) == expected


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


# ------------------------------------------------------------------------------------------------------------- blanks


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def source_of(folder: Path, files: dict[str, bytes]) -> TrainingConfig:
    (folder / "radiographs").mkdir()
    for key, data in files.items():
        (folder / "radiographs" / key).write_bytes(data)
    return small_config(folder, folder)


def constant_dicom(export: Path, value: int) -> bytes:
    dataset = pydicom.dcmread(next((export / "radiographs").glob("0*.dcm")))
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress()
    dataset.PixelData = np.full((dataset.Rows, dataset.Columns), value, np.uint16).tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def test_blank_radiographs_are_rejected_with_the_number(export: Path, tmp_path: Path) -> None:
    marked = np.full((200, 200), 0.2)
    marked[3:10, 3:10] = 1
    blanks = {
        "constant.dcm": constant_dicom(export, 700),
        "black.dcm": constant_dicom(export, 0),
        "marked.png": png(marked),
        "white.png": png(np.ones((50, 80))),
        "rounded.dcm": constant_dicom(export, 701),
    }
    radiograph = next((export / "radiographs").glob("0*.dcm")).read_bytes()
    run = Run(source_of(tmp_path, blanks | {"radiograph.dcm": radiograph}))
    index(run)
    rejected = {row["key"]: row for row in run.read_csv("index/rejected.csv")}
    assert rejected.keys() == blanks.keys()
    assert {row["code"] for row in rejected.values()} == {"blank"}
    assert "differ by 0.000 of the range of grey; allowed is above 0.02" in rejected["marked.png"]["detail"]
    assert run.read_json("index/summary.json")["rejected_by_code"] == {"blank": 5}


def test_an_exposure_of_nothing_but_noise_stays(tmp_path: Path) -> None:
    """The reader discards its cluster."""
    noise = [PAINTED["blank_exposure"][0](None, 96, 80, np.random.default_rng(seed)) for seed in range(8)]
    run = Run(source_of(tmp_path, {f"{number}.png": png(pixels) for number, pixels in enumerate(noise)}))
    index(run)
    assert len(run.read_csv("index/index.csv")) == 8
    assert run.read_json("index/summary.json")["num_near_duplicates"] == 0


def test_no_real_radiograph_is_blank(real_radiographs: Path, tmp_path: Path) -> None:
    run = Run(small_config(tmp_path, tmp_path, source=str(real_radiographs)))
    index(run)
    codes = [row["code"] for row in run.read_csv("index/rejected.csv")]
    assert "blank" not in codes
    assert len(run.read_csv("index/index.csv")) > 1600


# ---------------------------------------------------------------------------------------------------- near-duplicates


def test_near_duplicates_stay_and_name_the_first(export: Path, tmp_path: Path) -> None:
    first, other = (file.read_bytes() for file in sorted((export / "radiographs").glob("0*.dcm"))[:2])
    pixels = pydicom.dcmread(io.BytesIO(first)).pixel_array.astype(float)
    if pydicom.dcmread(io.BytesIO(first)).PhotometricInterpretation == "MONOCHROME1":
        pixels = pixels.max() - pixels
    low, high = np.percentile(pixels, (1, 99))
    copies = {f"copy{n}.png": png((pixels - low) / (high - low) * scale) for n, scale in enumerate((1, 0.8))}
    files = {"a.dcm": first, "b.dcm": other} | copies
    run = Run(source_of(tmp_path, files | {"same.dcm": first}).model_copy(update={"index": IndexConfig(shard_size=2)}))
    index(run)
    rows = {row["key"]: row for row in run.read_csv("index/index.csv")}
    assert {key: row["duplicate_of"] for key, row in rows.items()} == {
        "a.dcm": "", "b.dcm": "", "copy0.png": "a.dcm", "copy1.png": "a.dcm",
    }  # fmt: skip
    assert run.read_json("index/summary.json")["num_near_duplicates"] == 2
    assert all(len(row["perceptual_hash"]) == 16 and int(row["perceptual_hash"], 16) for row in rows.values())
    assert [row["code"] for row in run.read_csv("index/rejected.csv")] == ["duplicate"]


def test_phantoms_hold_no_near_duplicates(indexed: Run) -> None:
    assert {row["duplicate_of"] for row in indexed.read_csv("index/index.csv")} == {""}


# ---------------------------------------------------------------------------------------------------------- processes


def test_the_number_of_processes_does_not_matter(export: Path, indexed: Run, tmp_path: Path) -> None:
    run = Run(small_config(export, tmp_path, index=IndexConfig(shard_size=16, num_workers=2)))
    index(run)
    keys = [item.key for item in run.storage.list("index/")]
    assert keys == [item.key for item in indexed.storage.list("index/")]
    assert [run.read(key) for key in keys] == [indexed.read(key) for key in keys]


def test_a_process_that_reads_imports_neither_torch_nor_sklearn() -> None:
    code = "import sys, training.source_reading; print([m for m in ('torch', 'sklearn', 'scipy') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def readings_of(export: Path, *, num_ahead: int = 4) -> Iterator[Reading]:
    config = small_config(export, export)
    how = ReadingConfig(config.source, config.preprocessing, "")
    return read_files(LocalStorage(export / "radiographs").list(), how, num_workers=2, num_ahead=num_ahead)


def test_processes_are_out_of_reach_of_the_terminals_signals(export: Path) -> None:
    with closing(readings_of(export)) as readings:
        next(readings)
        children = {child.pid for child in multiprocessing.active_children() if child.pid}
        assert len(children) == 2
        while os.getpgid(0) in {os.getpgid(child) for child in children}:  # one is still starting
            time.sleep(0.01)
        for child in children:
            os.kill(child, signal.SIGINT)
        assert len(list(readings)) == 62


def test_files_are_read_only_so_far_ahead(export: Path) -> None:
    taken = []
    items = LocalStorage(export / "radiographs").list()
    config = small_config(export, export)
    how = ReadingConfig(config.source, config.preprocessing, "")
    counted = (taken.append(item) or item for item in items)
    with closing(read_files(counted, how, num_workers=2, num_ahead=5)) as readings:
        for number, _ in zip(range(1, 20), readings, strict=False):
            assert len(taken) <= number + 5


def test_processes_end_when_reading_is_given_up(export: Path) -> None:
    with closing(readings_of(export)) as readings:
        next(readings)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


def kill_a_child_at_work(run: Run) -> None:
    while not run.storage.exists("index/shards/rejected-00000.csv"):
        time.sleep(0.001)
    for child in multiprocessing.active_children()[:1]:
        with suppress(ProcessLookupError):
            os.kill(child.pid or 0, signal.SIGKILL)


def test_a_process_that_died_is_named_with_what_to_do(export: Path, tmp_path: Path) -> None:
    run = Run(small_config(export, tmp_path, index=IndexConfig(shard_size=1, num_workers=2)))
    killer = threading.Thread(target=kill_a_child_at_work, args=(run,), daemon=True)
    killer.start()
    with pytest.raises(SamxError, match=r"died at or after .*\.dcm, .*smaller index\.num_workers"):
        index(run)
    killer.join()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_stops_at_a_safe_point(
    export: Path, indexed: Run, tmp_path: Path, number: signal.Signals
) -> None:
    """A terminal sends SIGINT to the whole process group, timeout(1) sends SIGTERM."""
    config = small_config(export, tmp_path, index=IndexConfig(shard_size=1, num_workers=2))
    (tmp_path / "training.toml").write_text(to_toml(config))
    command = [sys.executable, "-m", "training", "index", "--config", str(tmp_path / "training.toml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not (tmp_path / "run/index/shards/rejected-00001.csv").exists():
            assert process.poll() is None
            time.sleep(0.001)
        os.killpg(process.pid, number)
        error = process.communicate()[1]
    assert process.returncode == 75, error
    assert "Traceback" not in error
    assert not (tmp_path / "run/index/index.csv").exists()
    index(Run(small_config(export, tmp_path, index=IndexConfig(shard_size=1, num_workers=1))))
    assert (tmp_path / "run/index/index.csv").read_bytes() == indexed.read("index/index.csv")
