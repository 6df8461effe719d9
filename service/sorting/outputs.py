"""What a job adds to the destination on request: copies, tags, DICOM copies.

Before a shard adds anything, it writes down what (`copies/<shard>.jsonl`, once): only keys that are free. So a shard
that is done again adds the same, and `undo` removes that and nothing else. When all is there, `copies/<shard>.done`
says what could not be copied. Names come from the content, so one radiograph stored twice is copied once.
"""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from samx.anatomy import ANATOMY
from samx.dicom_copy import describe
from samx.errors import AccessDenied, ObjectNotFound, PreconditionFailed, RadiographError
from service.sorting.job import Job, SortRequest
from service.sorting.rows import Row

COPIES_AT_ONCE = 16
DICOM_COPIES_AT_ONCE = 2
"""Each holds one object in memory, twice."""
_OF_ONE_OBJECT = (AccessDenied, ObjectNotFound, PreconditionFailed)
_ENDINGS = {"dicom": ".dcm", "png": ".png", "jpeg": ".jpg", "tiff": ".tif"}


def with_places(row: Row, request: SortRequest) -> Row:
    """The row with the keys of the copies that are asked for; what could not be fetched has none."""
    copied_to = dicom_copied_to = ""
    if request.copies and row.sha256:
        copied_to = f"{row.folder}/{row.sha256}{_ENDINGS.get(row.format, '')}"
    if request.dicom and row.format == "dicom" and row.decision == "accept" and row.label in ANATOMY:
        dicom_copied_to = f"_dicom/{row.label}/{row.sha256}.dcm"
    return replace(row, copied_to=copied_to, dicom_copied_to=dicom_copied_to, copy_code="")


def make_copies(job: Job, shard: int, rows: list[Row]) -> list[Row]:
    """Make a shard's copies, unless that has been done; returns the rows with what became of them.

    Raises:
        StorageError: the destination is out of reach or refuses.
    """
    if not (job.request.copies or job.request.dicom):
        return rows
    wanted: dict[str, Row] = {}
    for row in rows:
        for key in filter(None, (row.copied_to, row.dicom_copied_to)):
            wanted.setdefault(key, row)
    done_key = f"copies/{shard:06d}.done"
    done = job.read_json(done_key)
    if done is None:
        with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
            is_free = pool.map(lambda key: not job.destination.exists(key), wanted)
            free = [key for key, free in zip(wanted, is_free, strict=True) if free]
            planned = job.work.write_once(f"copies/{shard:06d}.jsonl", _lines(free))
            ours = [str(json.loads(line)) for line in planned.splitlines()]
            plain = [key for key in ours if not key.startswith("_dicom/")]
            failed = _all(pool, partial(_copy, job), [(key, wanted[key]) for key in plain])
        with ThreadPoolExecutor(DICOM_COPIES_AT_ONCE) as pool:
            described = [key for key in ours if key.startswith("_dicom/")]
            failed |= _all(pool, partial(_copy_described, job), [(key, wanted[key]) for key in described])
        done = json.loads(job.work.write_once(done_key, json.dumps({"failed": failed}, sort_keys=True).encode()))
    return [_with_failures(row, done["failed"]) for row in rows]


def _all(
    pool: ThreadPoolExecutor, copy: Callable[[tuple[str, Row]], str], keys_and_rows: list[tuple[str, Row]]
) -> dict[str, str]:
    """Codes of the copies that cannot be made, by key."""
    codes = pool.map(copy, keys_and_rows)
    return {key: code for (key, _), code in zip(keys_and_rows, codes, strict=True) if code}


def _with_failures(row: Row, failed: dict[str, str]) -> Row:
    if code := failed.get(row.copied_to):
        row = replace(row, copied_to="", copy_code=code)
    if code := failed.get(row.dicom_copied_to):
        row = replace(row, dicom_copied_to="", copy_code=code)
    return row


def _copy(job: Job, key_and_row: tuple[str, Row]) -> str:
    """Copies one object; returns why it cannot be, or ""."""
    key, row = key_and_row
    try:
        job.destination.copy_listed(job.source, row.stored_object, key)
    except _OF_ONE_OBJECT as error:
        return error.code
    if job.request.tags:
        job.destination.set_tags(key, _tags(row))
    return ""


def _tags(row: Row) -> dict[str, str]:
    """Tags of a copy; S3 allows letters, digits and `+-=._:/@` in their values."""
    tags = {"samx-decision": row.decision, "samx-label": row.label, "samx-model": row.model.replace(" ", "/")}
    if row.probability is not None:
        tags["samx-probability"] = f"{row.probability:.4f}"
    return {name: value for name, value in tags.items() if value}


def _copy_described(job: Job, key_and_row: tuple[str, Row]) -> str:
    """Writes one DICOM file again; returns why it cannot be, or ""."""
    key, row = key_and_row
    name, _, version = row.model.partition(" ")
    try:
        data = job.source.read_listed(row.stored_object)
        copy = describe(data, ANATOMY[row.label], model_name=name, model_version=version)
    except (RadiographError, *_OF_ONE_OBJECT) as error:
        return error.code
    job.destination.write(key, copy)
    return ""


def made_by(job: Job, shards: Iterable[int]) -> Iterable[str]:
    """Keys below the destination that these shards have added or were about to."""
    for shard in shards:
        try:
            planned = job.work.read(f"copies/{shard:06d}.jsonl")
        except ObjectNotFound:
            continue
        yield from (json.loads(line) for line in planned.splitlines())


def _lines(keys: Iterable[str]) -> bytes:
    return "".join(json.dumps(key) + "\n" for key in keys).encode()
