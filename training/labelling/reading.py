"""The state of a reading: what the decisions in the log make of the clusters."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from samx.errors import SamxError
from training.labelling.decisions import (
    Clear,
    Correct,
    Decision,
    Entry,
    Name,
    Redo,
    Round,
    SecondReading,
    Split,
    Undo,
    touched,
)


class NotAllowed(SamxError):
    """A decision that cannot be made as things are.

    Args:
        code: stable reason in snake case.
        detail: one sentence for the reader.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Given:
    """A label that somebody gave to a cluster or to a radiograph."""

    label: str
    view: str
    laterality: str
    note: str
    reader: str
    decided_at: str


@dataclass
class Reading:
    """Clusters, labels and corrections after some entries of the log.

    Args:
        assigned_N: cluster of every radiograph as phase 1 left it, int64.
        entries: of the log, in their order.
    """

    assigned_N: npt.NDArray[np.int64]
    entries: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Replay what is in the log."""
        self._replay()

    def extend(self, entry: Entry) -> None:
        """Add an entry that is in the log now."""
        self.entries.append(entry)
        if isinstance(entry.decision, Undo | Redo):
            self._replay()
        else:
            self._follow(entry)
            self._apply(entry)

    @property
    def number(self) -> int:
        """Of the last entry; 0 for none."""
        return len(self.entries)

    @property
    def undecided(self) -> list[int]:
        """Clusters without a label."""
        return [cluster_id for cluster_id in self.members if cluster_id not in self.labels]

    @property
    def next_cluster_id(self) -> int:
        """The first that no cluster has or ever had."""
        ever = [int(self.assigned_N.max()) if len(self.assigned_N) else -1]
        for entry in self.entries:
            if isinstance(entry.decision, Split):
                ever.extend(entry.decision.members)
        return max(ever) + 1

    def label_of(self, position: int) -> str | None:
        """What a radiograph is called: its own label, else its cluster's, else None."""
        if position in self.corrections:
            return self.corrections[position].label
        given = self.labels.get(int(self.cluster_N[position]))
        return given.label if given else None

    def check(self, decision: Decision) -> None:
        """Find out whether a decision can be made.

        Raises:
            NotAllowed: it names what there is not, or what it would undo was built upon.
        """
        match decision:
            case Name(clusters=ids) | Clear(clusters=ids) | SecondReading(clusters=ids):
                self._require_clusters(ids)
            case Split(cluster_id=cluster_id):
                self._require_clusters([cluster_id])
            case Correct():
                if not 0 <= min(decision.radiographs) <= max(decision.radiographs) < len(self.assigned_N):
                    raise NotAllowed(
                        "invalid_decision", f"Radiographs have the numbers 0 to {len(self.assigned_N) - 1}."
                    )
            case Undo(entry=number):
                self._check_undo(number)
            case Redo(entry=number):
                if number not in self.undone:
                    raise NotAllowed("nothing_to_undo", f"Entry {number} has not been undone.")
                self._check_built_upon(number)
                self.check(self.entries[number - 1].decision)

    def entry_of_request(self, request: str) -> Entry | None:
        """The entry that a request of the page has become."""
        return next((entry for entry in reversed(self.entries) if entry.request == request), None)

    def last_of(self, reader: str) -> int:
        """The reader's last decision that can be undone.

        Raises:
            NotAllowed: there is none.
        """
        if not self._done[reader]:
            raise NotAllowed("nothing_to_undo", "There is nothing to undo.")
        return self._done[reader][-1]

    def last_undone_by(self, reader: str) -> int:
        """The decision that the reader undid last, if nothing has been decided since.

        Raises:
            NotAllowed: there is none.
        """
        if not self._redoable[reader]:
            raise NotAllowed("nothing_to_undo", "There is nothing to do again.")
        return self._redoable[reader][-1]

    def can_undo(self, number: int) -> bool:
        """Whether an entry still counts and nothing was built upon it."""
        try:
            self._check_undo(number)
        except NotAllowed:
            return False
        return True

    def since(self, number: int, targets: Iterable[tuple[str, int]], *, but_by: str) -> list[Entry]:
        """Entries after `number` of other readers about any of the targets."""
        wanted = set(targets)
        found = []
        for entry in self.entries[number:]:
            about = entry.decision
            if isinstance(about, Undo | Redo):
                about = self.entries[about.entry - 1].decision
            if entry.reader != but_by and wanted & touched(about):
                found.append(entry)
        return found

    def labels_before(self, decision: Decision) -> dict[str, str]:
        """Label of each cluster or radiograph that a decision is about, as they stand now."""
        names = {}
        for kind, number in sorted(touched(decision)):
            given = self.labels.get(number) if kind == "cluster" else self.corrections.get(number)
            names[str(number)] = given.label if given else ""
        return names

    def _replay(self) -> None:
        self.cluster_N = self.assigned_N.copy()
        order = np.argsort(self.cluster_N, kind="stable")
        ids, starts = np.unique(self.cluster_N[order], return_index=True)
        groups = np.split(order, starts[1:]) if len(ids) else []
        self.members = {int(cluster_id): group for cluster_id, group in zip(ids, groups, strict=True)}
        self.labels: dict[int, Given] = {}
        self.parents: dict[int, int] = {}
        self.corrections: dict[int, Given] = {}
        self.second_readings: dict[str, dict[int, str]] = defaultdict(dict)
        self.round = 1
        self.undone = undone(self.entries)
        self._done: dict[str, list[int]] = defaultdict(list)
        self._redoable: dict[str, list[int]] = defaultdict(list)
        for entry in self.entries:
            self._follow(entry)
        for entry in self.entries:
            if entry.number not in self.undone:
                self._apply(entry)

    def _follow(self, entry: Entry) -> None:
        """What can be undone and done again after an entry."""
        match entry.decision:
            case Undo(entry=number):
                author = self.entries[number - 1].reader
                self._done[author] = [one for one in self._done[author] if one != number]
                self._redoable[entry.reader].append(number)
            case Redo(entry=number):
                self._done[self.entries[number - 1].reader].append(number)
                self._redoable[entry.reader] = [one for one in self._redoable[entry.reader] if one != number]
            case Round():
                pass
            case _:
                self._done[entry.reader].append(entry.number)
                self._redoable[entry.reader].clear()

    def _apply(self, entry: Entry) -> None:
        match entry.decision:
            case Name() as name:
                given = Given(name.label, name.view, name.laterality, name.note, entry.reader, entry.time)
                self.labels |= dict.fromkeys(name.clusters, given)
            case Clear(clusters=ids):
                for cluster_id in ids:
                    self.labels.pop(cluster_id, None)
            case Split() as split:
                self._apply_split(split)
            case Correct() as correct:
                given = Given(correct.label, correct.view, correct.laterality, "", entry.reader, entry.time)
                self.corrections |= dict.fromkeys(correct.radiographs, given)
            case SecondReading(clusters=ids, label=label):
                self.second_readings[entry.reader] |= dict.fromkeys(ids, label)
            case Round():
                self.round += 1

    def _apply_split(self, split: Split) -> None:
        self.members.pop(split.cluster_id)
        self.labels.pop(split.cluster_id, None)
        for cluster_id, positions in split.members.items():
            self.members[cluster_id] = np.array(positions, np.int64)
            self.cluster_N[self.members[cluster_id]] = cluster_id
            self.parents[cluster_id] = split.cluster_id

    def _require_clusters(self, cluster_ids: Iterable[int]) -> None:
        for cluster_id in cluster_ids:
            if cluster_id not in self.members:
                raise NotAllowed("invalid_decision", f"There is no cluster {cluster_id}; it may have been split.")

    def _check_undo(self, number: int) -> None:
        if not 1 <= number <= len(self.entries) or number in self.undone:
            raise NotAllowed("nothing_to_undo", f"Entry {number} is not there or was undone already.")
        if isinstance(self.entries[number - 1].decision, Undo | Redo | Round):
            raise NotAllowed("cannot_undo", f"Entry {number} is no decision about a cluster or a radiograph.")
        self._check_built_upon(number)

    def _check_built_upon(self, number: int) -> None:
        targets = touched(self.entries[number - 1].decision)
        for entry in self.entries[number:]:
            if entry.number not in self.undone and targets & touched(entry.decision):
                raise NotAllowed(
                    "cannot_undo",
                    f"{entry.reader} has decided about the same again since (entry {entry.number}); undo that first.",
                )


def undone(entries: Sequence[Entry]) -> set[int]:
    """Numbers of the entries that were taken back and not done again."""
    numbers = set[int]()
    for entry in entries:
        match entry.decision:
            case Undo(entry=number):
                numbers.add(number)
            case Redo(entry=number):
                numbers.discard(number)
    return numbers


def active(entries: Sequence[Entry]) -> list[Entry]:
    """Entries that count."""
    taken_back = undone(entries)
    return [entry for entry in entries if entry.number not in taken_back]


def decisions_by_reader(entries: Sequence[Entry]) -> Counter[str]:
    """Names, splits, corrections and second readings that count: a key press each, whatever it is about.

    What was taken out of those proposed together was a key press, too.
    """
    decisions = Counter[str]()
    for entry in active(entries):
        if not isinstance(entry.decision, Undo | Redo | Round):
            decisions[entry.reader] += 1 + entry.taken_out
    return decisions
