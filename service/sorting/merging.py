"""The merge: results of all shards to one manifest, as JSON lines, CSV and Parquet, and a summary to look at.

All are streamed through temporary files, a shard at a time. Their bytes depend on the rows alone. manifest.jsonl is the
truth; CSV shields spreadsheets from formulas, and neither CSV nor Parquet can hold names of files that are not Unicode.
"""

import csv
import dataclasses
import io
import json
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from samx.errors import ObjectNotFound, SortRefused
from service.sorting.job import Job
from service.sorting.manifest import Frozen, latest_key, read_shard
from service.sorting.outputs import make_copies
from service.sorting.progress import Tally
from service.sorting.rows import COLUMNS, Row, decode_rows, encode_rows
from service.sorting.summary_page import Examples, summary_page

_PARQUET_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_SCHEMA = pa.schema([(name, _PARQUET_TYPES[kind]) for name, kind in COLUMNS.items()])
ROWS_PER_GROUP = 10_000
_ESCAPE = "backslashreplace"
_TAKEN_FOR_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def merge(job: Job, frozen: Frozen) -> Tally:
    """Write the merged files, the mark that the job is done last; merging again writes the same.

    Raises:
        SortRefused: shards are missing.
        StorageError: the destination is out of reach or refuses.
    """
    there = {item.key for item in job.work.list("results/")}
    missing = [number for number in range(frozen.num_shards) if f"results/{number:06d}.jsonl" not in there]
    if missing:
        detail = f"{len(missing)} of {frozen.num_shards} shards are not sorted yet, the first is {missing[0]}"
        raise SortRefused("shards_missing", detail)
    tally, examples = Tally(), Examples()
    with tempfile.TemporaryFile() as lines, tempfile.TemporaryFile() as table, tempfile.TemporaryFile() as parquet:
        columns = io.TextIOWrapper(table, encoding="utf-8", newline="", errors=_ESCAPE, write_through=True)
        writer = csv.DictWriter(columns, COLUMNS)  # RFC 4180
        writer.writeheader()
        with pq.ParquetWriter(parquet, _SCHEMA, compression="zstd") as groups:
            waiting: list[Row] = []
            for rows in _results(job, frozen):
                tally.add(rows)
                examples.add(rows)
                lines.write(encode_rows(rows))
                writer.writerows(_as_text(row) for row in rows)
                waiting += rows
                while len(waiting) >= ROWS_PER_GROUP:
                    _write_group(groups, waiting[:ROWS_PER_GROUP])
                    del waiting[:ROWS_PER_GROUP]
            _write_group(groups, waiting)
        assert tally.num_objects == frozen.num_objects, "every object of the listing has one row"
        files: dict[str, BinaryIO] = {"manifest.jsonl": lines, "manifest.csv": table, "manifest.parquet": parquet}
        for name, file in files.items():
            job.folder.write_file(name, file)
        columns.detach()
    job.folder.write("summary.html", summary_page(job, frozen, tally, examples))
    job.destination.write(latest_key(job), json.dumps({"job": job.id}).encode())
    done = {"frozen": dataclasses.asdict(frozen), "tally": tally.as_json()}
    job.folder.write_once("done.json", (json.dumps(done, indent=2) + "\n").encode())
    return tally


def read_done(job: Job) -> tuple[Frozen, Tally] | None:
    """What a merged job has found; None for one that is not merged."""
    try:
        content = json.loads(job.folder.read("done.json"))
    except ObjectNotFound:
        return None
    tally = Tally()
    tally.add_tally(content["tally"])
    return Frozen(**content["frozen"]), tally


def _results(job: Job, frozen: Frozen) -> Iterator[list[Row]]:
    for number in range(frozen.num_shards):
        rows = make_copies(job, number, decode_rows(job.work.read(f"results/{number:06d}.jsonl")))
        listed = [item.stored for item in read_shard(job, frozen, number)]
        assert [row.stored_object for row in rows] == listed, "a result has the rows of its shard"
        yield rows


def _as_text(row: Row) -> dict[str, object]:
    """A row for people's spreadsheets, which compute what begins like a formula, in quotes too.

    Such text gets an apostrophe before it, and so does text that begins with one: taking one off gives back what was.
    """
    values: dict[str, object] = {}
    for name, value in dataclasses.asdict(row).items():
        if isinstance(value, str):
            values[name] = f"'{value}" if value.startswith(_TAKEN_FOR_FORMULAS) else value
        else:
            values[name] = str(value).lower() if isinstance(value, bool) else value
    return values


def _write_group(groups: pq.ParquetWriter, rows: list[Row]) -> None:
    columns = {name: [_in_unicode(getattr(row, name)) for row in rows] for name in COLUMNS}
    groups.write_table(pa.table(columns, schema=_SCHEMA), row_group_size=ROWS_PER_GROUP)


def _in_unicode(value: object) -> object:
    return value.encode(errors=_ESCAPE).decode() if isinstance(value, str) else value
