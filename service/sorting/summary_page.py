"""summary.html: what was found, what a person has to do now, a few radiographs per class, where tags disagree.

One file without scripts that loads nothing. It names no key and no patient: only counts, classes, codes, and
radiographs made so small that no lettering is left.
"""

import base64
import hashlib
import html
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from samx.errors import RadiographError, StorageError
from samx.png import to_png
from samx.preprocessing import fit, in_square
from samx.radiograph import read_radiograph
from service.sorting.job import Job
from service.sorting.manifest import Frozen
from service.sorting.progress import Tally
from service.sorting.rows import Row

THUMBNAILS = {"accept": 6, "review": 3}
"""Per class, of each decision."""
THUMBNAIL_PIXELS = 96
LARGEST_THUMBNAIL_BYTES = 32 * 1024**2
"""Larger objects are not read again for the sake of the page."""
_READ_AT_ONCE = 4
_DECISIONS = {
    "accept": ("Accepted", "Sorted: the answer is as sure as the model promises. A sample now and then is enough."),
    "review": ("To review", "The label is a proposal only. A person looks at each of them"),
    "out_of_scope": (
        "Out of scope",
        "Unlike what the model has learned, or not musculoskeletal. Look through them",
    ),
    "unreadable": ("Unreadable", "Not sorted. The reasons are below; export them again where it matters"),
}
"""In words, and what is to be done."""

_STYLE = """
:root{color-scheme:light dark;--text:#1b1f24;--quiet:#57606a;--page:#fff;--line:#d8dee4;--none:#eaeef2;
--accept:#1a7f5a;--review:#c98a00;--out_of_scope:#8250df;--unreadable:#7d8590;--disagree:#cf5b2e}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--quiet:#9aa5b1;--page:#0f1419;--line:#2b333c;--none:#222a32;
--accept:#3fb68b;--review:#e3b341;--out_of_scope:#b392f0;--unreadable:#8b949e;--disagree:#f0883e}}
body{font:16px/1.5 system-ui,sans-serif;margin:2.5rem auto;max-width:62rem;padding:0 1.25rem;color:var(--text);
background:var(--page)}
h1{font-size:1.9rem;line-height:1.2;margin:0}h2{font-size:1.25rem;margin:2.5rem 0 .5rem}h3{font-size:1rem;margin:0}
p{margin:.4rem 0}.quiet{color:var(--quiet)}
table{border-collapse:collapse;width:100%}td,th{padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line);
text-align:left;vertical-align:top;font-weight:400}th{white-space:nowrap}
td.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}td.bar{width:55%;vertical-align:middle}
svg{display:block;width:100%;height:.8rem;background:var(--none);border-radius:.2rem}
svg.large{height:1.6rem;margin:1rem 0}
.accept{fill:var(--accept)}.review{fill:var(--review)}.out_of_scope{fill:var(--out_of_scope)}
.unreadable{fill:var(--unreadable)}.disagree{fill:var(--disagree)}
svg.key{display:inline-block;width:.8rem;margin-right:.5rem;background:none}
.class{display:flex;gap:.25rem 1rem;align-items:center;padding:.4rem 0;border-bottom:1px solid var(--line)}
.class h3{flex:0 0 11rem}.class div{display:flex;flex-wrap:wrap;gap:.25rem}.class img{background:#000;display:block}
@media(max-width:40rem){.class{display:block}td.bar{width:30%}}
@media print{body{margin:0}.class,tr{break-inside:avoid}}
"""


class Examples:
    """What the page shows of the rows beyond their tally."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, list[Row]]] = {name: defaultdict(list) for name in THUMBNAILS}
        """The first ones of each decision and class."""
        self.decisions: dict[str, Counter[str]] = defaultdict(Counter)
        """Of each class."""
        self.disagreements: Counter[tuple[str, str]] = Counter()
        self.models: set[str] = set()

    def add(self, rows: Iterable[Row]) -> None:
        """Look at more rows."""
        for row in rows:
            self.models.add(row.model)
            if row.label:
                self.decisions[row.label][row.decision] += 1
            if row.decision in THUMBNAILS and row.size_bytes <= LARGEST_THUMBNAIL_BYTES:
                chosen = self.rows[row.decision][row.label]
                if len(chosen) < THUMBNAILS[row.decision]:
                    chosen.append(row)
            if row.tag_agrees is False:
                self.disagreements[row.tag_body_part_examined, row.label] += 1


def summary_page(job: Job, frozen: Frozen, tally: Tally, examples: Examples) -> bytes:
    """The page; the same rows give the same bytes as long as the source keeps its objects."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    carried = f"; {frozen.num_carried:,} as an earlier job found them" if frozen.num_carried else ""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
        f"<title>Sorted radiographs</title><style>{_STYLE}</style></head><body>",
        f"<h1>{tally.num_objects:,} objects sorted</h1>",
        f'<p class="quiet">{tally.size_bytes / 1e9:,.2f} GB, {len(tally.labels):,} classes{carried}. '
        f"By {html.escape(', '.join(sorted(examples.models)))}. Research use; not a medical device.</p>",
        _bar([(name, tally.decisions[name]) for name in _DECISIONS], tally.num_objects, "large"),
        _what_to_do(job, tally),
        _classes(tally, examples),
        _disagreements(tally, examples),
        _counts("Unreadable, by reason", tally.codes, "unreadable"),
        _counts("Not copied, by reason", tally.copy_codes, "unreadable"),
        _pictures(job, "The first accepted of each class", examples.rows["accept"]),
        _pictures(job, "The first to review, under the label that is proposed", examples.rows["review"]),
        "</body></html>\n",
    ]
    return "\n".join(filter(None, parts)).encode()


def _what_to_do(job: Job, tally: Tally) -> str:
    lines = []
    for name, (title, advice) in _DECISIONS.items():
        where = ""
        if name != "accept":
            in_rows = f"rows of the manifest whose <b>decision</b> is <b>{name}</b>"
            where = f": the folder <b>_{name}/</b>." if job.request.copies else f": {in_rows}."
        count = tally.decisions[name]
        lines.append(
            f'<tr><th>{_key(name)}{title}</th><td class="number">{count:,}</td>'
            f'<td class="number">{_share(count, tally.num_objects)}</td><td>{advice}{where}</td></tr>'
        )
    return f"<h2>What to do now</h2><table>{''.join(lines)}</table>"


def _classes(tally: Tally, examples: Examples) -> str:
    if not tally.labels:
        return ""
    largest = max(tally.labels.values())
    lines = []
    for label, count in _ranked(tally.labels):
        found = examples.decisions[label]
        bar = _bar([(name, found[name]) for name in _DECISIONS], largest)
        lines.append(_line(_words(label), bar, count, f"{found['review']:,} to review" if found["review"] else ""))
    return f"<h2>Classes</h2><table>{''.join(lines)}</table>"


def _disagreements(tally: Tally, examples: Examples) -> str:
    judged = tally.num_tags_that_agree + tally.num_tags_that_disagree
    if not judged:
        return "<h2>Tags</h2><p>No file says by a known term which body part it shows.</p>"
    counts = {
        f"tagged {tag or 'with another term'}, sorted as {_words(label)}": count
        for (tag, label), count in examples.disagreements.items()
    }
    intro = (
        f"<p>Body Part Examined agrees with the class in {tally.num_tags_that_agree:,} files and does not in "
        f"{tally.num_tags_that_disagree:,} ({_share(tally.num_tags_that_disagree, judged)}). Either may be wrong.</p>"
    )
    return f"<h2>Tags</h2>{intro}" + _table(counts, "disagree")


def _counts(title: str, counts: dict[str, int], colour: str) -> str:
    if not counts:
        return ""
    return f"<h2>{title}</h2>" + _table({_words(name): count for name, count in counts.items()}, colour)


def _table(counts: dict[str, int], colour: str) -> str:
    largest = max(counts.values(), default=0)
    lines = (_line(name, _bar([(colour, count)], largest), count) for name, count in _ranked(counts))
    return f"<table>{''.join(lines)}</table>"


def _line(name: str, bar: str, count: int, note: str = "") -> str:
    end = f'<td class="quiet">{note}</td>' if note else "<td></td>"
    return f'<tr><th>{html.escape(name)}</th><td class="bar">{bar}</td><td class="number">{count:,}</td>{end}</tr>'


def _bar(segments: Sequence[tuple[str, int]], full: int, size: str = "") -> str:
    """Segments beside each other; attributes, not style, give their widths, as the policy allows no other styles."""
    start, rectangles = 0, []
    for name, count in segments:
        if count:
            x, width = 100 * start / full, 100 * count / full
            rectangles.append(f'<rect class="{name}" x="{x:.3f}" width="{width:.3f}" height="1"/>')
            start += count
    kind = f' class="{size}"' if size else ""
    return f'<svg{kind} viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">{"".join(rectangles)}</svg>'


def _key(name: str) -> str:
    return f'<svg class="key" viewBox="0 0 1 1" aria-hidden="true"><rect class="{name}" width="1" height="1"/></svg>'


def _ranked(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else ""


def _pictures(job: Job, title: str, rows_of: dict[str, list[Row]]) -> str:
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        shown = {
            label: "".join(pool.map(lambda row: _thumbnail(job, row), rows_of[label])) for label in sorted(rows_of)
        }
    classes = "".join(
        f'<div class="class"><h3>{html.escape(_words(label))}</h3><div>{images}</div></div>'
        for label, images in shown.items()
        if images
    )
    return f"<h2>{title}</h2>{classes}" if classes else ""


def _thumbnail(job: Job, row: Row) -> str:
    """The radiograph, decoded and encoded again; "" where it has changed since."""
    try:
        radiograph = read_radiograph(job.source.read_listed(row.stored_object), working_size=THUMBNAIL_PIXELS)
    except (StorageError, RadiographError):
        return ""
    picture = to_png(in_square(fit(radiograph.pixels, THUMBNAIL_PIXELS), THUMBNAIL_PIXELS))
    data = base64.b64encode(picture).decode()
    size = f'width="{THUMBNAIL_PIXELS}" height="{THUMBNAIL_PIXELS}"'
    return f'<img {size} alt="{html.escape(_words(row.label))}" src="data:image/png;base64,{data}">'
