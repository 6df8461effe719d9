"""The reader's desk: what the page shows and what becomes of a decision, without HTTP.

One lock stands around everything that looks at the state of the reading: requests come from several threads.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pydantic

from samx.anatomy import ANATOMY, DISCARD, MIXED
from samx.errors import PreconditionFailed
from training.labelling import audit, progress
from training.labelling.atlas import Atlas, Layout
from training.labelling.decisions import (
    Decision,
    Entry,
    Reader,
    Redo,
    RedoRequest,
    Round,
    Source,
    Split,
    SplitRequest,
    Undo,
    UndoRequest,
    Wish,
    touched,
)
from training.labelling.decisions import (
    Record as Model,
)
from training.labelling.history import LENGTH, history, since, text_of
from training.labelling.looks import look_at_cluster, look_at_radiograph, members_of
from training.labelling.overview import Overview
from training.labelling.pool import Pool
from training.labelling.reading import NotAllowed, Reading
from training.labelling.record import Record
from training.labelling.similarity import nearest_neighbours, split_features
from training.labelling.suggestions import tag_labels
from training.run import read_table

logger = logging.getLogger(__name__)

SPLIT_MEMBERS = 12
_ATTEMPTS = 10
_PREDICTIONS = "cross_validate/predictions.csv"


class Request(Model):
    """What the page sends for a decision."""

    reader: Reader
    seen: int = pydantic.Field(ge=0)
    """Number of the last entry that the page knows."""
    seconds: float | None = pydantic.Field(default=None, ge=0, le=86_400)
    shown: int = pydantic.Field(default=0, ge=0, le=100_000)
    taken_out: int = pydantic.Field(default=0, ge=0, le=100_000)
    source: Source = ""
    force: bool = False
    """Decide although another reader has decided about the same since `seen`."""
    id: str = pydantic.Field(default="", pattern=r"^[A-Za-z0-9-]{0,64}$")
    """Of this request, so that one which is sent again because its answer was lost is not decided twice."""
    wish: Wish


class Conflict(NotAllowed):
    """Another reader has decided about the same meanwhile."""

    def __init__(self, detail: str) -> None:
        super().__init__("conflict", detail)


class Desk:
    """One run, being labelled.

    Args:
        pool: the run.
        attributes: columns of the index that may be shown.
        with_neighbours: whether to look for the nearest neighbours of every radiograph, for the audit.
    """

    def __init__(self, pool: Pool, attributes: Sequence[str], *, with_neighbours: bool = True) -> None:
        self.pool, self.attributes = pool, tuple(attributes)
        self._lock = threading.RLock()
        self._record = Record(pool.storage, pool.keys, lambda: Reading(pool.cluster_N))
        self._tags = tag_labels(pool.rows)
        self._overview = Overview(pool, self._tags)
        self._answers = self._read_answers()
        self._atlas = Atlas(pool.features_ND)
        self._neighbours_NK: np.ndarray[Any, np.dtype[np.int64]] | None = None
        self._overview.update(self.reading)
        if with_neighbours:
            threading.Thread(target=self._prepare, daemon=True).start()

    @property
    def reading(self) -> Reading:
        """The state as the log has it."""
        return self._record.reading

    @property
    def went_through_phase_2(self) -> bool:
        """Whether labels have been injected already, so that phase 2 has to be done again."""
        return self.pool.storage.exists("done/label.json")

    # ------------------------------------------------------------------------------------------------ what is shown

    def state(self) -> dict[str, Any]:
        """Every cluster, the orders, the progress and the latest entries, also what another server has written."""
        with self._lock:
            if self._record.refresh():
                self._overview.update(self.reading)
            return self._facts() | {
                "clusters": list(self._overview.rows.values()),
                "order": self._overview.order,
                "history": history(self.reading, self.reading.entries[-LENGTH:]),
            }

    def cluster(self, cluster_id: int) -> dict[str, Any]:
        """See training.labelling.looks."""
        with self._lock:
            return look_at_cluster(self.pool, self.reading, self._overview, self.attributes, cluster_id)

    def radiograph(self, position: int) -> dict[str, Any]:
        """See training.labelling.looks."""
        with self._lock:
            return look_at_radiograph(self.pool, self.reading, self._overview, self.attributes, position)

    def split_preview(self, cluster_id: int, parts: int) -> dict[str, Any]:
        """What a split would give.

        Raises:
            NotAllowed: there is no such cluster, or it has too few radiographs.
        """
        with self._lock:
            split = self._split(cluster_id, parts)
        generator = np.random.default_rng(cluster_id)
        return {
            "parts": [
                {"size": len(positions), "positions": generator.permutation(positions)[:SPLIT_MEMBERS].tolist()}
                for positions in split.members.values()
            ]
        }

    def map(self, layout: Layout) -> dict[str, Any]:
        """Where the clusters are on a plane; not under the lock, as t-SNE takes seconds."""
        with self._lock:
            members, centroids_CD = dict(self.reading.members), self._overview.suggester.centroids_CD
        return {"layout": layout, "clusters": self._atlas.clusters(layout, members, centroids_CD)}

    def map_points(self) -> bytes:
        """Where the radiographs are (see training.labelling.atlas), then the cluster of each, little-endian int32."""
        with self._lock:
            cluster_N = self.reading.cluster_N.astype("<i4")
        return self._atlas.radiographs() + bytes(cluster_N.tobytes())

    def audit(self, limit: int) -> dict[str, Any]:
        """The radiographs most likely under the wrong label."""
        with self._lock:
            if self._neighbours_NK is None:
                return {"ready": False, "items": []}
            if not self._answers:
                self._answers = self._read_answers()
            found = audit.suspects(
                self.reading, self.pool.features_ND, self._neighbours_NK, self._tags, self._answers, limit=limit
            )
            return {
                "ready": True,
                "items": [
                    asdict(one)
                    | {"cluster_id": int(self.reading.cluster_N[one.position]), "score": round(one.score, 3)}
                    for one in found
                ],
            }

    def second_reading(self, reader: str) -> dict[str, Any]:
        """See training.labelling.progress."""
        with self._lock:
            return progress.second_reading(self.reading, reader)

    def agreement(self) -> dict[str, Any]:
        """See training.labelling.progress."""
        with self._lock:
            return {"pairs": progress.agreement(self.reading)}

    # ---------------------------------------------------------------------------------------------- what is decided

    def decide(self, request: Request) -> dict[str, Any]:
        """Write a decision to the log, and say what changed by it.

        Raises:
            Conflict: another reader decided about the same since the page last heard.
            NotAllowed: there is no such cluster, or nothing to undo.
            StorageError: the run is out of reach; nothing was decided.
        """
        with self._lock:
            before, order = self._overview.rows, self._overview.order
            for _ in range(_ATTEMPTS):
                if request.id and (done := self.reading.entry_of_request(request.id)):
                    return self.changes(request.seen) | {"opened": _opened(done.decision)}
                entry = self._entry(request)
                try:
                    self._record.append(entry)
                except PreconditionFailed:
                    logger.info("another server has written to this run; looking again")
                    self._overview.update(self.reading)
                    continue
                if isinstance(entry.decision, Round):
                    self._answers = self._read_answers()
                self._overview.update(self.reading)
                return self.changes(request.seen, before, order) | {"opened": _opened(entry.decision)}
            raise Conflict("Others write to this run all the time; try again.")

    def changes(
        self,
        seen: int,
        before: Mapping[int, dict[str, Any]] | None = None,
        order: Mapping[str, list[int]] | None = None,
    ) -> dict[str, Any]:
        """What a page that knows the log up to `seen` has to learn. Without `before` it learns of every cluster."""
        with self._lock:
            up_to_date = before is not None and seen >= self.reading.number - 1
            known = before if up_to_date and before is not None else {}
            changed = [row for cluster_id, row in self._overview.rows.items() if known.get(cluster_id) != row]
            return self._facts() | {
                "clusters": changed,
                "gone": [cluster_id for cluster_id in self._ever() if cluster_id not in self._overview.rows],
                "order": None if up_to_date and order == self._overview.order else self._overview.order,
                "history": history(self.reading, since(self.reading, seen)),
            }

    def _entry(self, request: Request) -> Entry:
        """The next line of the log.

        Raises:
            Conflict: another reader decided about the same since the page last heard.
            NotAllowed: it cannot be decided.
        """
        decision = self._decision(request)
        about = decision
        if isinstance(decision, Undo | Redo) and 1 <= decision.entry <= self.reading.number:
            about = self.reading.entries[decision.entry - 1].decision
        if not request.force:
            others = self.reading.since(request.seen, touched(about), but_by=request.reader)
            if others:
                raise Conflict(f"{others[-1].reader} has decided meanwhile: {text_of(others[-1])}.")
        self.reading.check(decision)
        return Entry(
            number=self.reading.number + 1,
            time=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            reader=request.reader,
            request=request.id,
            round=self.reading.round,
            source=request.source,
            seconds=None if request.seconds is None else round(request.seconds, 2),
            shown=request.shown,
            taken_out=request.taken_out,
            before=self.reading.labels_before(decision),
            decision=decision,
        )

    def _decision(self, request: Request) -> Decision:
        match request.wish:
            case SplitRequest(clusters=(cluster_id,), parts=parts):
                return self._split(cluster_id, parts)
            case UndoRequest(entry=number):
                return Undo(entry=self.reading.last_of(request.reader) if number is None else number)
            case RedoRequest(entry=number):
                return Redo(entry=self.reading.last_undone_by(request.reader) if number is None else number)
            case SplitRequest():
                raise AssertionError("a split is of one cluster")
            case decision:
                return decision

    def _split(self, cluster_id: int, parts: int) -> Split:
        members = members_of(self.reading, cluster_id)
        if len(members) < parts:
            raise NotAllowed(
                "invalid_decision", f"Cluster {cluster_id} has {len(members)} radiographs, too few for {parts} parts."
            )
        part_M = split_features(self.pool.features_ND[members], parts)
        first = self.reading.next_cluster_id
        return Split(
            cluster_id=cluster_id,
            members={first + part: tuple(members[part_M == part].tolist()) for part in range(parts)},
        )

    def _facts(self) -> dict[str, Any]:
        own = {given.label for given in self.reading.labels.values()}
        own |= {given.label for given in self.reading.corrections.values()}
        return {
            "number": self.reading.number,
            "round": self.reading.round,
            "own_labels": sorted(own - set(ANATOMY) - {DISCARD, MIXED}),
            "progress": progress.progress(self.reading),
        }

    def _ever(self) -> list[int]:
        return [*range(self.reading.next_cluster_id)] if self.reading.parents or self.reading.undone else []

    def _read_answers(self) -> dict[int, tuple[str, float]]:
        """What the classifier said of each radiograph out of fold; nothing before phase 2."""
        return audit.answers_of_classifier(self.pool.keys, read_table(self.pool.storage, _PREDICTIONS))

    def _prepare(self) -> None:
        """What takes a while, the soonest needed first."""
        self.map("pca")
        self.find_neighbours()

    def find_neighbours(self) -> None:
        """Look for the nearest neighbours of every radiograph: the audit needs them."""
        started = time.monotonic()
        self._neighbours_NK = nearest_neighbours(self.pool.features_ND, audit.NUM_NEIGHBOURS)
        logger.info("the audit is ready: neighbours found in %.0f s", time.monotonic() - started)


def _opened(decision: Decision) -> list[int]:
    return list(decision.members) if isinstance(decision, Split) else []
