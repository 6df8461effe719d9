"""Stage index: read every radiograph of the source once.

Reads the source. Writes `index/source.csv` (what was there), `index/index.csv` (a row per radiograph that can be used),
`index/rejected.csv` (a row per file that cannot, with the reason), `index/images-*.npy` (preprocessed, uint8) and
`index/summary.json`. The files of a finished shard are kept when the stage is interrupted.
"""

import hashlib
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from samx.errors import RadiographError, WrongInput
from samx.preprocessing import preprocess
from samx.radiograph import Radiograph, read_radiograph
from samx.storage import Storage, StoredObject, open_storage
from training.dataset import INDEX_COLUMNS, images_key
from training.run import Run

_REJECTED_COLUMNS = ("key", "code", "detail")
_SOURCE_COLUMNS = ("key", "size_bytes", "etag")


@dataclass(frozen=True, slots=True)
class _Read:
    """What came of one file: an image and its row, or the reason why not."""

    row: dict[str, object] | None
    image: npt.NDArray[np.uint8] | None
    rejected: dict[str, object] | None


def index(run: Run) -> None:
    """Read, preprocess and cache everything below the source.

    Raises:
        WrongInput: nothing below the source is a radiograph.
    """
    source = open_storage(run.config.source)
    objects = _frozen_source(run, source)
    size = run.config.index.shard_size
    shards = [objects[start : start + size] for start in range(0, len(objects), size)]
    # Decoders and NumPy release the interpreter's lock, and a bucket answers many requests at once.
    num_threads = run.config.index.num_workers or 2 * (os.cpu_count() or 1)
    with (
        ThreadPoolExecutor(num_threads) as pool,
        tqdm(total=len(objects), desc="index", unit="file", dynamic_ncols=True) as progress,
    ):
        first_key: dict[str, str] = {}
        for number, shard in enumerate(shards):
            if run.adopt(_shard_key(number, "rejected"), _shard_key(number, "rows"), images_key(number)):
                progress.update(len(shard))
            else:
                results = []
                for future in [pool.submit(_read, source, item, run) for item in shard]:
                    results.append(future.result())
                    progress.update()
                _write_shard(run, number, [_reject_duplicate(result, first_key) for result in results])
            first_key |= {row["sha256"]: row["key"] for row in run.read_csv(_shard_key(number, "rows"))}
            run.check_stop()
    _merge_tables(run, len(shards))


def _frozen_source(run: Run, source: Storage) -> list[StoredObject]:
    """List the source once; an interrupted index goes on with the same list."""
    if not run.adopt("index/source.csv"):
        rows = [{"key": item.key, "size_bytes": item.size_bytes, "etag": item.etag} for item in source.list()]
        if not rows:
            raise WrongInput(f"there are no files in the source {source.url}")
        run.write_csv("index/source.csv", rows, _SOURCE_COLUMNS)
    rows_read = run.read_csv("index/source.csv")
    return [StoredObject(row["key"], int(row["size_bytes"]), row["etag"]) for row in rows_read]


def _read(source: Storage, item: StoredObject, run: Run) -> _Read:
    config = run.config.preprocessing
    try:
        data = source.read(item.key)
        radiograph = read_radiograph(data, working_size=config.working_size)
        return _Read(
            _row(item, data, radiograph, run.config.index.pseudonym_salt), preprocess(radiograph, config), None
        )
    except RadiographError as error:
        return _Read(None, None, {"key": item.key, "code": error.code, "detail": error.detail})


def _row(item: StoredObject, data: bytes, radiograph: Radiograph, salt: str) -> dict[str, object]:
    attributes = radiograph.attributes
    patient = f"{salt}/{attributes.patient_id}" if attributes.patient_id else f"{salt}/file/{item.key}"
    return {
        "key": item.key,
        "etag": item.etag,
        "sha256": hashlib.sha256(data).hexdigest(),
        "format": radiograph.format,
        "rows": radiograph.rows,
        "columns": radiograph.columns,
        "was_negative": int(radiograph.was_negative),
        "patient": hashlib.sha256(patient.encode()).hexdigest()[:16],
        "site": attributes.institution_name,
        "body_part_examined": attributes.body_part_examined,
        "view_position": attributes.view_position,
        "laterality": attributes.laterality,
    }


def _reject_duplicate(result: _Read, first_key: dict[str, str]) -> _Read:
    """Byte-identical files count once; remembers the first key of every content."""
    if result.row is None:
        return result
    key, sha256 = str(result.row["key"]), str(result.row["sha256"])
    first = first_key.setdefault(sha256, key)
    if first == key:
        return result
    return _Read(None, None, {"key": key, "code": "duplicate", "detail": f"the same bytes as {first}"})


def _write_shard(run: Run, number: int, results: list[_Read]) -> None:
    images = [result.image for result in results if result.image is not None]
    size = run.config.preprocessing.size
    run.write_array(images_key(number), np.stack(images) if images else np.zeros((0, size, size), np.uint8))
    run.write_csv(_shard_key(number, "rows"), [r.row for r in results if r.row is not None], INDEX_COLUMNS)
    rejected = [r.rejected for r in results if r.rejected is not None]
    run.write_csv(_shard_key(number, "rejected"), rejected, _REJECTED_COLUMNS)


def _merge_tables(run: Run, num_shards: int) -> None:
    rows = [row for number in range(num_shards) for row in run.read_csv(_shard_key(number, "rows"))]
    rejected = [row for number in range(num_shards) for row in run.read_csv(_shard_key(number, "rejected"))]
    if not rows:
        raise WrongInput(f"none of the {len(rejected)} files in {run.config.source} is a radiograph; see index/shards")
    run.write_csv("index/index.csv", rows, INDEX_COLUMNS)
    run.write_csv("index/rejected.csv", rejected, _REJECTED_COLUMNS)
    summary = {
        "num_shards": num_shards,
        "num_radiographs": len(rows),
        "num_rejected": len(rejected),
        "rejected_by_code": dict(Counter(row["code"] for row in rejected)),
        "num_patients": len({row["patient"] for row in rows}),
        "radiographs_by_site": dict(Counter(row["site"] or "(none)" for row in rows)),
    }
    run.write_json("index/summary.json", summary)


def _shard_key(number: int, what: str) -> str:
    return f"index/shards/{what}-{number:05d}.csv"
