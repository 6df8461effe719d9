"""summary.html: counts, a few radiographs per class, where tags disagree. One file without scripts, loads nothing.

It names no key and no patient: only counts, classes, codes, and radiographs made so small that no lettering is left.
"""

import base64
import hashlib
import html
from collections import Counter, defaultdict
from collections.abc import Iterable

from samx.errors import RadiographError, StorageError
from samx.grad_cam import to_png
from samx.preprocessing import fit, in_square
from samx.radiograph import read_radiograph
from service.sorting.job import Job
from service.sorting.manifest import Frozen
from service.sorting.progress import Tally
from service.sorting.rows import Row

THUMBNAILS_PER_CLASS = 6
THUMBNAIL_PIXELS = 96
LARGEST_THUMBNAIL_BYTES = 32 * 1024**2
"""Larger objects are not read again for the sake of the page."""

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}
table{border-collapse:collapse;min-width:20rem}td{padding:.25rem .75rem;border-bottom:1px solid #d0d7de}
td+td{font-variant-numeric:tabular-nums}.class{margin:1rem 0}.class img{margin:0 .25rem .25rem 0;background:#000}
"""


class Examples:
    """What the page shows of the rows: the first accepted ones of each class, and disagreements counted."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = defaultdict(list)
        self.disagreements: Counter[tuple[str, str]] = Counter()

    def add(self, rows: Iterable[Row]) -> None:
        """Look at more rows."""
        for row in rows:
            chosen = self.rows[row.label] if row.decision == "accept" else None
            if chosen is not None and len(chosen) < THUMBNAILS_PER_CLASS and row.size_bytes <= LARGEST_THUMBNAIL_BYTES:
                chosen.append(row)
            if row.tag_agrees is False:
                self.disagreements[row.tag_body_part_examined, row.label] += 1


def summary_page(job: Job, frozen: Frozen, tally: Tally, examples: Examples) -> bytes:
    """The page; the same rows give the same bytes as long as the source keeps its objects."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    disagreements = {
        f"tag {tag or 'of a known term'}, sorted as {label}": count
        for (tag, label), count in sorted(examples.disagreements.items(), key=lambda entry: (-entry[1], entry[0]))
    }
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
        f"<title>Sorted radiographs</title><style>{_STYLE}</style></head><body>",
        f"<h1>{tally.num_objects:,} objects sorted</h1>",
        f"<p>{tally.size_bytes / 1e9:,.2f} GB; {frozen.num_carried:,} rows carried over from an earlier job. "
        "A label is a proposal; the decision says whether to rely on it. Research use.</p>",
        _table("Decisions", tally.decisions),
        _table("Classes", tally.labels),
        _table("Unreadable, by reason", tally.codes),
        _table("Not copied, by reason", tally.copy_codes),
        f"<h2>Tags</h2><p>{tally.num_tags_that_agree:,} agree, {tally.num_tags_that_disagree:,} do not.</p>",
        _table("Disagreements", disagreements),
        "<h2>Examples</h2>",
        *(_figures(job, label, rows) for label, rows in sorted(examples.rows.items())),
        "</body></html>\n",
    ]
    return "\n".join(filter(None, parts)).encode()


def _table(title: str, counts: dict[str, int]) -> str:
    if not counts:
        return ""
    rows = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    body = "".join(f"<tr><td>{html.escape(name)}</td><td>{count:,}</td></tr>" for name, count in rows)
    return f"<h2>{title}</h2><table>{body}</table>"


def _figures(job: Job, label: str, rows: list[Row]) -> str:
    images = "".join(filter(None, (_thumbnail(job, row) for row in rows)))
    return f'<div class="class"><h3>{html.escape(label)}</h3>{images}</div>'


def _thumbnail(job: Job, row: Row) -> str:
    """The radiograph, decoded and encoded again; "" where it has changed since."""
    try:
        radiograph = read_radiograph(job.source.read_listed(row.stored_object), working_size=THUMBNAIL_PIXELS)
    except (StorageError, RadiographError):
        return ""
    picture = to_png(in_square(fit(radiograph.pixels, THUMBNAIL_PIXELS), THUMBNAIL_PIXELS))
    data = base64.b64encode(picture).decode()
    size = f'width="{THUMBNAIL_PIXELS}" height="{THUMBNAIL_PIXELS}"'
    return f'<img {size} alt="{html.escape(row.label)}" src="data:image/png;base64,{data}">'
