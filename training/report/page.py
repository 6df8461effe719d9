"""The page around the sections: one file without scripts that loads nothing, for light, dark and paper."""

import html
from collections.abc import Callable

from training.report import results, sections
from training.report.acceptance import acceptance
from training.report.facts import CROSS_VALIDATE, EVALUATE, LABEL, PARTS, Facts
from training.report.markup import not_measured, paragraph, plain
from training.report.student import student
from training.report.style import STYLE

Section = Callable[[Facts], str]

SECTIONS: tuple[tuple[str, str, Section], ...] = (
    ("flow", "Flow of radiographs", sections.flow),
    ("methods", "Methods", sections.methods),
    ("results", "Results", results.results),
    ("classes", "Classes", results.classes),
    ("confusion", "Confusion", results.confusion),
    ("confidence", "Reliability and coverage", results.confidence),
    ("acceptance", "Accepted answers", acceptance),
    ("folds", "Cross-validation", results.folds),
    ("student", "On CPUs", student),
    ("subgroups", "Subgroups", results.subgroups),
    ("attributes", "View and laterality", results.attributes),
    ("robustness", "Robustness", results.disturbances),
    ("tags", "Tags", results.tags),
    ("clusters", "Clusters", sections.clusters),
    ("curves", "Learning curves", sections.curves),
    ("saliency", "Where the model looks", sections.saliency),
    ("use", "Intended use", sections.use),
    ("limits", "Limits", sections.limits),
    ("claim", "CLAIM 2024", sections.claim),
    ("provenance", "Provenance", sections.provenance),
)
"""Identifier, title and content, in the order of the page; a section without content is left out."""

_WITHOUT_PICTURES = "Pictures of radiographs are in the report within the run's folder, which stays in the hospital."


def report_page(facts: Facts, *, galleries: str | None, cluster_sheets: str | None) -> bytes:
    """The page; the same facts give the same bytes.

    Args:
        facts: of the run.
        galleries: pictures of heat maps; None in the version for the artifact, which shows no radiograph.
        cluster_sheets: pictures of clusters; None likewise.
    """
    pictures = {"saliency": galleries, "clusters": cluster_sheets}
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    written = [(name, title, content) for name, title, section in SECTIONS if (content := section(facts))]
    contents = "".join(f'<li><a href="#{name}">{html.escape(title)}</a></li>' for name, title, _ in written)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
        f"<title>Sorting musculoskeletal radiographs: report</title><style>{STYLE}</style></head><body>",
        _head(facts),
        f'<nav aria-label="Contents"><h2>Contents</h2><ol>{contents}</ol></nav><main>',
    ]
    for name, title, content in written:
        shown = pictures.get(name, "")
        pictured = paragraph(_WITHOUT_PICTURES, "quiet") if shown is None else shown
        parts.append(f'<section id="{name}"><h2>{html.escape(title)}</h2>{content}{pictured}</section>')
    parts.append("</main></body></html>\n")
    return "\n".join(parts).encode()


def _head(facts: Facts) -> str:
    tiles = []
    for part, title in PARTS.items():
        figures = facts.at(EVALUATE, part)
        if figures and part != "holdout":
            low, high = (100 * figures["top_1"][name] for name in ("low", "high"))
            limits = f"95 % limits {low:.1f}-{high:.1f}, n {figures['n']}"
            tiles.append(_tile(plain(figures["top_1"]), title, limits, f"{EVALUATE}#{part}.top_1"))
    both = facts.at(EVALUATE, "holdout")
    if both:
        precision = both.get("accepted_precision") or {}
        right = f"{plain(precision)} of them right" if precision.get("n") else "none, so all go to review"
        tiles.append(
            _tile(plain(both.get("accepted")), "Accepted without review", right, f"{EVALUATE}#holdout.accepted")
        )
    elif facts.at(CROSS_VALIDATE, "top_1"):
        tiles.append(_tile(plain(facts.at(CROSS_VALIDATE, "top_1")), "Cross-validation", "", f"{CROSS_VALIDATE}#top_1"))
    decisions = facts.at(LABEL, "decisions_per_1000")
    if decisions is not None:
        by = "by a simulated reader" if facts.is_simulated else "by readers"
        tiles.append(_tile(f"{decisions}", "Decisions per 1,000 radiographs", by, f"{LABEL}#decisions_per_1000"))
    shown = f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""
    return (
        "<header><h1>Sorting musculoskeletal radiographs</h1>"
        f'<p class="quiet">Self-supervised deep learning, {len(facts.spec.classes)} classes from named clusters. '
        f"Research use; not a medical device.</p>{shown}{'' if both else not_measured('The hold-out')}</header>"
    )


def _tile(value: str, title: str, note: str, source: str) -> str:
    return (
        f'<div class="tile"><b data-from="{html.escape(source)}">{html.escape(value)}</b>'
        f"<span>{html.escape(title)}</span><small>{html.escape(note)}</small></div>"
    )
