"""Writes an export: FOLDER/radiographs/<opaque name>.dcm and, last, FOLDER/truth.csv beside it."""

import csv
import io
import multiprocessing
from functools import partial
from pathlib import Path

from tqdm import tqdm

from samx.cores import available_cores
from samx.phantom.dicom import to_dicom
from samx.phantom.exposure import render
from samx.phantom.plan import TRUTH_COLUMNS, PlannedRadiograph, plan_export, plan_one

RADIOGRAPHS = "radiographs"
TRUTH = "truth.csv"


def export_phantom(
    folder: Path,
    *,
    num_radiographs: int,
    seed: int,
    size: int = 320,
    workers: int | None = None,
    imbalance: float | None = None,
) -> Path:
    """Writes synthetic radiographs and their truth; the same arguments give the same bytes, whatever `workers` is.

    Args:
        folder: Where to; created where it is missing. The same export may be repeated there, another one not.
        num_radiographs: How many.
        seed: What patients, exposures and errors there are.
        size: Long side in pixels.
        workers: Processes; None takes one per core, 1 stays in this process.
        imbalance: How many times the commonest label outnumbers the rarest; None takes the usual shares.

    Returns:
        The path of truth.csv, which is written last.

    Raises:
        ValueError: If num_radiographs, size or imbalance is too small, or the folder holds files of another export.
    """
    if size < 32:
        raise ValueError(f"size is {size}, allowed are 32 and more")
    planned = plan_export(num_radiographs=num_radiographs, seed=seed, imbalance=imbalance)
    target = folder / RADIOGRAPHS
    target.mkdir(parents=True, exist_ok=True)
    names = {row.key for row in planned}
    foreign = [path.name for path in target.iterdir() if path.name.removesuffix(".part") not in names]
    if foreign:
        raise ValueError(f"{target} holds {len(foreign)} files of another export, such as {min(foreign)}")
    write = partial(_write, folder=target, size=size)
    processes = min(workers if workers is not None else available_cores(), len(planned))
    progress = tqdm(total=len(planned), unit="radiograph", smoothing=0.05)
    with progress:
        if processes <= 1:
            for row in planned:
                write(row)
                progress.update()
        else:
            # Spawned, not forked: the caller may hold threads (torch, boto3).
            with multiprocessing.get_context("spawn").Pool(processes) as pool:
                for _ in pool.imap_unordered(write, planned, chunksize=8):
                    progress.update()
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=TRUTH_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted((row.truth() for row in planned), key=lambda truth: truth["key"]))
    return _replace(folder / TRUTH, table.getvalue().encode())


def phantom_radiograph(
    *, label: str, view: str | None = None, seed: int = 0, site: str | None = None, size: int = 320
) -> bytes:
    """One synthetic radiograph as the bytes of a DICOM file, for tests and load tests.

    Args:
        label: One of `samx.phantom.LABELS`.
        view: One of the label's views; None draws one.
        seed: What patient and exposure.
        site: One of the simulated sites; None draws one.
        size: Long side in pixels.

    Raises:
        ValueError: If label, view or site is unknown.
    """
    planned = plan_one(label=label, view=view, seed=seed, site=site)
    return to_dicom(planned, render(planned, size=size))


def _write(planned: PlannedRadiograph, *, folder: Path, size: int) -> None:
    _replace(folder / planned.key, to_dicom(planned, render(planned, size=size)))


def _replace(path: Path, data: bytes) -> Path:
    """Writes under a temporary name, then renames."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    return temporary.replace(path)
