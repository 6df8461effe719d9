"""Which radiographs went where, from the files that were retrieved to those that were learned from and judged."""

import html
from collections.abc import Sequence

from training.report.facts import CLUSTER, EVALUATE, INDEX, LABEL, SPLIT, Facts
from training.report.markup import Cell, number, number_cell, words

_WIDTH, _HEIGHT, _GAP = 250, 62, 34
_COLUMNS = (20, 330, 640)


def flow_rows(facts: Facts) -> list[tuple[str, Cell]]:
    """The same in words: what is counted, and how many."""
    rejected = facts.at(INDEX, "rejected_by_code") or {}
    rows: list[tuple[str, Cell]] = [("Files retrieved from the source", Cell(f"{facts.num_retrieved:,}"))]
    rows += [(_reason(code), number_cell(facts, INDEX, "rejected_by_code", code)) for code in sorted(rejected)]
    rows += [
        ("Radiographs that can be used", number_cell(facts, INDEX, "num_radiographs")),
        (
            "of them near-duplicates, kept and never divided by the split",
            number_cell(facts, INDEX, "num_near_duplicates"),
        ),
        ("Patients", number_cell(facts, INDEX, "num_patients")),
        ("Development set", number_cell(facts, SPLIT, "radiographs", "development")),
        ("Clusters", number_cell(facts, CLUSTER, "num_clusters")),
        ("Clusters discarded as not musculoskeletal", number_cell(facts, LABEL, "num_clusters_discarded")),
        ("Clusters left out as mixed", number_cell(facts, LABEL, "num_clusters_mixed")),
        ("Radiographs labelled and learned from", number_cell(facts, LABEL, "num_injected")),
        ("of them as not musculoskeletal", number_cell(facts, LABEL, "num_not_musculoskeletal")),
        ("Hold-out, internal sites", number_cell(facts, SPLIT, "radiographs", "holdout_internal")),
        ("Hold-out, external sites", number_cell(facts, SPLIT, "radiographs", "holdout_external")),
        ("Hold-out radiographs with a label to judge by", number_cell(facts, EVALUATE, "num_labelled")),
    ]
    return rows


def flow_diagram(facts: Facts) -> str:
    """Boxes and arrows; says the same as the table of `flow_rows`."""
    rejected = facts.at(INDEX, "rejected_by_code") or {}
    duplicates = rejected.get("duplicate", 0)
    unreadable = sum(rejected.values()) - duplicates
    learned = facts.at(LABEL, "num_radiographs") or 0
    labelled = facts.at(LABEL, "num_injected") or 0
    discarded = facts.at(LABEL, "num_not_musculoskeletal") or 0
    rows = [
        [
            ("Retrieved", facts.num_retrieved, "main"),
            ("Unreadable", unreadable, "out"),
            ("Duplicates", duplicates, "out"),
        ],
        [
            ("Radiographs", facts.at(INDEX, "num_radiographs"), "main"),
            ("Hold-out, internal", facts.at(SPLIT, "radiographs", "holdout_internal"), "test"),
            ("Hold-out, external", facts.at(SPLIT, "radiographs", "holdout_external"), "test"),
        ],
        [
            ("Development, clustered", learned, "main"),
            ("In mixed clusters, left out", learned - labelled, "out"),
            ("Discarded: not musculoskeletal", discarded, "out"),
        ],
        [("Labelled with an entity", labelled - discarded, "main")],
    ]
    parts = [_box(column, row, *box) for row, boxes in enumerate(rows) for column, box in enumerate(boxes)]
    parts += [_down(row) for row in range(len(rows) - 1)]
    parts += [_sideways(row, len(boxes)) for row, boxes in enumerate(rows) if len(boxes) > 1]
    height = len(rows) * (_HEIGHT + _GAP)
    label = "Flow of radiographs; the table below says the same"
    size = f'viewBox="0 0 910 {height}" width="910"'
    return f'<svg class="flow" {size} role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _reason(code: str) -> str:
    return "Not used: the same bytes as another file" if code == "duplicate" else f"Not used: {words(code)}"


def _box(column: int, row: int, title: str, count: int | None, kind: str) -> str:
    x, y = _COLUMNS[column], row * (_HEIGHT + _GAP) + 2
    middle = x + _WIDTH / 2
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        f'<text class="count" x="{middle}" y="{y + 28}">{number(count)}</text>'
        f'<text x="{middle}" y="{y + 48}">{html.escape(title)}</text>'
    )


def _down(row: int) -> str:
    x, top = _COLUMNS[0] + _WIDTH / 2, row * (_HEIGHT + _GAP) + 2 + _HEIGHT
    return _arrow([(x, top), (x, top + _GAP - 1)], (-4, -7, 4, -7))


def _sideways(row: int, num_boxes: int) -> str:
    """From the box on the left to those that leave it; to the last one, below the one between."""
    top = row * (_HEIGHT + _GAP) + 2
    left, fork, y = _COLUMNS[0] + _WIDTH, (_COLUMNS[0] + _WIDTH + _COLUMNS[1]) / 2, top + _HEIGHT / 2
    lines = _arrow([(left, y), (_COLUMNS[1] - 1, y)], (-7, -4, -7, 4))
    if num_boxes > 2:
        below, x = top + _HEIGHT + _GAP / 3, _COLUMNS[2] + _WIDTH / 2
        lines += f'<path class="arrow" d="M{fork} {y}L{fork} {below}L{x} {below}"/>'
        lines += _arrow([(x, below), (x, top + _HEIGHT + 1)], (-4, 7, 4, 7))
    return lines


def _arrow(points: Sequence[tuple[float, float]], barbs: tuple[int, int, int, int]) -> str:
    (x0, y0), (x1, y1) = points
    head = f"M{x1 + barbs[0]} {y1 + barbs[1]}L{x1} {y1}L{x1 + barbs[2]} {y1 + barbs[3]}"
    return f'<path class="arrow" d="M{x0} {y0}L{x1} {y1}{head}"/>'
