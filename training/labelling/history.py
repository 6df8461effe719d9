"""The log in words, as the page shows it."""

from collections.abc import Iterable, Sequence
from typing import Any

from training.labelling.decisions import Correct, Entry, Name, Redo, Split, Undo, touched
from training.labelling.reading import Reading
from training.labelling.suggestions import in_words

LENGTH = 100
"""Entries that the page shows, and of which any can be undone there."""

_SHOWN_CLUSTERS = 6


def history(reading: Reading, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Entries in words, the newest first, each once."""
    newest_first = sorted({one.number: one for one in entries}.values(), key=lambda one: -one.number)[:LENGTH]
    return [
        {
            "number": entry.number,
            "time": entry.time,
            "reader": entry.reader,
            "action": entry.decision.action,
            "text": text_of(entry),
            "undone": entry.number in reading.undone,
            "can_undo": entry.number > reading.number - LENGTH and reading.can_undo(entry.number),
            "clusters": sorted(number for kind, number in touched(entry.decision) if kind == "cluster"),
            "radiographs": sorted(number for kind, number in touched(entry.decision) if kind == "radiograph"),
        }
        for entry in newest_first
    ]


def since(reading: Reading, number: int) -> list[Entry]:
    """Entries after `number`, and those that they undid or did again."""
    new = reading.entries[max(0, min(number, reading.number)) :]
    about = {one.decision.entry for one in new if isinstance(one.decision, Undo | Redo)}
    return [*new, *(reading.entries[number - 1] for number in sorted(about))]


def text_of(entry: Entry) -> str:
    """An entry in words."""
    match entry.decision:
        case Name(clusters=ids, label=label):
            return f"{in_words(label)}: {_clusters(ids)}"
        case Split(cluster_id=parent, members=parts):
            return f"split cluster {parent} into {', '.join(map(str, parts))}"
        case Correct(radiographs=positions, label=label):
            return f"{in_words(label)}: {len(positions)} radiograph{'s' if len(positions) > 1 else ''}"
        case Undo(entry=number) | Redo(entry=number):
            return f"{entry.decision.action} of entry {number}"
        case decision if hasattr(decision, "clusters"):
            return f"{decision.action.replace('_', ' ')}: {_clusters(decision.clusters)}"
        case decision:
            return f"a new {decision.action}"


def _clusters(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:_SHOWN_CLUSTERS]))
    more = f" and {len(ids) - _SHOWN_CLUSTERS} more" if len(ids) > _SHOWN_CLUSTERS else ""
    return f"cluster{'s' if len(ids) > 1 else ''} {shown}{more}"
