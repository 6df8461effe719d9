"""What a reader can decide, as it is asked for and as it stands in the log.

The log is the record: `audit_log.jsonl` has an entry per decision, undo and split, in the order in which they were
made. Everything else - cluster_labels.csv, the state on the page - follows from it and can be made again.
"""

from typing import Annotated, Literal

import pydantic

LABEL_PATTERN = r"^[a-z0-9][a-z0-9_]{0,63}$"

ClusterIds = Annotated[tuple[int, ...], pydantic.Field(min_length=1, max_length=20_000)]
Label = Annotated[str, pydantic.StringConstraints(pattern=LABEL_PATTERN)]
View = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Z0-9 ]{0,16}$")]
Laterality = Literal["", "L", "R", "B"]
Note = Annotated[str, pydantic.StringConstraints(pattern=r"^[^\x00-\x1f]{0,200}$")]
Reader = Annotated[str, pydantic.StringConstraints(pattern=r"^[^\s\x00-\x1f,;=+@-][^\x00-\x1f,;]{0,31}$")]


class Record(pydantic.BaseModel):
    """Base of everything here: frozen, unknown fields are errors."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Name(Record):
    """Clusters get a label; the same label merges them."""

    action: Literal["name"] = "name"
    clusters: ClusterIds
    label: Label
    view: View = ""
    laterality: Laterality = ""
    note: Note = ""


class Clear(Record):
    """Clusters lose their label."""

    action: Literal["clear"] = "clear"
    clusters: ClusterIds


class Split(Record):
    """A cluster becomes several; the radiographs of each, by position."""

    action: Literal["split"] = "split"
    cluster_id: int
    members: dict[int, tuple[int, ...]]


class Correct(Record):
    """Single radiographs get a label of their own, whatever their cluster is called."""

    action: Literal["correct"] = "correct"
    radiographs: Annotated[tuple[int, ...], pydantic.Field(min_length=1, max_length=10_000)]
    label: Label
    view: View = ""
    laterality: Laterality = ""


class SecondReading(Record):
    """What another reader calls a cluster without knowing its label; changes nothing."""

    action: Literal["second_reading"] = "second_reading"
    clusters: ClusterIds
    label: Label


class Undo(Record):
    """A decision counts no longer."""

    action: Literal["undo"] = "undo"
    entry: int


class Redo(Record):
    """A decision that was undone counts again."""

    action: Literal["redo"] = "redo"
    entry: int


class Round(Record):
    """Another round of reading begins, usually after phase 2."""

    action: Literal["round"] = "round"


Decision = Annotated[
    Name | Clear | Split | Correct | SecondReading | Undo | Redo | Round, pydantic.Field(discriminator="action")
]


class SplitRequest(Record):
    """A cluster is to become so many; the server finds which radiographs belong together."""

    action: Literal["split"]
    clusters: Annotated[tuple[int, ...], pydantic.Field(min_length=1, max_length=1)]
    parts: int = pydantic.Field(ge=2, le=9)


class UndoRequest(Record):
    """Of an entry, or of the reader's own last."""

    action: Literal["undo"]
    entry: int | None = None


class RedoRequest(Record):
    """Of an entry, or of the reader's own last undo."""

    action: Literal["redo"]
    entry: int | None = None


Wish = Annotated[
    Name | Clear | SplitRequest | Correct | SecondReading | UndoRequest | RedoRequest | Round,
    pydantic.Field(discriminator="action"),
]

Source = Literal["", "suggestion", "typed", "same", "map", "group", "audit", "sheet", "import", "simulated"]


class Entry(Record):
    """One line of the log."""

    number: int
    """1, 2, 3 ...: without gaps."""
    time: str
    """UTC, ISO 8601; empty where nobody decided at any time (a simulated reader)."""
    reader: str
    request: str = ""
    """Identifies what the page sent; empty where it did not say."""
    round: int = 1
    source: Source = ""
    """What the decision came from: an accepted suggestion, a typed label."""
    seconds: float | None = None
    """From when it was on the screen to the decision."""
    shown: int = 0
    """Radiographs on the screen."""
    taken_out: int = 0
    """Of those proposed together, which the reader took out before deciding: a key press each."""
    before: dict[str, str] = {}
    """Label of each cluster or radiograph before; empty where it had none."""
    decision: Decision


def touched(decision: Decision) -> set[tuple[str, int]]:
    """Clusters and radiographs whose fate a decision changes; nothing for those that change no label."""
    match decision:
        case Name(clusters=ids) | Clear(clusters=ids):
            return {("cluster", cluster_id) for cluster_id in ids}
        case Split():
            return {("cluster", cluster_id) for cluster_id in (decision.cluster_id, *decision.members)}
        case Correct():
            return {("radiograph", position) for position in decision.radiographs}
        case _:
            return set()
