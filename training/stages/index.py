"""Stage index: read every radiograph of the source once.

Reads the source. Writes `index/source.csv` (what was there), `index/index.csv` (a row per radiograph that can be used),
`index/rejected.csv` (a row per file that cannot, with the reason), `index/images-*.npy` (preprocessed, uint8) and
`index/summary.json`. With a table of attributes `index/attributes.csv` is what it said, with pseudonyms.
The files of a finished shard are kept when the stage is interrupted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from itertools import islice
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from samx.errors import SamxError, WrongInput
from samx.storage import Storage, StoredObject, open_storage
from training.attributes_table import ATTRIBUTE_COLUMNS, NOT_IN_DICOM, filled, read_attributes
from training.dataset import INDEX_COLUMNS, images_key
from training.duplicates import first_of_groups, near_duplicates
from training.run import Run
from training.source_reading import Reading, ReadingConfig, pseudonym, read_files

_ATTRIBUTES = "index/attributes.csv"
_REJECTED_COLUMNS = ("key", "code", "detail")
_SOURCE_COLUMNS = ("key", "size_bytes", "etag")


def index(run: Run) -> None:
    """Read, preprocess and cache everything below the source.

    Raises:
        WrongInput: nothing below the source is a radiograph, or the table of attributes does not fit the source.
        SamxError: a process that reads radiographs died.
    """
    config = run.config.index
    objects = _frozen_source(run, open_storage(run.config.source))
    attributes = _frozen_attributes(run)
    shards = [objects[start : start + config.shard_size] for start in range(0, len(objects), config.shard_size)]
    is_done = [
        run.adopt(_shard_key(number, "rejected"), _shard_key(number, "rows"), images_key(number))
        for number in range(len(shards))
    ]
    unread = (item for shard, done in zip(shards, is_done, strict=True) if not done for item in shard)
    how = ReadingConfig(run.config.source, run.config.preprocessing, config.pseudonym_salt)
    first_key: dict[str, str] = {}
    with (
        closing(read_files(unread, how, num_workers=config.num_workers, num_ahead=config.shard_size)) as readings,
        tqdm(total=len(objects), desc="index", unit="file", dynamic_ncols=True) as progress,
    ):
        for number, (shard, done) in enumerate(zip(shards, is_done, strict=True)):
            if done:
                progress.update(len(shard))
                first_key |= {row["sha256"]: row["key"] for row in run.read_csv(_shard_key(number, "rows"))}
            else:
                results = [_attributed(result, attributes) for result in _read_shard(run, readings, shard, progress)]
                _write_shard(run, number, [_reject_duplicate(result, first_key) for result in results])
            run.check_stop()
    _merge_tables(run, len(shards))


def _frozen_source(run: Run, source: Storage) -> list[StoredObject]:
    """List the source once; an interrupted index goes on with the same list."""
    if not run.adopt("index/source.csv"):
        objects = list(source.list())
        if not objects:
            raise WrongInput(f"there are no files in the source {source.url}")
        _freeze_attributes(run, [item.key for item in objects])
        rows = [{"key": item.key, "size_bytes": item.size_bytes, "etag": item.etag} for item in objects]
        run.write_csv("index/source.csv", rows, _SOURCE_COLUMNS)
    rows_read = run.read_csv("index/source.csv")
    return [StoredObject(row["key"], int(row["size_bytes"]), row["etag"]) for row in rows_read]


def _freeze_attributes(run: Run, keys: Sequence[str]) -> None:
    """Copy the table of attributes into the run, with pseudonyms; before the list of the source, which says it is."""
    config = run.config.index
    if config.attributes is None:
        return
    table = read_attributes(config.attributes)
    absent = sorted(table.keys() - set(keys))
    if absent:
        raise WrongInput(
            f"{len(absent)} of {len(table)} keys of {config.attributes} are not below {run.config.source}, "
            f"the first is {absent[0]}; the first there is {keys[0]}"
        )
    for row in table.values():
        row["patient"] = pseudonym(row["patient"], config.pseudonym_salt) if row["patient"] else ""
    run.write_csv(_ATTRIBUTES, table.values(), ATTRIBUTE_COLUMNS)


def _frozen_attributes(run: Run) -> dict[str, dict[str, str]] | None:
    """Rows of the table of attributes by key; None where none is configured."""
    if run.config.index.attributes is None:
        return None
    run.adopt(_ATTRIBUTES)
    return {row["key"]: row for row in run.read_csv(_ATTRIBUTES)}


def _attributed(result: Reading, attributes: Mapping[str, Mapping[str, str]] | None) -> Reading:
    """A radiograph with what the table says of it; a picture without a row is rejected: nobody knows whose it is."""
    if attributes is None or result.row is None:
        return result
    key = str(result.row["key"])
    if result.row["format"] == "dicom":
        told = {column: value for column, value in attributes.get(key, {}).items() if column in NOT_IN_DICOM}
        return Reading(filled(result.row, told), result.image, None)
    if key in attributes:
        return Reading(filled(result.row, attributes[key]), result.image, None)
    detail = "the table that index.attributes names has no row with this key"
    return Reading(None, None, {"key": key, "code": "no_attributes", "detail": detail})


def _read_shard(
    run: Run, readings: Iterator[Reading], shard: list[StoredObject], progress: "tqdm[NoReturn]"
) -> list[Reading]:
    results: list[Reading] = []
    try:
        for reading in islice(readings, len(shard)):
            results.append(reading)
            progress.update()
    except BrokenProcessPool as error:
        run.check_stop()  # the signal may have been for all processes
        raise SamxError(
            f"a process that reads radiographs died at or after {shard[len(results)].key}, perhaps for lack of memory; "
            "run the same command again to resume, with more memory or a smaller index.num_workers"
        ) from error
    return results


def _reject_duplicate(result: Reading, first_key: dict[str, str]) -> Reading:
    """Byte-identical files count once; remembers the first key of every content."""
    if result.row is None:
        return result
    key, sha256 = str(result.row["key"]), str(result.row["sha256"])
    first = first_key.setdefault(sha256, key)
    if first == key:
        return result
    return Reading(None, None, {"key": key, "code": "duplicate", "detail": f"the same bytes as {first}"})


def _write_shard(run: Run, number: int, results: list[Reading]) -> None:
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
    _name_near_duplicates(run, rows, num_shards)
    run.write_csv("index/index.csv", rows, INDEX_COLUMNS)
    run.write_csv("index/rejected.csv", rejected, _REJECTED_COLUMNS)
    summary = {
        "num_shards": num_shards,
        "num_radiographs": len(rows),
        "num_near_duplicates": sum(row["duplicate_of"] != "" for row in rows),
        "num_rejected": len(rejected),
        "rejected_by_code": dict(Counter(row["code"] for row in rejected)),
        "num_patients": len({row["patient"] for row in rows}),
        "radiographs_by_site": dict(Counter(row["site"] or "(none)" for row in rows)),
    }
    run.write_json("index/summary.json", summary)


def _name_near_duplicates(run: Run, rows: list[dict[str, str]], num_shards: int) -> None:
    """Fill `duplicate_of`: the key of the first radiograph that shows the same exposure; they stay in the index."""
    shards = (run.read_array(images_key(number)) for number in range(num_shards))
    pairs = near_duplicates([row["perceptual_hash"] for row in rows], shards)
    for position, first in first_of_groups(pairs).items():
        if first != position:
            rows[position]["duplicate_of"] = rows[first]["key"]


def _shard_key(number: int, what: str) -> str:
    return f"index/shards/{what}-{number:05d}.csv"
