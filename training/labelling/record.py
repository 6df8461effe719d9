"""The record of a reading, kept in the run: the log, and the tables that follow from it.

    audit_log.jsonl        an entry per line, only ever appended to: who, when, what, before and after
    cluster_labels.csv     a row per named cluster (see training.labels)
    cluster_members.csv    key, cluster_id: radiographs that a split has given to another cluster
    corrections.csv        key, label, view, laterality, reader, decided_at: radiographs moved out of their cluster

The log is written first, as a whole and only if it is still what was read (compare and swap), so that of two servers on
one run the second learns of the first, and a killed one loses at most the decision that it was writing. The tables come
after it and are made again from the log whenever they are not what follows from it.
"""

import csv
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence

import pydantic

from samx.errors import ObjectNotFound, PreconditionFailed, WrongInput
from samx.storage import Storage
from training.labelling.decisions import Entry, Name
from training.labelling.reading import Reading
from training.labels import CLUSTER_LABEL_COLUMNS, CORRECTION_COLUMNS, MEMBER_COLUMNS
from training.run import AUDIT_LOG, CLUSTER_LABELS, CLUSTER_MEMBERS, CORRECTIONS, table_bytes

logger = logging.getLogger(__name__)

_ATTEMPTS = 20


class Record:
    """The log and the tables of one run.

    Args:
        storage: of the run.
        keys: of the radiographs, by position.
        new_reading: a reading without decisions.
    """

    def __init__(self, storage: Storage, keys: Sequence[str], new_reading: Callable[[], Reading]) -> None:
        self._storage, self._keys, self._new_reading = storage, keys, new_reading
        self._etags: dict[str, str | None] = {}
        self._written: dict[str, bytes | None] = {}
        self.reading = self._load()
        self._write_tables()

    def append(self, entry: Entry) -> None:
        """Write an entry, then the tables that follow from it.

        Raises:
            PreconditionFailed: another server has written since. Nothing is written; `reading` holds what it wrote.
            StorageError: the run is out of reach; nothing is written.
        """
        data = (self._written[AUDIT_LOG] or b"") + _line(entry)
        try:
            self._put(AUDIT_LOG, data)
        except PreconditionFailed:
            self.reading = self._load()
            raise
        self.reading.extend(entry)
        self._write_tables()

    def refresh(self) -> bool:
        """Read what another server may have written; whether there was anything."""
        if self._storage.exists(AUDIT_LOG) and self._storage.read_with_etag(AUDIT_LOG)[1] == self._etags[AUDIT_LOG]:
            return False  # every table follows from the log
        number = self.reading.number
        self.reading = self._load()
        return self.reading.number != number

    def _load(self) -> Reading:
        for key in (AUDIT_LOG, CLUSTER_LABELS, CLUSTER_MEMBERS, CORRECTIONS):
            try:
                self._written[key], self._etags[key] = self._storage.read_with_etag(key)
            except ObjectNotFound:
                self._written[key], self._etags[key] = None, None
        reading = self._new_reading()
        log, labels = self._written[AUDIT_LOG], self._written[CLUSTER_LABELS]
        if log is None and labels is not None:
            log = b"".join(map(_line, _entries_of_table(labels, reading)))
            self._put(AUDIT_LOG, log)
        for entry in parse_log(log or b"", self._storage.url):
            reading.extend(entry)
        return reading

    def _write_tables(self) -> None:
        for _ in range(_ATTEMPTS):
            try:
                for key, data in _tables(self.reading, self._keys).items():
                    if data is not None and data != self._written[key]:
                        self._put(key, data)
            except PreconditionFailed:  # another server was quicker; what it knew is in the log
                self.reading = self._load()
            else:
                return
        raise PreconditionFailed(f"{self._storage.url}: others write {CLUSTER_LABELS} all the time; try again")

    def _put(self, key: str, data: bytes) -> None:
        etag = self._etags[key]
        self._etags[key] = self._storage.write(key, data, if_absent=etag is None, if_match=etag)
        self._written[key] = data


def parse_log(data: bytes, where: str) -> list[Entry]:
    """The entries of a log.

    Raises:
        WrongInput: a line is no entry, or the numbers have a gap; the message names the line.
    """
    entries = []
    for number, line in enumerate(data.decode().splitlines(), start=1):
        try:
            entries.append(Entry.model_validate_json(line))
        except pydantic.ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"]))
            raise WrongInput(f"{where}: {AUDIT_LOG}, line {number}: {place}: {problem['msg']}") from error
        if entries[-1].number != number:
            raise WrongInput(f"{where}: {AUDIT_LOG}, line {number} has the number {entries[-1].number}")
    return entries


def _line(entry: Entry) -> bytes:
    return (json.dumps(entry.model_dump(mode="json"), sort_keys=True) + "\n").encode()


def log_of_table(rows: Sequence[Mapping[str, object]]) -> bytes:
    """The log of a simulated reader, from its rows of cluster_labels.csv."""
    return b"".join(
        _line(
            Entry(
                number=number,
                time="",
                reader=str(row["reader"]),
                source="simulated",
                before={str(row["cluster_id"]): ""},
                decision=Name(clusters=(int(str(row["cluster_id"])),), label=str(row["label"]), note=str(row["note"])),
            )
        )
        for number, row in enumerate(rows, start=1)
    )


def _entries_of_table(data: bytes, reading: Reading) -> list[Entry]:
    """A cluster_labels.csv that was written by hand, as the beginning of the log."""
    entries: list[Entry] = []
    for row in csv.DictReader(io.StringIO(data.decode())):
        cluster_id, label = row.get("cluster_id") or "", (row.get("label") or "").strip()
        if cluster_id.isdigit() and int(cluster_id) in reading.members and label:
            try:
                name = Name(clusters=(int(cluster_id),), label=label, view=row.get("view") or "",
                            laterality=row.get("laterality") or "", note=row.get("note") or "")  # fmt: skip
                entry = Entry(number=len(entries) + 1, time=row.get("decided_at") or "",
                              reader=row.get("reader") or "unknown", source="import", before={cluster_id: ""},
                              decision=name)  # fmt: skip
            except pydantic.ValidationError as error:
                problem = error.errors()[0]
                raise WrongInput(
                    f"{CLUSTER_LABELS}: cluster {cluster_id}: {problem['loc'][-1]}: {problem['msg']}"
                ) from error
            entries.append(entry)
    return entries


def _tables(reading: Reading, keys: Sequence[str]) -> dict[str, bytes | None]:
    """What the tables should be; None where nobody has ever said anything that belongs there."""
    said = {entry.decision.action for entry in reading.entries}
    labels = [
        {"cluster_id": cluster_id, "label": given.label, "view": given.view, "laterality": given.laterality,
         "note": given.note, "reader": given.reader, "decided_at": given.decided_at}
        for cluster_id, given in sorted(reading.labels.items())
    ]  # fmt: skip
    moved = [
        {"key": keys[position], "cluster_id": int(reading.cluster_N[position])}
        for position in (reading.cluster_N != reading.assigned_N).nonzero()[0].tolist()
    ]
    corrections = [
        {"key": keys[position], "label": given.label, "view": given.view, "laterality": given.laterality,
         "reader": given.reader, "decided_at": given.decided_at}
        for position, given in sorted(reading.corrections.items())
    ]  # fmt: skip
    return {
        CLUSTER_LABELS: table_bytes(labels, CLUSTER_LABEL_COLUMNS) if "name" in said else None,
        CLUSTER_MEMBERS: table_bytes(moved, MEMBER_COLUMNS) if "split" in said else None,
        CORRECTIONS: table_bytes(corrections, CORRECTION_COLUMNS) if "correct" in said else None,
    }
